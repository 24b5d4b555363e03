"""What a training begins from: fresh weights, or those of a model that was trained before, made to fit.

A model for frames of any size is the same for frames of any other; what depends on the channels of a frame, the first
and the last layer, is brought to other channels so that the same picture in colour or in gray is seen alike.
"""

import hashlib
import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline import model_dir
from pipeline.errors import ModelError
from pipeline.model_dir import PRETRAINED, ModelCard
from pipeline.model_params import Recipe, Start

logger = logging.getLogger(__name__)
CHAMPION = Path("models/champion")  # see pipeline/model_versions.py
LEARNING_RATE, EPOCHS = (
    1 / 3,
    0.25,
)  # shares of a recipe's: where training begins from trained weights; from the champion
# of a model: where these are the same, so are all its weights
ALIKE = {"name", "sizes", "out_channels", "noise_channels", "task", "translation", "residual", "carry"}


def begin(model: nn.Module, card: ModelCard, start: Start, champion: Path = CHAMPION) -> Start:
    """Give `model`, freshly built from `card`, the weights that `start` asks for; returns what they then are.

    Where there is no champion it is as if `pretrained` were asked for; where sizes differ, `scratch`: both are logged.
    """
    if start == "champion":
        if (champion / model_dir.CARD).exists() and _take_over(model, card, champion):
            return "champion"
        start = "pretrained"
    if start == "pretrained" and _take_over(model, card, PRETRAINED):
        return "pretrained"
    return "scratch"


def recipe_from(start: Start, recipe: Recipe) -> Recipe:
    """The recipe for a training that begins from `start`: weights that are good already must not be shaken out of it.

    A third of the learning rate; from the champion, which has seen most of the videos, a quarter of the epochs as well.
    """
    changes: dict[str, Any] = {}
    if start != "scratch":
        changes["learning_rate"] = recipe.learning_rate * LEARNING_RATE
    if start == "champion":
        changes["epochs"] = max(1, round(recipe.epochs * EPOCHS))
    return recipe.model_copy(update=changes)


def fingerprint(model: nn.Module) -> str:
    """A hash of all that `model` knows: where two are the same, so are the weights."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _take_over(model: nn.Module, card: ModelCard, source: Path) -> bool:
    """Bring the weights of the model in `source` to `model`; whether they fit."""
    try:
        other, other_card = model_dir.load(source)
    except ModelError as error:
        logger.warning("training does not begin from %s: %s", source, error)
        return False
    if (other_card.name, other_card.sizes) != (card.name, card.sizes):
        logger.warning(
            "training does not begin from %s: that is %s %s, model.%s asks for %s",
            source,
            other_card.name,
            other_card.sizes,
            card.name,
            card.sizes,
        )
        return False
    if other_card.model_dump(include=ALIKE) == card.model_dump(include=ALIKE):
        model.load_state_dict(other.state_dict())
    else:
        adapt(_within(model), card, _within(other), other_card)
    return True


def _within(model: Any) -> Any:
    """The generator inside what may be wrapped around it (residual.py, colorization.py)."""
    return model.model if isinstance(getattr(model, "model", None), nn.Module) else model


@torch.no_grad()
def adapt(model: Any, card: ModelCard, other: Any, other_card: ModelCard) -> None:
    """Give `model` the weights of `other`: Foreframes of the same sizes, for frames of other channels or another task.

    What only `model` looks at counts 0 at first. Where one predicts and the other translates, the head begins afresh.
    """
    weights, own = other.state_dict(), model.state_dict()
    seen, other_seen = _seen(model, card), _seen(other, other_card)
    patch = model.patch_size**2
    first = weights["encode.weight"].split([patch * count for count in other_seen.values()], dim=1)
    pairs = zip(other_seen, first, strict=True)
    groups = {name: group.unflatten(1, (-1, patch)) for name, group in pairs if group.numel()}
    empty = own["encode.weight"].new_zeros(len(own["encode.weight"]), 1, patch, *own["encode.weight"].shape[2:])
    parts = [_channels_in(groups.get(name, empty), count) for name, count in seen.items()]
    weights["encode.weight"] = torch.cat(parts, dim=1).flatten(1, 2)
    if model.head_channels[1:] == other.head_channels[1:] and model.measures_motion == other.measures_motion:
        for name in ("head.weight", "head.bias"):
            added, rest = weights[name].tensor_split([other.head_channels.added])
            weights[name] = torch.cat([_channels_out(added, other.out_channels, model.out_channels), rest])
    else:
        weights |= {name: own[name] for name in ("head.weight", "head.bias")}
    model.load_state_dict(weights)


def _seen(model: Any, card: ModelCard) -> dict[str, int]:
    """What a Foreframe's first layer sees of each pixel, in order, and how many channels that has."""
    channels, noise = card.frame_shape[0], card.noise_channels
    seen = {"frame": channels, "noise": noise, "change": channels, "change of noise": noise}
    return seen | ({"flow": 2, "unexplained": card.out_channels} if model.measures_motion else {})


def _channels_in(weight: Tensor, channels: int) -> Tensor:
    """A weight (D, C, …) of C channels as one of `channels`, equal where all channels are."""
    if weight.shape[1] == channels:
        return weight
    return weight.sum(dim=1, keepdim=True).expand(-1, channels, *weight.shape[2:]) / max(1, channels)


def _channels_out(weight: Tensor, channels: int, wanted: int) -> Tensor:
    """Rows of a last layer (channels · patch², …) as those of `wanted` channels, which are then alike."""
    if channels == wanted:
        return weight
    return weight.unflatten(0, (channels, -1)).mean(dim=0).repeat(wanted, *[1] * (weight.ndim - 1))
