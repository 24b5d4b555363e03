"""Why PyAV decodes and not cv2.VideoCapture: the corpus of odd files through the plain OpenCV loop, and through ours.

`python -m tests.benchmarks.extract --only evidence` prints for how many files each does what tests/corpus expects:
the frames, their times and colours, or (ours) the reason; of the plain loop only that it returns nothing and lives.
"""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from pipeline.data.frames import FrameStore
from pipeline.ingest.folder import printable
from pipeline.stages.extract import extract
from tests.conftest import data_in
from tests.corpus.colors import COLORS, UNCONVERTED
from tests.corpus.cropped import CROPPED
from tests.corpus.refused import DAMAGED, NO_VIDEOS
from tests.corpus.stamps import STAMPS
from tests.corpus.streams import PICTURES, STREAMS
from tests.corpus.tagged import TAGGED
from tests.corpus.uploads import UPLOADS
from tests.corpus.videos import GOOD, Expected
from tests.pipeline.stages.test_extract import params
from tests.pipeline.stages.test_extract_corpus import check_file, check_picture

# what is to be refused unopened (REFUSED) is for our reader alone
GROUPS = {
    "videos": GOOD | COLORS | STAMPS | STREAMS | CROPPED | UPLOADS | TAGGED,
    "no videos": NO_VIDEOS | PICTURES | UNCONVERTED,
    "damaged": DAMAGED,
}
TIMEOUT_SECONDS = 10
PLAIN = """
import sys, cv2, numpy as np
capture = cv2.VideoCapture(sys.argv[1])
images, times = [], []
while len(images) < 1000:
    good, image = capture.read()
    if not good:
        break
    images.append(cv2.resize(image, (12, 12), interpolation=cv2.INTER_AREA)[:, :, ::-1])
    times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
np.savez(sys.argv[2], images=np.array(images), times=np.array(times))
"""


def plain(path: Path, expected: Expected, result: Path) -> str:
    """What is wrong with what the plain loop returns, in a process of its own; "" if nothing."""
    result.unlink(missing_ok=True)
    command = [sys.executable, "-c", PLAIN, path, result]
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return "hangs"
    if done.returncode < 0:
        return "crashes"
    if done.returncode:
        return "stops with an error"
    with np.load(result) as arrays:
        images, times = arrays["images"].astype(int), arrays["times"]
    if expected.status == "skipped":
        return "takes it for a video" if len(images) else ""
    if expected.status == "damaged":
        return "does not say that it is damaged" if len(images) else "returns no frame"
    return misses(images, times, expected)


def misses(images: np.ndarray, times: np.ndarray, expected: Expected) -> str:
    """What is wrong with the frames (T, 12, 12, 3) of an intact video and their times in seconds; "" if nothing."""
    if not len(images):
        return "returns no frame"
    if expected.num_frames is not None and len(images) != expected.num_frames:
        return "returns other frames"
    try:
        for image, level in zip(images, expected.levels, strict=False):
            check_picture(image, level, expected)
    except AssertionError:
        return "returns other colours"
    if expected.times is not None and np.abs(times - times[0] - expected.times).max() > 0.002:
        return "returns other times"
    return ""


def ours(videos: Path, store: FrameStore, name: str) -> str:
    """What is wrong with our row and frames of a file; "" if nothing."""
    try:
        check_file(videos, store, name)
    except AssertionError:
        return "not as expected"
    return ""


def evidence(folder: Path) -> None:
    """Print for how many files of each group the plain loop and ours do what is expected, and what the others do."""
    videos = folder / "videos"
    videos.mkdir()
    cases = {name: case for group in GROUPS.values() for name, case in group.items()}
    for name, (build, _) in cases.items():
        build(videos / name)
    wanted = params(size=(12, 12), color="rgb", fit="stretch", max_pixels=2_000_000, max_seconds=36000.0)
    extract(folder / "frames", data=data_in(videos), extract=wanted)
    store = FrameStore(folder / "frames")
    print(f"\n{len(cases)} odd files: as expected in the plain OpenCV loop, and in ours")
    totals = Counter[str]()
    for title, group in GROUPS.items():
        wrong = {name: plain(videos / name, group[name][1], folder / "plain.npz") for name in group}
        our_wrong = [name for name in group if ours(videos, store, name)]
        right = sum(not what for what in wrong.values())
        totals += Counter(plain=right, ours=len(group) - len(our_wrong))
        print(f"  {title:10} {len(group):4}: {right:4} {len(group) - len(our_wrong):4}", flush=True)
        for what, count in Counter(what for what in wrong.values() if what).most_common():
            names = ", ".join(printable(name) for name in wrong if wrong[name] == what)
            print(f"      plain {what} ({count}): {names}")
        for name in our_wrong:
            print(f"      ours: {printable(name)}")
    print(f"  {'all':10} {len(cases):4}: {totals['plain']:4} {totals['ours']:4}")
