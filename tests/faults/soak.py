"""`python -m tests.faults.soak --cycles 200`: many retrain cycles on tiny data; does anything grow without end?

`flows.deploy` serves a workspace of its own whose one stage copies what was prepared, real frames, clips and models of
4 x 4 pixels, so that a cycle takes seconds: flows, Prefect, DVC and git are what is soaked. A cycle changes a video and
the model and runs `retrain`; every fifth turns all videos from bright to dark or back, so that its model beats the
champion and is promoted; every twentieth runs `generate`. `tidy` runs before each row of the table, but for the first
cycles (`--untidied`), which show what grows without it.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
from prefect.settings import PREFECT_API_URL, temporary_settings
from ruamel.yaml import YAML

from flows import deploy
from pipeline import model_versions
from pipeline.data.clips import write_clips
from pipeline.video import write_video
from tests.conftest import write_store
from tests.flows.conftest import free_port
from tests.flows.served import Served
from tests.flows.test_retrain import prepare_model

ROOT = Path(__file__).parents[2]
PIPELINE = """
stages:
  extract:
    cmd: >-
      cp -r prepared/frames prepared/clips prepared/model data
      && mkdir -p data/metrics && cp prepared/metrics.json data/metrics/metrics.json
    deps: [videos, prepared/frames, prepared/clips, prepared/model]
    outs: [data/frames, data/clips, data/model]
    metrics: [{data/metrics/metrics.json: {cache: false}}]
artifacts:
  generator: {path: data/model, type: model}
"""
PARAMS: dict[str, dict[str, Any]] = {
    "data": {"videos": "videos"},
    "generate": {"num_frames": 2, "workers": 1},
    "retain": {
        "model_versions": 3,
        "version_tags": 4,
        "cache": "tags",
        "runs_days": 0.001,  # a minute and a half
        "generated_days": 0.001,
        "training_states": 1,
        "server_log_mb": 0.05,
    },
}
NUM_VIDEOS, SHADE = 6, 0.4
PROMOTE_EVERY = 5  # cycles
SERVED_EVERY = 20  # cycles, with --in-process
COLUMNS = (
    *("cycle", "seconds", "promoted", "server_mb", "deploy_mb", "own_mb", "files", "processes", "database_mb"),
    *("log_kb", "cache_kb", "cache_files", "models", "tags", "generated", "train", "tmp_files", "home_files", "locked"),
)
IGNORED = "/data/*\n!/data/metrics/\n/models/\n/generated/\n/prepared/\n/videos/\n/inbox/\n/.train/\n"
SETTINGS = {  # of Prefect's server, whose events leave after 7 days as shipped: here a day is a minute, as in PARAMS
    "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": "PT600S",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_LOOP_SECONDS": "60",
}


class Soak:
    """A workspace, what changes in it, and what is measured there."""

    def __init__(self, folder: Path, *, in_process: bool) -> None:
        self.folder = folder
        self.in_process = in_process
        self.rng = np.random.default_rng(0)
        self.bright = True
        self.promoted = 0
        state = folder.parent / "state"
        identity = {f"GIT_{role}_{key}": "test" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
        environment = {
            **os.environ,
            **identity,
            "PYTHONPATH": str(ROOT),
            "DVC_SITE_CACHE_DIR": str(state / "dvc"),
            "DVC_NO_ANALYTICS": "1",
            "DO_NOT_TRACK": "1",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        if in_process:
            os.environ.update(environment)
        folder.mkdir(parents=True)
        self.configure()
        self.prepare(0)
        for command in (
            ["git", "init", "-q"],
            ["dvc", "init", "-q"],
            ["git", "add", "-A"],
            ["git", "commit", "-qm", "start"],
        ):
            subprocess.run(command, cwd=folder, env=environment, check=True)
        self.served = Served(folder, environment)
        if in_process:
            self.served.api = os.environ["PREFECT_API_URL"]
            self.served.port = int(self.served.api.rsplit(":")[-1].removesuffix("/api"))
        self.served.environment |= SETTINGS
        self.home = Path(self.served.environment["PREFECT_HOME"])
        if in_process:
            os.environ["PREFECT_HOME"] = str(self.home)  # where `tidy` finds the server's log

    def configure(self) -> None:
        """The pipeline that copies, and params by which little is kept."""
        (self.folder / "dvc.yaml").write_text(PIPELINE)
        shutil.copy(ROOT / "pyproject.toml", self.folder)  # Prefect reads its settings there
        (self.folder / "page.html").write_text("<p>a page")
        (self.folder / "data").mkdir()
        (self.folder / ".gitignore").write_text(IGNORED)
        yaml = YAML()
        params = yaml.load(ROOT / "params.yaml")
        for section, values in PARAMS.items():
            params[section].update(values)
        yaml.dump(params, self.folder / "params.yaml")

    def prepare(self, number: int) -> None:
        """Videos whose frames are of one shade with noise, their clips, and a model that predicts about that shade."""
        sign = 1 if self.bright else -1
        videos, prepared = self.folder / "videos", self.folder / "prepared"
        videos.mkdir(exist_ok=True)
        (videos / f"{number % NUM_VIDEOS}.mp4").write_text(str(number))
        shutil.rmtree(prepared / "clips", ignore_errors=True)
        shades = self.rng.normal(SHADE * sign, 0.05, (NUM_VIDEOS, 8, 4, 4, 1)).clip(-1, 1)
        arrays = {f"{i}.mp4": ((shade + 1) * 127.5).round().astype(np.uint8) for i, shade in enumerate(shades)}
        write_store(prepared / "frames", arrays)
        rows = [{"video": name, "split": "test", "start": 0, "stop": 8, "num_clips": 2} for name in arrays]
        write_clips(prepared / "clips", pd.DataFrame(rows), task="predict", context=2, horizon=3, stride=3)
        with chdir(self.folder):
            prepare_model(SHADE * sign, data=str(number))
        state = self.folder / f".train/{number:064x}"  # as every training leaves one
        state.mkdir(parents=True)
        (state / "state.safetensors").write_bytes(self.rng.bytes(10_000))
        (self.folder / "inbox").mkdir(exist_ok=True)
        frames = self.rng.integers(0, 255, (6, 16, 16, 3), dtype=np.uint8)
        write_video(self.folder / "inbox/video.mp4", iter(frames), 10.0)

    def cycle(self, number: int) -> None:
        """A change, a retrain, and what else is due."""
        promotes = number % PROMOTE_EVERY == 0 or number == 1
        if number % PROMOTE_EVERY == 0:
            self.bright = not self.bright
        self.prepare(number)
        state = self.run("retrain", in_process=self.in_process and number % SERVED_EVERY != 0)
        assert state["name"].startswith("Promoted v" if promotes else "Refused"), state
        self.promoted += promotes
        if number == 1 or number % (4 * PROMOTE_EVERY) == 0:
            assert self.run("generate", in_process=self.in_process)["name"] == "Completed"

    def run(self, flow: str, *, in_process: bool) -> dict[str, Any]:
        """Run a flow through its deployment, or in this process; AssertionError unless it completes."""
        if in_process:
            with chdir(self.folder):
                state: Any = next(each for each in deploy.FLOWS if each.name == flow)(return_state=True)
            assert state.is_completed(), state
            return {"name": state.name, "message": state.message}
        run = self.served.finish(self.served.trigger(flow), 1800)
        assert run["state_type"] == "COMPLETED", run["state"]
        return dict(run["state"])

    def measure(self) -> dict[str, float]:
        """What may grow, now that no flow runs."""
        self.served.wait_for(lambda: not self.served.processes("prefect.engine"), 60)
        serving, own = psutil.Process(self.served.process.pid), psutil.Process()
        servers = self.served.processes("flows.server")
        cache = tree(self.folder / ".dvc/cache")
        tags = subprocess.run(["git", "tag"], cwd=self.folder, capture_output=True, text=True, check=True).stdout
        logs = [*self.home.glob("server.log*"), self.folder.parent / "deploy.log"]
        return {
            "server_mb": sum(process.memory_info().rss for process in servers) / 1e6,
            "deploy_mb": serving.memory_info().rss / 1e6,
            "own_mb": own.memory_info().rss / 1e6,
            "files": serving.num_fds() + own.num_fds() + sum(process.num_fds() for process in servers),
            "processes": 1 + len(self.served.processes()),
            "database_mb": sum(path.stat().st_size for path in self.home.glob("prefect.db*")) / 1e6,
            "log_kb": sum(path.stat().st_size for path in self.home.glob("server.log*")) / 1e3,
            "cache_kb": sum(path.stat().st_size for path in cache) / 1e3,
            "cache_files": len(cache),
            "models": len(model_versions.versions(self.folder / "models")),
            "tags": len(tags.splitlines()),
            "generated": len(list((self.folder / "generated").rglob("*.mp4"))),
            "train": len(list((self.folder / ".train").iterdir())),
            "tmp_files": len(tree(self.folder / ".dvc/tmp")),
            "home_files": len(tree(self.home)),
            "locked": sum(path.read_text(errors="replace").count("database is locked") for path in logs),
        }


def tree(folder: Path) -> list[Path]:
    """The files under a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]


def soak(
    folder: Path, cycles: int, untidied: int, *, every: int = 10, minutes: float = 1e9, in_process: bool = False
) -> list[dict[str, float]]:
    """Run the cycles, for so many minutes at most; prints and returns a row per `every` cycles and one at first."""
    begin, work, rows = time.monotonic(), Soak(folder, in_process=in_process), []
    print(" ".join(f"{column:>11}" for column in COLUMNS))
    with work.served, temporary_settings({PREFECT_API_URL: work.served.api}):
        for number in range(cycles + 1):
            if number:
                work.cycle(number)
                if number % every == 0 and number > untidied:
                    print("tidy:", work.run("tidy", in_process=in_process)["message"], flush=True)
            over = time.monotonic() - begin > 60 * minutes
            if number % every == 0 or number == cycles or over:
                seconds = time.monotonic() - begin
                row = {"cycle": number, "seconds": seconds, "promoted": work.promoted, **work.measure()}
                rows.append(row)
                print(" ".join(f"{row[column]:11.1f}" for column in COLUMNS), flush=True)
            if over:
                break
    print(growth(rows, untidied), flush=True)
    return rows


def growth(rows: list[dict[str, float]], untidied: int) -> str:
    """How fast each column grows per 100 cycles, over the first and the second half of what was tidied: a table."""
    tidied = [row for row in rows if row["cycle"] > untidied]
    if len(tidied) < 4:
        return ""
    lines = [
        "| what | first | last | growth per 100 cycles, first half | second half |",
        "| --- | --- | --- | --- | --- |",
    ]
    for column in COLUMNS[3:]:
        slopes = []
        for half in (tidied[: len(tidied) // 2], tidied[len(tidied) // 2 :]):
            slopes.append(100 * np.polyfit([row["cycle"] for row in half], [row[column] for row in half], 1)[0])
        ends = f"{tidied[0][column]:.1f} | {tidied[-1][column]:.1f}"
        lines.append(f"| {column} | {ends} | {slopes[0]:+.2f} | {slopes[1]:+.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--every", type=int, default=10, help="cycles to a row of the table and a tidying")
    parser.add_argument("--untidied", type=int, default=20, help="first cycles, after which tidy does not run")
    parser.add_argument("--minutes", type=float, default=1e9, help="after which no further cycle begins")
    parser.add_argument(
        "--in-process",
        action="store_true",
        help="run flows in this process, which takes less time, and only every twentieth retrain through flows.deploy",
    )
    arguments = parser.parse_args()
    if arguments.in_process and "PREFECT_API_URL" not in os.environ:  # Prefect reads it when it is imported
        os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{free_port()}/api"
        os.execv(sys.executable, sys.orig_argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    with tempfile.TemporaryDirectory() as directory:
        soak(Path(directory) / "workspace", **vars(arguments))
