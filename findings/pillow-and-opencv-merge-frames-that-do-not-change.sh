#!/usr/bin/env bash
# Pillow 13.0.0, OpenCV 5.0.0: ten equal frames of 100 ms become one frame, in APNG and WebP without its second.
#
# Behaviour: when an animation is saved, frames equal to the one before are dropped, and their time is to be added to
# that one's. Where that leaves a single frame, Pillow writes a plain PNG without any duration and a WebP of 0 ms (a
# GIF of 1,000 ms keeps it); AVIF and TIFF keep ten. cv2.imwriteanimation does so for PNG and WebP. A scene that stands
# still, or the end of one that stops, has other numbers of frames by container, and may have no length at all.
# Expected: ten frames of 100 ms, or one of 1,000 ms.
# Seen, frames (and milliseconds of the first) when read by Pillow:
#   Pillow 13.0.0: gif 1 (1000), png 1 (None), webp 1 (0), avif 10 (100)
#   OpenCV 5.0.0: gif 10 (100), png 1 (None), webp 1 (0), avif 10 (100)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -qq opencv-python-headless==5.0.0.93 pillow==13.0.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import sys

import cv2
import numpy as np
import PIL
from PIL import Image

KINDS = ("gif", "png", "webp", "avif")
SEEN = {
    f"Pillow {PIL.__version__}": {"gif": (1, 1000), "png": (1, None), "webp": (1, 0), "avif": (10, 100)},
    f"OpenCV {cv2.__version__}": {"gif": (10, 100), "png": (1, None), "webp": (1, 0), "avif": (10, 100)},
}
still = np.full((32, 32, 3), 50, np.uint8)


def by_pillow(name):
    first, *others = [Image.fromarray(still) for _ in range(10)]
    first.save(name, save_all=True, append_images=others, duration=100)


def by_opencv(name):
    animation = cv2.Animation()
    animation.frames, animation.durations = [still] * 10, [100] * 10
    assert cv2.imwriteanimation(name, animation)


def read(name):
    with Image.open(name) as image:
        image.load()
        return getattr(image, "n_frames", 1), image.info.get("duration")


changed = False
for (writer, expected), write in zip(SEEN.items(), (by_pillow, by_opencv), strict=True):
    found = {}
    for kind in KINDS:
        write(f"still.{kind}")
        found[kind] = read(f"still.{kind}")
    print(f"{writer}: " + ", ".join(f"{kind} {count} ({duration})" for kind, (count, duration) in found.items()))
    changed |= found != expected
sys.exit(changed)
PYTHON
