"""Independent stages side by side: `python -m tests.benchmarks.diamond` times a diamond of four sleeping stages.

It prints the time from the start of the first stage's task to the end of the last one's, and its ratio to the longest
path, three stages one after another. What is above 1 is DVC (a process and its imports for every stage), Prefect and
the wait for DVC's lock.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

from tests.flows.conftest import ask, free_port, start_server, task_runs
from tests.flows.prefect_dvc import foreign


def project(folder: Path, seconds: float) -> None:
    """A diamond of stages that sleep, in a new repository."""
    stages = {"top": [], "left": ["top"], "right": ["top"], "end": ["left", "right"]}
    lines = ["stages:"]
    for name, needs in stages.items():
        lines += [f"  {name}:", f"    cmd: sleep {seconds} && cat seed {' '.join(needs)} > {name}"]
        lines += [f"    deps: [{', '.join(['seed', *needs])}]", f"    outs: [{name}]"]
    foreign.init(folder, {"dvc.yaml": "\n".join(lines) + "\n", "seed": "seed\n"})


def measure(folder: Path, api: str) -> float:
    """Run the flow; returns the seconds that its tasks took together."""
    began = time.time()
    command = [sys.executable, "-m", "flows.prefect_dvc", str(folder)]
    environment = {**foreign.environment(folder), "PREFECT_API_URL": api, "PREFECT_LOGGING_LEVEL": "ERROR"}
    subprocess.run(command, env=environment, check=True)
    time.sleep(3)  # the server hears of tasks by events
    [run] = ask(api, "flow_runs/filter", sort="START_TIME_DESC", limit=1)
    tasks = ask(api, "task_runs/filter", flow_runs={"id": {"any_": [run["id"]]}})
    assert {state["name"] for state in task_runs(api, run["id"]).values()} == {"Completed"}, tasks
    ends = [_seconds(task["end_time"]) for task in tasks]
    starts = [_seconds(task["start_time"]) for task in tasks]
    assert min(starts) > began - 1
    return max(ends) - min(starts)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.diamond", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--seconds", type=float, nargs="+", default=[10.0], help="that each stage sleeps")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        port = free_port()
        server = start_server(Path(name) / "home", port)
        try:
            for seconds in arguments.seconds:
                folder = Path(name) / f"diamond-{seconds:g}"
                project(folder, seconds)
                for run in range(arguments.runs):
                    (folder / "seed").write_text(f"{run}\n")
                    took = measure(folder, f"http://127.0.0.1:{port}/api")
                    load = os.getloadavg()[0]
                    ratio = took / (3 * seconds)
                    print(
                        f"stages of {seconds:g} s: {took:.1f} s, {ratio:.2f} of the longest path, "
                        f"{took / (4 * seconds):.2f} of the sum (load {load:.1f})",
                        flush=True,
                    )
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
