#!/usr/bin/env bash
# torch 2.13.0: ATEN_CPU_CAPABILITY limits the kernels, but torch.cpu.get_capabilities() goes on naming the better ones.
#
# Behaviour: with ATEN_CPU_CAPABILITY=default torch uses its plainest kernels, and get_cpu_capability() says so, while
# get_capabilities() asks the processor itself. A program that chooses bfloat16 by get_capabilities() does so too where
# it is told to behave as an older processor, and what it then measures is an emulation several times slower than
# the float32 that the older processor would have taken.
# Expected: one answer.
# Seen, on a processor with AVX2:
#   torch 2.13.0
#   torch.backends.cpu.get_cpu_capability(): DEFAULT
#   torch.cpu.get_capabilities()["avx2"]: True
# Way round: ask get_cpu_capability() first.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
. "$work/venv/bin/activate"
pip install -qq torch==2.13.0 numpy==2.4.6
if ! grep -qw avx2 /proc/cpuinfo; then
    echo "this processor has no AVX2: nothing to see" >&2
    exit 2
fi
ATEN_CPU_CAPABILITY=default python - <<'PY'
import sys

import torch

level, avx2 = torch.backends.cpu.get_cpu_capability(), torch.cpu.get_capabilities()["avx2"]
print(f"torch {torch.__version__.partition('+')[0]}")
print(f"torch.backends.cpu.get_cpu_capability(): {level}")
print(f'torch.cpu.get_capabilities()["avx2"]: {avx2}')
sys.exit((level, avx2) != ("DEFAULT", True) and "changed: both heed ATEN_CPU_CAPABILITY")
PY
