#!/usr/bin/env bash
# torch 2.13.0: sampling a picture by affine_grid's identity does not give the picture back, even at sides of 2^n pixels.
#
# Behaviour: F.affine_grid(identity, align_corners=False) makes its coordinates by linspace times (n - 1) / n, which
# rounds; grid_sample then mixes neighbours by some 1e-6. (2 i + 1) / n - 1 is the same coordinate, and exact in float32
# where n is a power of two: with it the picture comes back to the bit. In a recurrent network that warps its last output
# the error comes back at every step, and "nothing moves" is not a fixed point.
# Expected: the identity, where float32 can say it.
# Seen:
#   torch 2.13.0, 64 x 64: by affine_grid's identity not equal, off by about 3e-06; by (2 i + 1) / n - 1 equal
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -qq torch==2.13.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import sys

import torch
import torch.nn.functional as F

side = 64
picture = torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(0))
centres = (2 * torch.arange(side) + 1) / side - 1
exact = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1)[None]
offered = F.affine_grid(torch.eye(2, 3)[None], [1, 1, side, side], align_corners=False)
ours, theirs = (F.grid_sample(picture, grid, align_corners=False) for grid in (exact, offered))
equal = torch.equal(picture, theirs), torch.equal(picture, ours)
words = ["equal" if same else "not equal" for same in equal]
print(
    f"torch {torch.__version__.partition('+')[0]}, {side} x {side}: by affine_grid's identity {words[0]}, off by about "
    f"{(picture - theirs).abs().max().item():.0e}; by (2 i + 1) / n - 1 {words[1]}"
)
sys.exit(equal != (False, True) and "changed: another grid gives the picture back")
PYTHON
