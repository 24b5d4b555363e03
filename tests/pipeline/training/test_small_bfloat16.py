"""Adversarial training in bfloat16 on small frames and short segments, in processes of its own: none may crash."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys
from pathlib import Path
import torch
from pipeline.data.clips import ClipDataset
from pipeline.models import build
from pipeline.params import load_params
from pipeline.training.loop import fit

params = load_params(Path("params.yaml"))
changes = {"objective": "adversarial", "epochs": 3, "batch_size": 4, "sampling": "scheduled", "curriculum": 0.6}
recipe = params.model.foreframe.recipe.model_copy(update=changes)
adversary = params.train.adversary.model_copy(update={"start": 0.0})
changes = {"num_threads": 1, "precision": "bf16", "bptt_steps": 3, "noise_channels": 2, "accumulate": 2}
train = params.train.model_copy(update=changes | {"adversary": adversary})
torch.manual_seed(0)
model = build("foreframe", (3, 16, 16), 1, hidden_channels=8, num_scales=2, num_motions=3, patch_size=4)
data = [ClipDataset(Path(sys.argv[1]), Path(sys.argv[2]), split) for split in ("train", "val")]
fit(model, *data, recipe=recipe, train=train)
"""


@pytest.mark.slow
def test_small_frames_and_short_segments_train_in_bfloat16(wide_data, tmp_path, request):
    folders = [str(tmp_path / "wide" / name) for name in ("frames", "clips")]
    for _ in range(5):
        command = [sys.executable, "-X", "faulthandler", "-c", SCRIPT, *folders]
        subprocess.run(command, check=True, cwd=request.config.rootpath, timeout=300)
