"""What orchestration costs: `python -m tests.benchmarks.flows noop full trivial` prints seconds a run, wall and CPU.

noop: `retrain` on an up-to-date workspace against `dvc status`. full: all six stages by `retrain`, which also compares
and reports, against plain `dvc repro`, with a short training and with a longer one. trivial: a `dvc repro` that finds
nothing to do, our six stages against six that only copy. The pipeline is the real one on small parameters, in a copy of
the working tree, with a Prefect server of its own.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ruamel.yaml import YAML

from tests.flows.conftest import free_port, start_server
from tests.workspace import make_workspace

DVC = [sys.executable, "-m", "dvc"]
EPOCHS = (2, 400)  # of the trainings in `full`

Cost = tuple[float, float]  # seconds: wall, CPU of the command and its children


def cost(command: list[str], folder: Path, environment: dict[str, str]) -> Cost:
    """What a command that succeeds takes."""
    begin, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - begin, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def show(title: str, rows: dict[str, list[Cost]]) -> None:
    """Medians and all values; the second row against the first: difference and ratio."""
    for kind, name in enumerate(("wall", "CPU")):
        print(f"{title}, {name} seconds")
        medians = []
        for row, values in rows.items():
            medians.append(statistics.median(value[kind] for value in values))
            print(f"  {row:28} {medians[-1]:7.2f}   ({', '.join(f'{value[kind]:.2f}' for value in values)})")
        if len(medians) > 1:
            print(
                f"  {'first less second, ratio':28} {medians[0] - medians[1]:7.2f}   {medians[0] / medians[1]:.2f}x",
                flush=True,
            )


def noop(folder: Path, environment: dict[str, str], pairs: int) -> None:
    """An up-to-date workspace."""
    subprocess.run([sys.executable, "-m", "flows.retrain"], cwd=folder, env=environment, check=True)
    rows: dict[str, list[Cost]] = {"python -m flows.retrain": [], "dvc status": []}
    for _ in range(pairs):
        rows["python -m flows.retrain"].append(cost([sys.executable, "-m", "flows.retrain"], folder, environment))
        rows["dvc status"].append(cost([*DVC, "status"], folder, environment))
    show("no-op", rows)
    bare = [sys.executable, "-c", "import flows.retrain"]
    show("of which", {"import flows.retrain": [cost(bare, folder, environment) for _ in range(pairs)]})


def full(folder: Path, environment: dict[str, str], pairs: int) -> None:
    """Every stage runs: a new seed for the videos, which changes them all; a short training, then one of a minute.

    What stays from one to the other is the constant; what grows with the training would be the factor.
    """
    path = folder / "params.yaml"
    yaml = YAML()
    seed = 100
    for epochs in EPOCHS:
        rows: dict[str, list[Cost]] = {"python -m flows.retrain": [], "dvc repro": []}
        for _ in range(pairs):
            for name, command in (
                ("python -m flows.retrain", [sys.executable, "-m", "flows.retrain"]),
                ("dvc repro", [*DVC, "repro"]),
            ):
                params = yaml.load(path)
                seed += 1
                params["sample"]["seed"] = seed
                params["model"]["foreframe"]["recipe"]["epochs"] = epochs
                yaml.dump(params, path)
                rows[name].append(cost(command, folder, environment))
        show(f"all six stages, {epochs} epochs", rows)


def trivial(folder: Path, environment: dict[str, str], pairs: int) -> None:
    """`dvc repro` with nothing to do."""
    plain = folder.parent / "trivial"
    plain.mkdir()
    (plain / "s0").write_text("x")
    stages = [f"  s{i}: {{cmd: cp s{i - 1} s{i}, deps: [s{i - 1}], outs: [s{i}]}}" for i in range(1, 7)]
    (plain / "dvc.yaml").write_text("\n".join(["stages:", *stages, ""]))
    for command in (["git", "init", "-q"], [*DVC, "init", "-q"], [*DVC, "repro", "-q"]):
        subprocess.run(command, cwd=plain, env=environment, check=True)
    rows: dict[str, list[Cost]] = {"our six stages": [], "six stages that copy": []}
    for _ in range(2 * pairs):
        rows["our six stages"].append(cost([*DVC, "repro"], folder, environment))
        rows["six stages that copy"].append(cost([*DVC, "repro"], plain, environment))
    show("no-op dvc repro", rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.flows", description=__doc__)
    measurements = {function.__name__: function for function in (noop, full, trivial)}
    parser.add_argument("what", nargs="+", choices=measurements)
    parser.add_argument("--pairs", type=int, default=3, help="of runs, one of each in turn (default: %(default)s)")
    arguments = parser.parse_args()
    chosen = arguments.what
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        environment = make_workspace(root / "workspace") | {"OMP_NUM_THREADS": "1"}
        os.environ.update({key: environment[key] for key in ("DO_NOT_TRACK", "DVC_SITE_CACHE_DIR")})
        subprocess.run([*DVC, "repro", "-q"], cwd=root / "workspace", env=environment, check=True)
        (root / "home").mkdir()
        port = free_port()
        server = start_server(root / "home" / "prefect", port) if {"noop", "full"} & set(chosen) else None
        environment["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
        try:
            for what in chosen:
                measurements[what](root / "workspace", environment, arguments.pairs)
        finally:
            if server is not None:
                server.terminate()
                server.wait()
