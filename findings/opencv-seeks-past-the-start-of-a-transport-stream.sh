#!/usr/bin/env bash
# OpenCV 5.0.0: set(CAP_PROP_POS_FRAMES, 0) in an MPEG transport stream goes to the second key frame, and says it worked.
#
# Behaviour: frames are found by seeking to a time and decoding on from there. In MP4 and Matroska, which have an index,
# every frame asked for is the one that comes. In a transport stream a request for frame 0, 5 or 10 gives frame 12 or 13
# (key frames every 12), `set` and `read` return True, and only FFmpeg's complaints on stderr tell. Whoever "rewinds" a
# .ts recording loses its first picture group.
# Expected: frame 0, or False.
# Seen:
#   OpenCV 5.0.0, frames asked for: [0, 5, 10, 20, 30]
#   c.mp4: [0, 5, 10, 20, 30]
#   c.ts: [12, 13, 13, 20, 30]
# Way round: open the file again and grab() up to the frame.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -qq av==18.1.0 opencv-python-headless==5.0.0.93 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - 2>"$work/complaints" <<'PYTHON'
import sys

import av
import cv2
import numpy as np

ASKED = [0, 5, 10, 20, 30]


def found(name):
    """The numbers of the frames that come, each a level of grey."""
    with av.open(name, "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.options = {"g": "12", "bf": "2"}
        for number in range(60):
            picture = np.full((48, 64, 3), 4 * number, np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode())
    capture = cv2.VideoCapture(name)
    numbers = []
    for number in ASKED:
        assert capture.set(cv2.CAP_PROP_POS_FRAMES, number)
        there, picture = capture.read()
        assert there
        numbers.append(round(picture.mean() / 4))
    return numbers


print(f"OpenCV {cv2.__version__}, frames asked for: {ASKED}")
seen = {name: found(name) for name in ("c.mp4", "c.ts")}
for name, numbers in seen.items():
    print(f"{name}: {numbers}", flush=True)
sys.exit(not (seen["c.mp4"] == ASKED and seen["c.ts"][0] == 12))
PYTHON
