"""The benchmarks compare what is equal: our cells compute what the papers print."""

import pytest
import torch

from pipeline.models import build
from pipeline.nn.rollout import tensors
from tests.benchmarks.textbook import TextbookConvLstm, TextbookStLstm

SIZES = {"hidden_channels": 6, "num_layers": 3, "kernel_size": 5, "patch_size": 2}


@pytest.mark.parametrize(
    ("name", "textbook", "more"), [("convlstm", TextbookConvLstm, {}), ("stlstm", TextbookStLstm, {"decoupling": 0.0})]
)
def test_ours_and_the_textbooks_compute_the_same_frames_and_states(name, textbook, more):
    torch.manual_seed(0)
    ours = build(name, (1, 12, 16), 1, **SIZES, **more)
    frames = torch.rand(2, 5, 1, 12, 16) * 2 - 1
    with torch.no_grad():
        outputs, state = ours(frames)
        expected, expected_state = textbook(ours)(frames)
    torch.testing.assert_close(outputs, expected, atol=1e-5, rtol=1e-4)
    for one, other in zip(tensors(state), tensors(expected_state), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
