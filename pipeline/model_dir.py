"""A model folder that describes itself: `model.safetensors` for weights, `model.json` for all else. Never pickle."""

import hashlib
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
from pipeline.errors import ModelError
from pipeline.models import build
from pipeline.nn.coloring import Coloring
from pipeline.nn.residual import Residual
from pipeline.runtime.files import write_bytes, write_json

FORMAT_VERSION = 1
WEIGHTS, CARD = "model.safetensors", "model.json"


class ModelCard(BaseModel):
    """What a model is and how to feed it; the content of model.json, less the hash of the weights."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: str  # of the generator, as in params.yaml
    sizes: dict[str, Any]  # its hyper-parameters, plain values
    frame_shape: tuple[int, int, int]  # (C, H, W) of a frame that is fed, without noise
    out_channels: int  # C of a frame that comes out
    noise_channels: int  # planes of noise joined to every frame; 0: one past has one future
    task: Literal["predict", "translate"]
    translation: Translation | None = None  # what is undone, or the folders it was learnt from; None: task predict
    residual: bool = False  # what comes out is added to what is fed
    carry: float = 0.0  # share of the last output in the next before training; 0: none, ever (models.CAN_CARRY)
    fit: Literal["crop", "pad", "stretch"] = "stretch"  # what became of pictures of another shape
    fps: float | None = None  # frames a second; None: those of the videos, whatever their rate
    context: int  # frames given in training
    horizon: int  # frames predicted in training
    normalization: Literal["uint8 / 127.5 - 1"] = NORMALIZATION  # what clips.to_float does to a byte
    data: str  # fingerprint of the training data
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


def save(folder: Path, model: nn.Module, card: ModelCard) -> None:
    """Write `model` and `card` under `folder`, which is made.

    Each file is written under another name and renamed, the card last and with the hash of the weights in it, so that a
    folder is a model or refused, whenever the writer was killed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = save_tensors({name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()})
    fields = card.model_dump(mode="json")
    fields |= {"format_version": FORMAT_VERSION, "sha256": hashlib.sha256(weights).hexdigest()}
    write_bytes(folder / WEIGHTS, weights)
    write_json(folder / CARD, fields)


def load_card(folder: Path) -> ModelCard:
    """What the model under `folder` says of itself; raises ModelError as load does."""
    return _read_card(folder)[0]


def load(folder: Path, device: torch.device | str = "cpu") -> tuple[nn.Module, ModelCard]:
    """The model under `folder`, in evaluation mode, and its card.

    Raises ModelError where there is none, it is not whole, or a newer foreframe wrote it.
    """
    card, sha256 = _read_card(folder)
    path = folder / WEIGHTS
    try:
        weights = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); train again or copy the whole folder") from error
    if hashlib.sha256(weights).hexdigest() != sha256:
        raise ModelError(
            f"{path}: is not the file that {CARD} describes (its sha256 differs); copy the whole folder again"
        )
    model = card.build()
    try:
        model.load_state_dict(load_tensors(weights))
    except RuntimeError as error:
        # whole, and of another shape: the code of the model changed since
        raise ModelError(f"{path}: does not fit the {card.name} of this foreframe: {_one_line(error)}") from error
    return model.to(device).eval(), card


def _read_card(folder: Path) -> tuple[ModelCard, str]:
    path = folder / CARD
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if folder.is_dir():
            raise ModelError(f"{folder}: holds no model: there is no {CARD} in it") from error
        raise ModelError(f"{folder}: no such folder; `dvc repro train` leaves a model in data/model") from error
    except OSError as error:
        raise ModelError(f"{folder}: holds no model ({CARD}: {error.strerror})") from error
    except ValueError as error:
        raise ModelError(f"{path}: is not JSON: {_one_line(error)}") from error
    if not isinstance(fields, dict) or not isinstance(version := fields.pop("format_version", None), int):
        raise ModelError(f"{path}: is no foreframe model (no format_version)")
    if version > FORMAT_VERSION:
        raise ModelError(f"{path}: is format {version}, this foreframe reads up to {FORMAT_VERSION}; update foreframe")
    sha256 = fields.pop("sha256", "")
    try:
        return ModelCard.model_validate_json(json.dumps(fields)), sha256
    except ValidationError as error:
        problem = error.errors()[0]
        raise ModelError(f"{path}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
