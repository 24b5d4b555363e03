#!/usr/bin/env bash
# One GIF, three lengths: a frame with a delay of 0 lasts 1 s for OpenCV 5.0.0, 0.1 s for PyAV 18.1.0, no time for Pillow.
#
# Behaviour: a delay of 0 hundredths ("as fast as possible") is common in GIFs. FFmpeg, and so PyAV, makes 10 hundredths
# of it, as browsers do. cv2.imreadanimation makes 1,000 milliseconds of it, the value of its own default, and Pillow
# leaves `duration` out of the frame's info. Frame rates and times of the same file differ by a factor of ten.
# Expected: 100 ms, as browsers show it; at least no longer than any other delay.
# Seen, milliseconds per frame (stored: 0, 10, 20, 100):
#   Pillow 13.0.0: [None, 10, 20, 100]
#   PyAV 18.1.0: starts at [0, 100, 110, 130]
#   OpenCV 5.0.0: [1000, 10, 20, 100]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -qq av==18.1.0 opencv-python-headless==5.0.0.93 pillow==13.0.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import sys

import av
import cv2
import PIL
from PIL import Image

first, *others = [Image.new("L", (16, 16), 50 * number) for number in range(4)]
first.save("delays.gif", save_all=True, append_images=others, duration=[0, 10, 20, 100], loop=0)

pillow = []
with Image.open("delays.gif") as image:
    for number in range(image.n_frames):
        image.seek(number)
        pillow.append(image.info.get("duration"))
with av.open("delays.gif") as source:
    starts = [round(1000 * frame.time) for frame in source.decode(video=0)]
_, animation = cv2.imreadanimation("delays.gif")
opencv = [int(duration) for duration in animation.durations]
print(f"Pillow {PIL.__version__}: {pillow}\nPyAV {av.__version__}: starts at {starts}\nOpenCV {cv2.__version__}: {opencv}")
if (pillow, starts[1], opencv[0]) != ([None, 10, 20, 100], 100, 1000):
    sys.exit("changed: the three read other durations")
PYTHON
