"""A model directory describes itself: `model.safetensors` for weights, `model.json` for all else. Never pickle."""

import json
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from pipeline.data.clips import NORMALIZATION
from pipeline.data.task import Task, make_task
from pipeline.data.translation import Translation
from pipeline.errors import ModelError, UnfitModel
from pipeline.models import build
from pipeline.nn.colorization import Coloring
from pipeline.nn.residual import Residual
from pipeline.runtime.files import write_bytes, write_json
from pipeline.runtime.hashing import content_hash

FORMAT_VERSION = 1
WEIGHTS, CARD = "model.safetensors", "model.json"


class ModelCard(BaseModel):
    """What a model is and how to feed it; the content of model.json, less the content hash of the weights."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: str  # of the generator, as in params.yaml
    sizes: dict[str, Any]  # its hyper-parameters, plain values
    frame_shape: tuple[int, int, int]  # (C, H, W) of a frame that is fed, without noise
    out_channels: int  # C of a frame that comes out
    noise_channels: int  # planes of noise joined to every frame; 0: one past has one future
    task: Literal["predict", "translate"]
    translation: Translation | None = None  # what is undone, or the folders it was learnt from; None: task predict
    residual: bool = False  # the output is added to the input
    carry: float = 0.0  # share of the last output in the next before training; 0: none, ever (models.CAN_CARRY)
    fit: Literal["crop", "pad", "stretch"] = "stretch"  # how pictures of another shape are made to fit
    fps: float | None = None  # frames per second; None: those of the videos, whatever their rate
    context: int  # frames that a prediction continues, in training
    horizon: int  # frames that are predicted, in training
    normalization: Literal["uint8 / 127.5 - 1"] = NORMALIZATION  # what clips.to_float does to a byte
    data: str  # content hash of the training data
    metrics: dict[str, float]  # of validation, at the weights that were kept

    @property
    def made_for(self) -> Task:
        """The task, as an object that knows how a model for it is fed and run."""
        return make_task(self.task, self.context, self.horizon, self.translation)

    def build(self) -> nn.Module:
        """The generator, with fresh weights."""
        channels, height, width = self.frame_shape
        sizes = self.sizes | ({"carry": self.carry} if self.carry else {})
        model = build(self.name, (channels + self.noise_channels, height, width), self.out_channels, **sizes)
        if self.residual:
            model = Residual(model, self.out_channels)
        return Coloring(model) if self.made_for.keeps_luma else model

    def check_size(self, size: tuple[int, int]) -> None:
        """Raises ModelError where the generator is made for one size of frame, and not for `size` (height, width)."""
        channels, *trained = self.frame_shape
        if tuple(trained) == size:
            return
        with torch.device("meta"):  # only shapes are wanted
            shapes = [
                {name: value.shape for name, value in build(self.name, shape, 1, **self.sizes).state_dict().items()}
                for shape in (self.frame_shape, (channels, *size))
            ]
        if shapes[0] != shapes[1]:
            raise ModelError(
                f"the generator {self.name} takes frames of {trained[1]}x{trained[0]} pixels only, not "
                f"{size[1]}x{size[0]}; a convolutional one (model.name) takes any"
            )


def save(model_dir: Path, model: nn.Module, card: ModelCard) -> None:
    """Write `model` and `card` under `model_dir`, which is made.

    The card is written last, with the content hash of the weights in it, so that the directory is a whole model or
    refused, whenever the writer was killed.
    """
    weights = save_tensors({name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()})
    fields = card.model_dump(mode="json")
    fields |= {"format_version": FORMAT_VERSION, "sha256": content_hash(weights)}
    write_bytes(model_dir / WEIGHTS, weights)
    write_json(model_dir / CARD, fields)


def load_card(model_dir: Path) -> ModelCard:
    """What the model under `model_dir` says of itself; raises ModelError as load does."""
    return _read_card(model_dir)[0]


def load(model_dir: Path, device: torch.device | str = "cpu") -> tuple[nn.Module, ModelCard]:
    """The model under `model_dir`, in evaluation mode, and its card.

    Raises ModelError where there is none, it is not whole, or a newer foreframe wrote it.
    """
    card, weights_hash = _read_card(model_dir)
    path = model_dir / WEIGHTS
    try:
        weights = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"{path}: cannot be read ({error.strerror}); train again or copy the whole directory"
        ) from error
    if content_hash(weights) != weights_hash:
        raise ModelError(
            f"{path}: is not the file that {CARD} describes (its content hash differs); copy the whole directory again"
        )
    model = card.build()
    try:
        model.load_state_dict(load_tensors(weights))
    except RuntimeError as error:
        # whole, and of another shape: the code of the model changed since
        raise UnfitModel(f"{path}: does not fit the {card.name} of this foreframe: {_one_line(error)}") from error
    return model.to(device).eval(), card


def _read_card(model_dir: Path) -> tuple[ModelCard, str]:
    """The card, and the content hash of the weights that it belongs to."""
    path = model_dir / CARD
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if model_dir.is_dir():
            raise ModelError(f"{model_dir}: holds no model: there is no {CARD} in it") from error
        raise ModelError(f"{model_dir}: no such directory; `dvc repro train` leaves a model in data/model") from error
    except OSError as error:
        raise ModelError(f"{model_dir}: holds no model ({CARD}: {error.strerror})") from error
    except ValueError as error:
        raise ModelError(f"{path}: is not JSON: {_one_line(error)}") from error
    if not isinstance(fields, dict) or not isinstance(version := fields.pop("format_version", None), int):
        raise ModelError(f"{path}: is no foreframe model (no format_version)")
    if version > FORMAT_VERSION:
        raise ModelError(f"{path}: is format {version}, this foreframe reads up to {FORMAT_VERSION}; update foreframe")
    weights_hash = fields.pop("sha256", "")
    try:
        return ModelCard.model_validate_json(json.dumps(fields)), weights_hash
    except ValidationError as error:
        problem = error.errors()[0]
        raise ModelError(f"{path}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
