#!/usr/bin/env bash
# torch 2.13.0: torchrun --max-restarts starts Gloo processes again, and they cannot find each other.
#
# Behaviour: torchrun's agent keeps one TCPStore for all attempts and hands it to the processes. Gloo's ranks write their
# addresses into it; after a restart the new ranks read those of the ranks that are gone, and end with "Connection
# refused", attempt after attempt. So --max-restarts does not help on processors, where Gloo is what there is.
# Expected: that the second attempt goes on, as a comment in torch's source says (each attempt a store of its own).
# Seen:
#   torch 2.13.0
#   restarted: failed
#   restarted, TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1: went on
# Way round: that variable, with --standalone.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
. "$work/venv/bin/activate"
pip install -qq torch==2.13.0 numpy==2.4.6
cat > "$work/worker.py" <<'PY'
import os
import sys
from datetime import timedelta

import torch
import torch.distributed as dist

dist.init_process_group("gloo", timeout=timedelta(seconds=20))
total = torch.ones(1)
dist.all_reduce(total)
if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
    sys.exit(dist.get_rank() == 1)  # what a lost process looks like
dist.all_reduce(total)
dist.destroy_process_group()
PY
export OMP_NUM_THREADS=1
attempt() { timeout 180 torchrun --standalone --nproc-per-node 2 --max-restarts 1 "$work/worker.py" >"$work/log" 2>&1; }
python -c 'import torch; print("torch", torch.__version__.partition("+")[0])'
if attempt; then first="went on"; else first=failed; fi
echo "restarted: $first"
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
if attempt; then second="went on"; else second=failed; fi
echo "restarted, TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1: $second"
[ "$first/$second" = "failed/went on" ] || { echo "changed" >&2; exit 1; }
