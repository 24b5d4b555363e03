#!/usr/bin/env bash
# OpenCV 5.0.0.93: cv2.VideoWriter asked for an odd width and height writes frames one pixel smaller each way.
#
# Behaviour: the writer says that it is open, every write() returns True, and the file is 62 x 46 for 63 x 47: the last
# row and column are cut off. Nothing is raised, and nothing is logged.
# Expected: the size that was asked for, or an error.
# Seen:
#   OpenCV 5.0.0: opened True, writes {True}, asked for (63, 47), written (62, 46)
# Way round: pad odd sizes to even ones before writing.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -qq opencv-python-headless==5.0.0.93 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import sys

import cv2
import numpy as np

size = (63, 47)  # width, height
writer = cv2.VideoWriter("odd.mp4", cv2.VideoWriter_fourcc(*"mp4v"), 10.0, size)
opened = writer.isOpened()
written = {writer.write(np.full((47, 63, 3), 128, np.uint8)) for _ in range(5)}
writer.release()
_, frame = cv2.VideoCapture("odd.mp4").read()
height, width, _ = frame.shape
print(f"OpenCV {cv2.__version__}: opened {opened}, writes {written}, asked for {size}, written {(width, height)}")
if (width, height) != (62, 46) or not opened:
    sys.exit("changed: another size was written, or the writer refused")
PYTHON
