"""`python -m tests.benchmarks.stream`: `foreframe stream` fed with a real clip at a camera's pace.

The clip goes over a pipe as raw frames, back and forth without end, --rate frames per second for --seconds. The clock
starts when the first frame has been taken. Prints what `foreframe stream` says of latency and deadlines.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

import cv2

from pipeline.video import read_frames
from tests.benchmarks.real_clips import footage

NUM_FRAMES = 60  # of the clip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="pretrained", help="a model directory (default: pretrained)")
    parser.add_argument("--side", type=int, default=256, help="height and width of the frames, pixels (default: 256)")
    parser.add_argument("--rate", type=float, default=30.0, help="frames per second (default: 30)")
    parser.add_argument("--ahead", type=int, default=1, help="as of foreframe stream (default: 1)")
    parser.add_argument("--seconds", type=float, default=60.0, help="(default: 60)")
    args = parser.parse_args()
    size = (args.side, args.side)
    with tempfile.TemporaryDirectory() as folder:
        video = sorted(footage(Path(folder) / "clips").iterdir())[0]
        clip = [cv2.resize(image, size) for _, image in islice(read_frames(video), NUM_FRAMES)]
    command = [
        sys.executable, "-m", "pipeline.cli", "stream", "--size", f"{args.side}x{args.side}", "--rate", str(args.rate),
        "--ahead", str(args.ahead), "--model", args.model,
    ]  # fmt: skip
    running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert running.stdin is not None
    begin = 0.0
    for number, frame in enumerate(islice(cycle([*clip, *reversed(clip)]), round(args.seconds * args.rate))):
        time.sleep(max(0.0, begin + number / args.rate - time.perf_counter()))
        running.stdin.write(frame.tobytes())
        running.stdin.flush()
        begin = begin or time.perf_counter()
    running.stdin.close()
    sys.exit(running.wait())


if __name__ == "__main__":
    main()
