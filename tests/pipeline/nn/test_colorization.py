"""The wrapper that paints colour alone."""

import torch

from pipeline.data.color import luma
from pipeline.models import build
from pipeline.nn.colorization import Coloring
from pipeline.nn.rollout import auxiliary_loss


def generator(in_channels=3):
    torch.manual_seed(0)
    model = build("convlstm", (in_channels, 8, 8), 3, hidden_channels=4, num_layers=1, kernel_size=3, patch_size=2)
    return model, Coloring(model)


def test_brightness_is_that_of_the_source_and_colour_that_of_the_model():
    model, coloring = generator(in_channels=5)  # two of them noise
    frames = 0.2 * torch.rand(2, 3, 1, 8, 8).expand(-1, -1, 5, -1, -1)
    painted, _ = model(frames)
    result, _ = coloring(frames)
    assert result.abs().max() < 1, "nothing is cut off"
    torch.testing.assert_close(luma(result.flatten(0, 1)), frames[:, :, :1].flatten(0, 1))
    torch.testing.assert_close(result[:, :, 0] - result[:, :, 2], painted[:, :, 0] - painted[:, :, 2])


def test_it_is_a_generator_still():
    model, coloring = generator()
    frames = torch.rand(1, 3, 3, 8, 8) * 2 - 1
    together, _ = coloring(frames)
    state, apart = None, []
    for t in range(3):
        output, state = coloring(frames[:, t : t + 1], state)
        apart.append(output)
    torch.testing.assert_close(together, torch.cat(apart, dim=1))
    together.square().mean().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert auxiliary_loss(coloring) is None
