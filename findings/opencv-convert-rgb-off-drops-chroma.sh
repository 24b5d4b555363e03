#!/usr/bin/env bash
# opencv-python 5.0.0.93: cv2.VideoCapture with CAP_PROP_CONVERT_RGB off gives yuv420p frames without their colour.
#
# Behaviour: CAP_PROP_CODEC_PIXEL_FORMAT says I420, whose picture of 48 rows is an array of 72 (brightness, then both
# colour planes at half size). What read() returns has 48 rows: the plane of brightness alone. A red picture and a grey
# one of the same brightness are the same array to a level. All that tells is a line on standard error.
# Expected: (72, 64), which cv2.cvtColor(…, COLOR_YUV2BGR_I420) takes.
# Seen:
#   OpenCV 5.0.0
#   pixel format: I420, shape: (48, 64), the same for red and grey: True
# Way round: leave the conversion on, or decode by a library that gives planes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
. "$work/venv/bin/activate"
pip install -qq opencv-python==5.0.0.93 numpy==2.4.6
cd "$work"
python - <<'PY' 2> "$work/stderr" || { cat "$work/stderr" >&2; exit 1; }
import sys

import cv2
import numpy as np


def first_frame(name, colour):
    writer = cv2.VideoWriter(name, cv2.VideoWriter_fourcc(*"mp4v"), 10, (64, 48))
    for _ in range(3):
        writer.write(np.full((48, 64, 3), colour, np.uint8))
    writer.release()
    capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG)
    capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
    kind = int(capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT)).to_bytes(4, "little").decode()
    good, frame = capture.read()
    assert good, "not decoded"
    return kind, frame


(kind, red), (_, grey) = first_frame("red.mp4", (0, 0, 255)), first_frame("grey.mp4", (76, 76, 76))
alike = red.shape == grey.shape and int(np.abs(red.astype(int) - grey).max()) <= 1
print(f"OpenCV {cv2.__version__}")
print(f"pixel format: {kind}, shape: {red.shape}, the same for red and grey: {alike}")
if (kind, red.shape, alike) != ("I420", (48, 64), True):
    sys.exit("changed: colour is there")
PY
