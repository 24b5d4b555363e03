"""What a training begins from: weights that come along, a champion's, or none; for other channels and tasks, too."""

import logging
from itertools import pairwise

import pytest
import torch

from pipeline import model_dir
from pipeline.data.translation import Translation
from pipeline.model_dir import PRETRAINED, ModelCard
from pipeline.nn.rollout import predict
from pipeline.training.start import begin, fingerprint, recipe_from

SIZES = {"hidden_channels": 8, "num_scales": 2, "num_motions": 3, "patch_size": 4, "measured_motion": True}
DENOISE = Translation(source=None, target=None, degradation="noise", strength=25.0, seed=0)


def card_of(channels: int, **changes) -> ModelCard:
    fields = {
        "sizes": SIZES,
        "noise_channels": 0,
        "task": "predict",
        "context": 4,
        "horizon": 4,
        "data": "",
        "metrics": {},
    }
    return ModelCard(
        **{"name": "foreframe", "frame_shape": (channels, 16, 16), "out_channels": channels} | fields | changes
    )


@pytest.fixture
def champion(tmp_path):
    """A model directory with a Foreframe for `channels` whose every weight counts."""

    def make(card: ModelCard):
        torch.manual_seed(1)
        model = card.build().eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        model_dir.save(tmp_path / "champion", model, card)
        return model, tmp_path / "champion"

    return make


def frames(channels: int) -> torch.Tensor:
    return (torch.rand(2, 5, 1, 16, 16, generator=torch.Generator().manual_seed(3)) - 0.5).repeat(1, 1, channels, 1, 1)


@pytest.mark.parametrize(("channels", "wanted"), [(3, 1), (1, 3), (3, 3)])
def test_the_same_gray_picture_is_continued_alike_whatever_the_channels(champion, channels, wanted):
    model, folder = champion(card_of(channels))
    card = card_of(wanted)
    begun = card.build().eval()
    assert begin(begun, card, "champion", folder) == "champion"
    with torch.no_grad():
        expected = predict(model, frames(channels), 4).mean(dim=2, keepdim=True).expand(-1, -1, wanted, -1, -1)
        got = predict(begun, frames(wanted), 4)
    # what is painted in colour is painted in gray as its mean
    atol = 1e-5 if channels <= wanted else 0.05
    torch.testing.assert_close(got.mean(dim=2, keepdim=True).expand_as(expected), expected, atol=atol, rtol=0)


def test_noise_is_not_heeded_at_first(champion):
    model, folder = champion(card_of(1))
    card = card_of(1, noise_channels=2)
    begun = card.build().eval()
    begin(begun, card, "champion", folder)
    with torch.no_grad():
        got = predict(begun, frames(1), 3, noise=torch.randn(2, 2))
    torch.testing.assert_close(got, predict(model, frames(1), 3).detach(), atol=1e-5, rtol=0)


def test_a_translation_takes_what_is_recurrent_and_leaves_pictures_as_they_are(champion):
    model, folder = champion(card_of(3))
    card = card_of(3, task="translate", translation=DENOISE, carry=0.05)
    begun = card.build().eval()
    assert begin(begun, card, "champion", folder) == "champion"
    assert torch.equal(begun.cells[0].from_hidden.weight, model.cells[0].from_hidden.weight)
    with torch.no_grad():
        outputs, _ = begun(frames(3))
        fresh, _ = card.build().eval()(frames(3))
    assert (outputs - frames(3)).abs().mean() < 2 * (fresh - frames(3)).abs().mean()


def test_without_a_champion_the_weights_that_come_along_are_taken(tmp_path):
    own = model_dir.load_card(PRETRAINED)
    card = card_of(1, sizes=own.sizes)
    begun = card.build().eval()
    assert begin(begun, card, "champion", tmp_path / "none") == "pretrained"
    pretrained, _ = model_dir.load(PRETRAINED)
    assert torch.equal(begun.cells[0].from_hidden.weight, pretrained.cells[0].from_hidden.weight)


def test_other_sizes_begin_from_scratch_and_that_is_said(caplog):
    card = card_of(1)
    torch.manual_seed(0)
    begun = card.build()
    before = {name: value.clone() for name, value in begun.state_dict().items()}
    with caplog.at_level(logging.WARNING):
        assert begin(begun, card, "pretrained") == "scratch"
    assert "hidden_channels" in caplog.text
    assert all(torch.equal(before[name], value) for name, value in begun.state_dict().items())


def test_from_scratch_nothing_is_read(tmp_path):
    card = card_of(1)
    assert begin(card.build(), card, "scratch", tmp_path) == "scratch"


def test_what_comes_along_is_small_and_moves_on_what_moves():
    assert sum(path.stat().st_size for path in PRETRAINED.iterdir()) <= 2 << 20
    model, card = model_dir.load(PRETRAINED)
    assert card.frame_shape[0] == 3
    x = torch.arange(64.0)
    pictures = [0.5 * torch.sin((x - 1.5 * t) / 4) + 0.3 * torch.cos((x[:, None] + x - 1.5 * t) / 9) for t in range(20)]
    clip = torch.stack(pictures)[None, :, None].repeat(1, 1, 3, 1, 1)
    with torch.no_grad():
        errors = (predict(model, clip[:, :10], 10) - clip[:, 10:]).square().mean(dim=(0, 2, 3, 4))
    still = (clip[:, 9:10] - clip[:, 10:]).square().mean(dim=(0, 2, 3, 4))
    assert errors.mean() < 0.3 * still.mean()
    assert all(near < far + 0.01 for near, far in pairwise(errors.tolist()))


def test_from_trained_weights_steps_are_smaller_and_from_a_champion_fewer(sections):
    recipe = sections({"epochs": 6, "learning_rate": 6e-3, "curriculum": 0.3})["recipe"]
    assert recipe_from("scratch", recipe) == recipe
    gentle = recipe_from("pretrained", recipe)
    assert (gentle.learning_rate, gentle.curriculum, gentle.epochs) == (pytest.approx(2e-3), 0.3, 6)
    assert recipe_from("champion", recipe).epochs == 2


def test_models_with_the_same_weights_have_the_same_fingerprint():
    card = card_of(1)
    one, other = card.build(), card.build()
    assert fingerprint(one) != fingerprint(other)
    other.load_state_dict(one.state_dict())
    assert fingerprint(one) == fingerprint(other)
    with torch.no_grad():
        next(other.parameters()).mul_(2)
    assert fingerprint(one) != fingerprint(other)


def test_what_comes_along_can_still_learn():
    """Weights that grow throughout training are moved ever less by steps of one size: those here were kept small."""
    model, card = model_dir.load(PRETRAINED)
    torch.manual_seed(0)
    for (name, weight), fresh in zip(model.named_parameters(), card.build().parameters(), strict=True):
        if weight.ndim > 1:
            assert weight.norm() < 4 * fresh.norm(), name
