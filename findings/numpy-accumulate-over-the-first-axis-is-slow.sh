#!/usr/bin/env bash
# NumPy 2.4.6: np.add.accumulate over the first axis takes tens of times as long as the same sum in a Python loop.
#
# Behaviour: to undo differences between frames, uint8 (T, H, W, C), the frames are summed up over time, modulo 256.
# accumulate walks through the array pixel by pixel with a stride of a whole frame; a loop over T of np.add on whole
# frames is vectorised. Both give the same bytes.
# Expected: accumulate no slower than the loop.
# Seen, one processor of 2024:
#   NumPy 2.4.6, uint8 (64, 64, 64, 1): accumulate 70 times as long as a loop of np.add, results equal
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -qq numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import sys
from timeit import repeat

import numpy as np

changes = np.random.default_rng(0).integers(0, 256, (64, 64, 64, 1), np.uint8)


def accumulated():
    return np.add.accumulate(changes, axis=0, dtype=np.uint8)


def summed():
    frames = changes.copy()
    for before, frame in zip(frames, frames[1:]):
        np.add(before, frame, out=frame)
    return frames


equal = np.array_equal(accumulated(), summed())
slow, fast = (min(repeat(each, number=20, repeat=5)) for each in (accumulated, summed))
print(
    f"NumPy {np.__version__}, uint8 {changes.shape}: accumulate {slow / fast:.0f} times as long as a loop of np.add, "
    f"results {'equal' if equal else 'differ'}"
)
sys.exit(not (equal and slow > 5 * fast))
PYTHON
