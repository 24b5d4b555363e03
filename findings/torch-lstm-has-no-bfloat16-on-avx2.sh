#!/usr/bin/env bash
# torch 2.13.0: under CPU autocast a convolution runs in bfloat16 on every processor, nn.LSTM on AVX2 alone raises.
#
# Behaviour: torch.autocast("cpu") casts to bfloat16 wherever oneDNN can emulate it, which it can for convolutions and
# matrix products on AVX2. For nn.LSTM autocast takes oneDNN's recurrent primitive, of which there is none for bfloat16
# below AVX-512: the same module that trains on a server raises on a laptop, in training and in inference.
# ONEDNN_MAX_CPU_ISA=AVX2 shows that on any processor.
# Expected: float32, or the composed LSTM, where there is no primitive.
# Seen:
#   torch 2.13.0, conv2d: torch.bfloat16
#   torch 2.13.0, LSTM: could not create a primitive descriptor for the LSTM forward propagation primitive
# Way round: no autocast around nn.LSTM where the processor has no bfloat16.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -qq torch==2.13.0 numpy==2.4.6
if ! grep -qw avx2 /proc/cpuinfo; then
    echo "this processor has no AVX2: nothing to see" >&2
    exit 2
fi
ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 "$work/venv/bin/python" - <<'PYTHON'
import sys

import torch

version = torch.__version__.partition("+")[0]
with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
    convolved = torch.nn.Conv2d(4, 8, 3)(torch.randn(1, 4, 16, 16))
    print(f"torch {version}, conv2d: {convolved.dtype}")
    try:
        answer = str(torch.nn.LSTM(64, 128, 2, batch_first=True)(torch.randn(4, 20, 64))[0].dtype)
    except RuntimeError as error:
        answer = str(error).partition(".")[0]
print(f"torch {version}, LSTM: {answer}")
sys.exit(convolved.dtype != torch.bfloat16 or "could not create a primitive" not in answer)
PYTHON
