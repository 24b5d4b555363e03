"""How time grows with the number of videos: `python -m tests.benchmarks.growth --videos 10 100 1000`.

Makes that many short videos (one clip, each with bytes of its own at its end, so that every hash differs)
in a workspace with small parameters, and prints for each step the seconds of wall and of processor, and peak memory:
looking whether somebody copies (flows.arrivals), preflight's look, a plan, and the stage extract under DVC: all videos
new, nothing new, one video more (three times, and the median of what `dvc repro` takes beyond `dvc status`).

With --stages, instead, the stages after it, on a frame store of so many videos of forty frames of 16 x 16: training
ends after some seconds of steps (train.max_minutes) and 64 clips are evaluated, so that what grows is what each stage
does with all videos; the last line is the size of the page.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from pipeline.data.arrays import write_array
from pipeline.data.frames import COLUMNS, write_index
from pipeline.video import write_video
from tests.workspace import make_workspace

STEPS = {
    "look": "from flows.arrivals import look; look(Path('videos'))",
    "preflight": "from pipeline.ingest import preflight; preflight.check(Path('videos'), [])",
    "plan": "from flows.prefect_dvc.graph import plan; plan()",
}
DVC = [sys.executable, "-m", "dvc"]
STAGES = {
    "tensorize": ["data/frames", "data/clips"],
    "train": ["data/frames", "data/clips", "data/model", "data/training"],
    "evaluate": ["data/frames", "data/clips", "data/model", "data/metrics"],
    "render": ["data/frames", "data/clips", "data/model", "data/training", "data/metrics", "data/renders"],
}
ONE_MORE = 3  # times
EXTRACT = [sys.executable, "-m", "pipeline.stages.extract", "data/frames"]


def moving_square() -> list[np.ndarray]:
    """Forty frames of 64 x 64."""
    frames = np.zeros((40, 64, 64, 3), np.uint8)
    for number, frame in enumerate(frames):
        frame[number : number + 16, 10:26] = 255
    return list(frames)


def fill(folder: Path, clip: bytes, number: int) -> None:
    """Videos 0 to `number`; a box of type `free`, which players skip, makes each another file."""
    folder.mkdir(exist_ok=True)
    for index in range(number):
        path = folder / f"{index // 100:03}" / f"{index:05}.mp4"
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            path.write_bytes(clip + (16).to_bytes(4, "big") + b"free" + index.to_bytes(8, "big"))


def cost(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[float, float, float]:
    """Seconds of wall, of processor (its children too), and peak memory in megabytes of the largest process."""
    begun = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, said.decode()[-2000:]
    return time.monotonic() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def timed(step: str, folder: Path, environment: dict[str, str]) -> tuple[float, float, float]:
    """What a step takes beside its imports, in a process of its own."""
    imports, call = STEPS[step].rsplit("; ", 1)
    code = f"""
import resource, time
from pathlib import Path
{imports}
wall, processor = time.monotonic(), time.process_time()
{call}
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
print(time.monotonic() - wall, time.process_time() - processor, peak)
"""
    said = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, check=True)
    wall, processor, memory = map(float, said.stdout.split()[-3:])
    return wall, processor, memory


def measure(root: Path, number: int, clip: bytes | None) -> None:
    """One line per step."""
    folder = root / f"w{number}"
    environment = make_workspace(folder) | {"OMP_NUM_THREADS": "1"}
    params = folder / "params.yaml"
    params.write_text(params.read_text().replace("videos: data/sample", "videos: videos"))
    if clip is None:
        write_video(folder / "clip.mp4", moving_square(), fps=10)
        clip = (folder / "clip.mp4").read_bytes()
    fill(folder / "videos", clip, number)

    def show(step: str, values: tuple[float, float, float]) -> None:
        print(f"{number:6} {step:24} {values[0]:8.2f} {values[1]:8.2f} {values[2]:8.0f}", flush=True)

    for step in ("look", "preflight", "plan"):
        show(step, timed(step, folder, environment))
    show("dvc repro extract, first", cost([*DVC, "repro", "-q", "-s", "extract"], folder, environment))
    show("dvc repro extract, no-op", cost([*DVC, "repro", "-q", "-s", "extract"], folder, environment))
    show("plan, nothing new", timed("plan", folder, environment))
    show("extract, nothing new", cost(EXTRACT, folder, environment))
    beyond = []
    for more in range(1, 1 + ONE_MORE):
        fill(folder / "videos", clip, number + more)
        status = cost([*DVC, "status", "extract"], folder, environment)
        show("dvc status extract, one", status)
        repro = cost([*DVC, "repro", "-q", "-s", "extract"], folder, environment)
        show("dvc repro extract, one", repro)
        beyond.append([mine - its for mine, its in zip(repro, status, strict=True)])
    show("repro beyond status, one", (*np.median(beyond, axis=0),))


def fill_store(frames: Path, number: int) -> None:
    """A frame store as the stage extract leaves it, of videos of noise."""
    generator = np.random.default_rng(0)
    rows = []
    for index in range(number):
        name = f"{index:05}.mp4"
        write_array(frames / f"{name}.npy", generator.integers(0, 256, (40, 16, 16, 1), np.uint8))
        facts = {"num_frames": 40, "stored_frames": 40, "fps": 10.0, "height": 64, "width": 64, "duration_seconds": 4.0}
        texts = {"path": name, "status": "ok", "sha256": hashlib.sha256(name.encode()).hexdigest()}
        rows.append(dict.fromkeys(COLUMNS, "") | facts | texts | {"array": f"{name}.npy"})
    write_index(frames, rows)


def measure_stages(root: Path, number: int) -> None:
    """One line per stage after `extract`."""
    folder = root / f"s{number}"
    environment = make_workspace(folder) | {"OMP_NUM_THREADS": "1"}
    params = folder / "params.yaml"
    text = re.sub(r"max_minutes:.*", "max_minutes: 0.05", params.read_text())
    params.write_text(re.sub(r"max_clips:.*", "max_clips: 64", text))
    fill_store(folder / "data/frames", number)
    for name, paths in STAGES.items():
        values = cost([sys.executable, "-m", f"pipeline.stages.{name}", *paths], folder, environment)
        print(f"{number:6} {name:24} {values[0]:8.2f} {values[1]:8.2f} {values[2]:8.0f}", flush=True)
    page = (folder / "data/renders/index.html").stat().st_size
    print(f"{number:6} {'the page, MB':24} {page / 1e6:8.2f}", flush=True)


def main() -> None:
    """Measure each number of videos."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.growth", description="How time grows with videos")
    parser.add_argument("--videos", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--clip", type=Path, help="an .mp4 file that is copied instead of a small one")
    parser.add_argument("--stages", action="store_true", help="what comes after extract")
    arguments = parser.parse_args()
    clip = arguments.clip.read_bytes() if arguments.clip else None
    print(f"{'videos':>6} {'step':24} {'wall s':>8} {'CPU s':>8} {'MB':>8}")
    with tempfile.TemporaryDirectory() as name:
        for number in arguments.videos:
            if arguments.stages:
                measure_stages(Path(name), number)
            else:
                measure(Path(name), number, clip)


if __name__ == "__main__":
    main()
