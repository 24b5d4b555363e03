#!/usr/bin/env bash
# PyAV 18.1.0: decoded frames of an AVI file with B-frames come in display order, but their `pts` are not in order.
#
# Behaviour: AVI stores no presentation times. FFmpeg numbers the packets as they are stored, PyAV hands that number on
# as `frame.pts` (and in `frame.time`). With B-frames packets are stored out of display order, so that sorting or
# choosing frames by `pts` shuffles the video. `frame.dts` is in display order.
# Expected: `frame.pts` rises from frame to frame in display order, as it does for MP4 and Matroska.
# Seen:
#   PyAV 18.1.0: pictures in the order decoded: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
#   their pts: [1, 3, 4, 2, 6, 7, 5, 9, 10, 8, 12, 11]
#   their dts: [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, None, None]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -qq av==18.1.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import sys

import av
import numpy as np

with av.open("levels.avi", "w") as output:  # twelve pictures, each brighter than the one before
    stream = output.add_stream("libx264", rate=25)
    stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
    stream.options = {"bf": "2", "b-adapt": "0"}
    for number in range(12):
        output.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((64, 64, 3), 20 * number, np.uint8), format="rgb24")))
    output.mux(stream.encode())

with av.open("levels.avi") as source:
    frames = list(source.decode(video=0))
pictures = [round(float(frame.to_ndarray(format="gray").mean()) / 20) for frame in frames]
pts, dts = [frame.pts for frame in frames], [frame.dts for frame in frames]
print(f"PyAV {av.__version__}: pictures in the order decoded: {pictures}\ntheir pts: {pts}\ntheir dts: {dts}")
if pictures != sorted(pictures) or pts == sorted(pts):
    sys.exit("changed: the frames, or their pts, are in another order")
PYTHON
