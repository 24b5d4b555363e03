#!/usr/bin/env bash
# torch 2.13.0: torch.optim.Muon multiplies in bfloat16 whatever the parameters are, on processors that emulate it too.
#
# Behaviour: the Newton-Schulz iteration of torch.optim.Muon begins with grad.bfloat16(), and no argument changes that.
# On a GPU that is what one wants; on a processor without bfloat16 instructions (AVX2: most laptops) each product is
# emulated, and a step of the optimizer takes ten times as long as the same iteration in the float32 of the weights.
# For a small model that is more than the forward and backward pass of its convolutions.
# Expected: products in the parameters' type, or an argument for it.
# Seen, with ATEN_CPU_CAPABILITY=avx2 and ONEDNN_MAX_CPU_ISA=AVX2, one thread, matrices of 128 x 576:
#   torch 2.13.0
#   torch.optim.Muon takes 14 times as long as its iteration in float32
# Way round: an iteration of one's own, in float32 where bfloat16 is emulated.
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
OMP_NUM_THREADS=1 ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 python - <<'PY'
import sys
import time

import torch


def float32_step(weight, gradient, momentum):
    momentum.lerp_(gradient, 0.05)
    x = gradient.lerp(momentum, 0.95)
    x = x / x.norm()
    for _ in range(5):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=-4.775, alpha=2.0315), x, beta=3.4445)
    weight.sub_(x, alpha=1e-3)


weight = torch.nn.Parameter(torch.randn(128, 576))
weight.grad = torch.randn_like(weight)
muon = torch.optim.Muon([weight])
momentum = torch.zeros_like(weight)


def seconds(step):
    step()
    taken = []
    for _ in range(20):
        begin = time.process_time()
        step()
        taken.append(time.process_time() - begin)
    return min(taken)


with torch.no_grad():
    ratio = seconds(muon.step) / seconds(lambda: float32_step(weight, weight.grad, momentum))
print(f"torch {torch.__version__.partition('+')[0]}")
print(f"torch.optim.Muon takes {ratio:.0f} times as long as its iteration in float32")
sys.exit(ratio < 3 and "changed: it is no longer several times slower")
PY
