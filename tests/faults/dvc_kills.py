"""Is DVC's state sound after kills? `python -m tests.faults.dvc_kills --kills 50` kills runs at random moments.

Each round changes what a diamond of stages reads, starts them side by side as flows.prefect_dvc does, and at a random
moment sends SIGKILL: to what started the stages, to one DVC, or to every process at once, as when the power fails.
Then: is every object of the cache what its name says, does the next run end well, is what it makes right, and does
`dvc status` find nothing to do?
"""

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil

from tests.benchmarks.diamond import project
from tests.flows.prefect_dvc import foreign

ROOT = Path(__file__).parents[2]
RUNNER = """
import sys
from pathlib import Path
from flows.prefect_dvc import graph
from flows.prefect_dvc.guards import Guards

folder = Path(sys.argv[1])
guards, running = Guards(folder), {}
for stage in graph.plan(project=folder):
    for need in stage.needs:
        out = running[need].stdout.read()
        if running[need].wait():
            sys.exit(f"{need}: {out.decode()}")
    running[stage.name] = guards.start(stage.order)
for name, process in running.items():
    out = process.stdout.read()
    if process.wait():
        sys.exit(f"{name}: {out.decode()}")
"""
WHOM = ["what starts the stages", "one DVC", "everything"]


def start(folder: Path) -> subprocess.Popen:
    """A run of the project's stages, side by side where they can be."""
    environment = {**foreign.environment(folder), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", RUNNER, str(folder)]
    return subprocess.Popen(
        command, env=environment, start_new_session=True, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def kill(run: subprocess.Popen, whom: str, chance: random.Random) -> None:
    """SIGKILL; returns when nothing of the run is left."""
    below = psutil.Process(run.pid).children(recursive=True)
    dvcs = [process for process in below if _name(process) == "dvc"]
    if whom == "everything":
        for process in [psutil.Process(run.pid), *below]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
    elif whom == "one DVC" and dvcs:
        with suppress(psutil.NoSuchProcess):
            chance.choice(dvcs).kill()
    else:
        run.send_signal(signal.SIGKILL)
    run.communicate()
    psutil.wait_procs(below, timeout=60)


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""


def faults(folder: Path, *, ask_dvc: bool = True) -> list[str]:
    """What is wrong with the project after a kill, and after the run that follows it."""
    found = [
        f"object {path.name} is damaged"
        for path in sorted((folder / ".dvc/cache/files/md5").glob("??/*"))
        if _damaged(path)
    ]
    run = start(folder)
    _, said = run.communicate()
    if run.returncode:
        return [*found, f"the next run fails: {said.strip()[-300:]}"]
    seed = (folder / "seed").read_text()
    if (folder / "end").read_text() != seed + (seed + seed) * 2:
        found.append("the next run makes something else")
    if ask_dvc and "up to date" not in foreign.call(folder, sys.executable, "-m", "dvc", "status"):
        found.append("dvc status is not clean after the next run")
    return found


def _damaged(path: Path) -> bool:
    whole = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    return len(path.name) == 30 and path.parent.name + path.name != whole


def main() -> None:
    """Kill, look and count."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.dvc_kills", description="DVC's state after kills")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "diamond"
        project(folder, 0.2)
        assert faults(folder) == []
        (folder / "seed").write_text("once more\n")
        begun = time.monotonic()
        start(folder).communicate()
        usual = time.monotonic() - begun
        for number in range(arguments.kills):
            (folder / "seed").write_text(f"{number}\n")
            whom = WHOM[number % len(WHOM)]
            run = start(folder)
            time.sleep(chance.uniform(0.1, 1.0) * usual)
            if run.poll() is None:
                kill(run, whom, chance)
                counts[f"killed: {whom}"] += 1
            else:
                run.communicate()
                counts["ended before the kill"] += 1
            found = faults(folder, ask_dvc=number % 5 == 4)  # it takes long
            counts["sound" if not found else "not sound"] += 1
            for fault in found:
                print(f"kill {number} of {whom}: {fault}", flush=True)
            print(number, dict(counts), f"load {os.getloadavg()[0]:.0f}", flush=True)
    sys.exit(bool(counts["not sound"]))


if __name__ == "__main__":
    main()
