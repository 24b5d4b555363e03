"""Every generator keeps the contract of pipeline/models/__init__.py, which is that of torch.nn.LSTM."""

import pytest
import torch
from torch import nn

from pipeline import model_dir
from pipeline.model_dir import ModelCard
from pipeline.models import MODELS, build
from pipeline.nn.rollout import predict, tensors
from pipeline.runtime import memory

FRAME_SHAPE = (1, 16, 16)
# the smallest of each that is still itself
SIZES: dict[str, dict] = {
    "rnn": {"hidden_size": 32, "num_layers": 2, "nonlinearity": "sigmoid"},
    "lstm": {"hidden_size": 32, "num_layers": 2},
    "stlstm": {"hidden_channels": 12, "num_layers": 2, "kernel_size": 3, "patch_size": 4, "decoupling": 0.0},
    "cnn_lstm": {"hidden_channels": 16, "num_layers": 1, "kernel_size": 3, "patch_size": 2},
    "minconv": {"cell": "lstm", "hidden_channels": 16, "num_layers": 2, "kernel_size": 3, "patch_size": 4},
    "cnn": {"hidden_channels": 8, "num_blocks": 2, "num_frames": 4, "patch_size": 4},
    "foreframe": {"hidden_channels": 8, "num_scales": 2, "num_motions": 3, "patch_size": 4},
    "convlstm": {"hidden_channels": 16, "num_layers": 2, "kernel_size": 3, "patch_size": 4},
}
# a generator joins by its sizes; test_every_generator_is_held_to_the_contract says when one is forgotten
NAMES = sorted(SIZES)


@pytest.fixture
def clip() -> torch.Tensor:
    """A bright square that moves one pixel per frame over black, (B, T, C, H, W) = (2, 8, 1, 16, 16)."""
    frames = torch.full((2, 8, *FRAME_SHAPE), -1.0)
    for t in range(8):
        frames[0, t, 0, 4:8, 1 + t : 5 + t] = 0.8
        frames[1, t, 0, 1 + t : 5 + t, 6:10] = 0.8
    return frames


def make(name: str, frame_shape=FRAME_SHAPE, out_channels=1) -> nn.Module:
    torch.manual_seed(0)
    return build(name, frame_shape, out_channels, **SIZES[name])


def test_every_generator_is_held_to_the_contract():
    assert set(SIZES) == set(MODELS)


@pytest.mark.parametrize("name", NAMES)
def test_frames_go_in_and_bounded_frames_of_the_asked_channels_come_out(name, clip):
    model = make(name, (4, 16, 16), out_channels=3)
    inputs = torch.cat([clip, clip, clip, clip], dim=2)
    outputs, state = model(inputs)
    assert outputs.shape == (2, 8, 3, 16, 16)
    assert outputs.dtype == torch.float32
    assert outputs.abs().max() <= 1
    assert tensors(state)
    assert all(part.shape[0] == 2 for part in tensors(state)), "a state's first dimension is the batch"


@pytest.mark.parametrize("name", NAMES)
def test_no_output_depends_on_a_later_frame(name, clip):
    model = make(name).eval()
    with torch.no_grad():
        original, _ = model(clip)
        changed = clip.clone()
        changed[:, 5:] = torch.rand(changed[:, 5:].shape, generator=torch.Generator().manual_seed(1))
        other, _ = model(changed)
    assert torch.allclose(original[:, :5], other[:, :5], atol=1e-6)
    assert not torch.allclose(original[:, 5:], other[:, 5:], atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_teacher_forcing_is_one_call_over_the_sequence(name, clip):
    model = make(name).eval()
    with torch.no_grad():
        at_once, state_at_once = model(clip)
        outputs, state = [], None
        for t in range(clip.shape[1]):
            output, state = model(clip[:, t : t + 1], state)
            outputs.append(output)
    assert torch.allclose(torch.cat(outputs, dim=1), at_once, atol=1e-5)
    for one, other in zip(tensors(state), tensors(state_at_once), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_clips_of_a_batch_do_not_touch(name, clip):
    model = make(name).eval()
    with torch.no_grad():
        together, _ = model(clip)
        alone, _ = model(clip[1:])
    assert torch.allclose(together[1:], alone, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_reaches_every_parameter(name, clip):
    model = make(name).train()
    outputs, _ = model(clip)
    outputs.square().mean().backward()
    for parameter, value in model.named_parameters():
        assert value.grad is not None, parameter
        assert value.grad.abs().sum() > 0, parameter


@pytest.mark.parametrize("name", NAMES)
def test_it_learns_one_clip_by_heart(name, clip):
    model = make(name).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(300):
        outputs, _ = model(clip[:, :-1])
        loss = (outputs - clip[:, 1:]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    repeating = (clip[:, 1:] - clip[:, :-1]).square().mean().item()
    # at this learning rate the last step may be a bad one
    assert sorted(losses)[10] < 0.5 * repeating


@pytest.mark.parametrize("name", NAMES)
def test_it_survives_save_and_load(name, clip, tmp_path):
    model = make(name).eval()
    card = ModelCard(
        name=name,
        sizes=SIZES[name],
        frame_shape=FRAME_SHAPE,
        out_channels=1,
        noise_channels=0,
        task="predict",
        context=4,
        horizon=4,
        data="0",
        metrics={},
    )
    model_dir.save(tmp_path, model, card)
    loaded, loaded_card = model_dir.load(tmp_path)
    assert loaded_card == card
    with torch.no_grad():
        assert torch.equal(predict(loaded, clip, 5), predict(model, clip, 5))


@pytest.mark.parametrize("name", NAMES)
def test_its_memory_is_known_before_it_is_taken(name):
    model = make(name)

    def clips(batch: int) -> None:
        _, state = model(torch.zeros(batch, 4, *FRAME_SHAPE))
        model(torch.zeros(batch, 1, *FRAME_SHAPE), state)

    # as training asks it: on tensors without content, on which no decision can be built
    assert memory.estimate(lambda: clips(64)) > 3 * memory.estimate(lambda: clips(16)) > 0
