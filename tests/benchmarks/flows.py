"""What orchestration costs: `python -m tests.benchmarks.flows noop | full | trivial` prints a table, seconds a run.

noop: `retrain` on an up-to-date workspace against `dvc status`. full: all six stages by `python -m flows.repro` against
plain `dvc repro`. trivial: a `dvc repro` that finds nothing to do, our six stages against six that only copy.
The pipeline is the real one on small parameters, in a copy of the working tree; a Prefect server of its own is started.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.flows.conftest import free_port, start_server
from tests.workspace import make_workspace

DVC = [sys.executable, "-m", "dvc"]
PAIRS = 3  # of runs, one of each in turn


def seconds(command: list[str], folder: Path, environment: dict[str, str]) -> float:
    """Wall time of a command that succeeds."""
    begin = time.monotonic()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return time.monotonic() - begin


def show(title: str, rows: dict[str, list[float]]) -> None:
    """Medians and all values; the difference and the ratio of the first to the second."""
    print(title)
    for name, values in rows.items():
        print(f"  {name:32} {statistics.median(values):7.2f}   ({', '.join(f'{value:.2f}' for value in values)})")
    ours, plain = (statistics.median(values) for values in rows.values())
    print(f"  {'difference, ratio':32} {ours - plain:7.2f}   {ours / plain:.2f}x")


def noop(folder: Path, environment: dict[str, str]) -> None:
    """An up-to-date workspace."""
    subprocess.run([sys.executable, "-m", "flows.retrain"], cwd=folder, env=environment, check=True)
    rows: dict[str, list[float]] = {"python -m flows.retrain": [], "dvc status": []}
    for _ in range(PAIRS):
        rows["python -m flows.retrain"].append(seconds([sys.executable, "-m", "flows.retrain"], folder, environment))
        rows["dvc status"].append(seconds([*DVC, "status"], folder, environment))
    bare = [sys.executable, "-c", "import flows.retrain"]
    imports = statistics.median(seconds(bare, folder, environment) for _ in range(PAIRS))
    show("no-op", rows)
    print(f"  {'of which import':32} {imports:7.2f}")


def full(folder: Path, environment: dict[str, str]) -> None:
    """Every stage runs: a new seed for the videos, which changes them all."""
    rows: dict[str, list[float]] = {"python -m flows.repro": [], "dvc repro": []}
    params = folder / "params.yaml"
    for number in range(PAIRS):
        for name, command in (
            ("python -m flows.repro", [sys.executable, "-m", "flows.repro"]),
            ("dvc repro", [*DVC, "repro"]),
        ):
            seed = 100 + 10 * number + (name == "dvc repro")
            params.write_text(re.sub(r"(?<=sample:)([^\n]*\n  seed: )\d+", rf"\g<1>{seed}", params.read_text()))
            rows[name].append(seconds(command, folder, environment))
    show("all six stages", rows)


def trivial(folder: Path, environment: dict[str, str]) -> None:
    """`dvc repro` with nothing to do."""
    plain = folder.parent / "trivial"
    plain.mkdir()
    (plain / "s0").write_text("x")
    stages = [f"  s{i}: {{cmd: cp s{i - 1} s{i}, deps: [s{i - 1}], outs: [s{i}]}}" for i in range(1, 7)]
    (plain / "dvc.yaml").write_text("\n".join(["stages:", *stages, ""]))
    for command in (["git", "init", "-q"], [*DVC, "init", "-q"], [*DVC, "repro", "-q"]):
        subprocess.run(command, cwd=plain, env=environment, check=True)
    rows: dict[str, list[float]] = {"our six stages": [], "six stages that copy": []}
    for _ in range(2 * PAIRS):
        rows["our six stages"].append(seconds([*DVC, "repro"], folder, environment))
        rows["six stages that copy"].append(seconds([*DVC, "repro"], plain, environment))
    show("no-op dvc repro", rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.flows", description=__doc__)
    measurements = {function.__name__: function for function in (noop, full, trivial)}
    parser.add_argument("what", nargs="+", choices=measurements)
    chosen = parser.parse_args().what
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
                measurements[what](root / "workspace", environment)
        finally:
            if server is not None:
                server.terminate()
                server.wait()
