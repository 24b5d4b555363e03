"""A model directory describes itself: `model.safetensors` for weights, `model.json` for all else. Never pickle."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from pipeline.data.clips import NORMALIZATION
from pipeline.data.degradations import DEGRADATIONS
from pipeline.data.task import Task, make_task
from pipeline.data.translation import Translation
from pipeline.errors import ModelError, UnfitModel
from pipeline.model_params import NO_SIZES, ModelParams
from pipeline.models import CAN_CARRY, MODELS, build
from pipeline.nn.colorization import Coloring
from pipeline.nn.residual import Residual
from pipeline.params import FramesPerSecond
from pipeline.runtime import memory
from pipeline.runtime.files import read_json, read_regular, write_bytes, write_json
from pipeline.runtime.hashing import content_hash

FORMAT_VERSION = 1
WEIGHTS, CARD = "model.safetensors", "model.json"
PRETRAINED = Path(__file__).parent / "pretrained"  # the model directory that comes with this package
MOST_CARD_BYTES = 1 << 20
MEMORY_PER_WEIGHT_BYTE = 3  # the file as it is read, the tensors in it, and the model that they are copied to

Channels = Annotated[int, Field(gt=0, le=4)]
Side = Annotated[int, Field(gt=0, le=65_536)]
Frames = Annotated[int, Field(gt=0, le=1_000_000)]


class ModelCard(BaseModel):
    """What a model is and how to feed it; the content of model.json, less the content hash of the weights."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    name: str  # of the generator, as in params.yaml
    sizes: dict[str, Any]  # its hyper-parameters, plain values
    frame_shape: tuple[Channels, Side, Side]  # (C, H, W) of a frame that is fed, without noise
    out_channels: Channels  # C of a frame that comes out
    noise_channels: int = Field(ge=0, le=65_536)  # planes of noise joined to every frame; 0: one past has one future
    task: Literal["predict", "translate"]
    translation: Translation | None = None  # what is undone, or the folders it was learnt from; None: task predict
    residual: bool = False  # the output is added to the input
    # share of the last output in the next before training; 0: none, ever (models.CAN_CARRY)
    carry: float = Field(0.0, ge=0, lt=1)
    fit: Literal["crop", "pad", "stretch"] = "stretch"  # how pictures of another shape are made to fit
    fps: FramesPerSecond | None = None  # frames per second; None: those of the videos, whatever their rate
    context: Frames  # frames that a prediction continues, in training
    horizon: Frames  # frames that are predicted, in training
    normalization: Literal["uint8 / 127.5 - 1"] = NORMALIZATION  # what clips.to_float does to a byte
    data: str  # content hash of the training data
    metrics: dict[str, float]  # of validation, at the weights that were kept
    start: str = "scratch"  # what training began from: pretrained, a champion's version, scratch
    better_than_start: bool = True  # False: training only spoilt the weights that it began with, and they were kept
    start_kept_because: str = ""  # why, and what to change

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        """Refuse what no stage writes, before anything is made of it."""
        if self.name not in MODELS:
            raise ValueError(f"no generator is called {self.name!r}; there are {', '.join(MODELS)}")
        _check_sizes(self.name, self.sizes)
        if (self.task == "translate") != (self.translation is not None):
            raise ValueError("task and translation do not go together")
        if self.translation is not None:
            _check_translation(self.translation)
        return self

    @property
    def made_for(self) -> Task:
        """The task, as an object that knows how a model for it is fed and run."""
        return make_task(self.task, self.context, self.horizon, self.translation)

    def build(self) -> nn.Module:
        """The generator, with fresh weights."""
        channels, height, width = self.frame_shape
        sizes = dict(self.sizes)
        if self.name in CAN_CARRY and self.made_for.aligned:
            sizes |= {"aligned": True, "carry": self.carry}
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
    if card.better_than_start:
        del fields["better_than_start"]  # it is said where it is not so
    if not card.start_kept_because:
        del fields["start_kept_because"]
    fields |= {"format_version": FORMAT_VERSION, "sha256": content_hash(weights)}
    fields["card_sha256"] = card_checksum(fields)
    write_bytes(model_dir / WEIGHTS, weights)
    write_json(model_dir / CARD, fields)


def card_checksum(fields: dict[str, Any]) -> str:
    """The content hash of a card's `fields`, whatever their order: what `card_sha256` in model.json is to be."""
    rest = {name: value for name, value in fields.items() if name != "card_sha256"}
    return content_hash(json.dumps(rest, sort_keys=True).encode())


def load_card(model_dir: Path) -> ModelCard:
    """What the model under `model_dir` says of itself; raises ModelError as load does."""
    return _read_card(model_dir)[0]


def load(model_dir: Path, device: torch.device | str = "cpu") -> tuple[nn.Module, ModelCard]:
    """The model under `model_dir`, in evaluation mode, and its card.

    Raises ModelError where there is none, it is not whole, or a newer foreframe wrote it.
    """
    card, weights_hash = _read_card(model_dir)
    path = model_dir / WEIGHTS
    weights = _read_weights(path)
    if content_hash(weights) != weights_hash:
        raise ModelError(
            f"{path}: is not the file that {CARD} describes (its content hash differs); copy the whole directory again"
        )
    try:
        tensors = load_tensors(weights)
        with torch.device("meta"):  # only shapes, until they are known to be those of the file
            card.build().load_state_dict(tensors, assign=True)
        model = card.build()
        model.load_state_dict(tensors)
    except (RuntimeError, SafetensorError) as error:
        # whole, and of another shape: the code of the model changed since
        raise UnfitModel(f"{path}: does not fit the {card.name} of this foreframe: {_one_line(error)}") from error
    return model.to(device).eval(), card


def _read_weights(path: Path) -> bytes:
    """The content of the file of weights; ModelError where it cannot be read, or is too large for the memory."""
    remedy = "train again or copy the whole directory"
    try:
        needed, free = MEMORY_PER_WEIGHT_BYTE * path.stat().st_size, memory.available(torch.device("cpu"))
        if needed > free:
            raise ModelError(
                f"{path}: needs about {needed / memory.GIB:.1f} GiB of memory, {free / memory.GIB:.1f} GiB are free; "
                "end other programs, or use a machine with more memory"
            )
        return read_regular(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error


def _check_sizes(name: str, sizes: dict[str, Any]) -> None:
    """Raises ValueError where `sizes` are not those of the section `name` of params.yaml, or beyond its limits."""
    section: Any = ModelParams.model_fields[name].annotation
    fields = {key: field for key, field in section.model_fields.items() if key not in NO_SIZES}
    required = {key for key, field in fields.items() if field.is_required()}
    if wrong := sorted((required - sizes.keys()) | (sizes.keys() - fields.keys())):
        problem = "is missing" if wrong[0] in fields else f"is no size of {name}"
        raise ValueError(f"sizes.{wrong[0]}: {problem}")
    for key, field in ((key, fields[key]) for key in sizes):
        limited: Any = Annotated[field.annotation, field]
        try:
            TypeAdapter(limited, config=ConfigDict(strict=True)).validate_python(sizes[key])
        except ValidationError as error:
            text = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise ValueError(f"sizes.{key}: {text} (got {str(sizes[key])[:40]})") from error


def _check_translation(translation: Translation) -> None:
    """Raises ValueError where it says neither of two folders nor of a degradation that there is."""
    if translation.degradation is None:
        if translation.source is None or translation.target is None:
            raise ValueError("translation: names neither two folders nor a degradation")
    elif translation.degradation not in DEGRADATIONS:
        raise ValueError(
            f"translation.degradation: there is no {translation.degradation!r}, but {', '.join(DEGRADATIONS)}"
        )
    elif translation.strength is None or not 0 < translation.strength <= 1_000:
        raise ValueError(f"translation.strength: should be above 0 and at most 1000 (got {translation.strength})")


def _read_card(model_dir: Path) -> tuple[ModelCard, str]:
    """The card, and the content hash of the weights that it belongs to."""
    path = model_dir / CARD
    try:
        fields = read_json(path, MOST_CARD_BYTES)
    except FileNotFoundError as error:
        if model_dir.is_dir():
            raise ModelError(f"{model_dir}: holds no model: there is no {CARD} in it") from error
        raise ModelError(f"{model_dir}: no such directory; `dvc repro train` leaves a model in data/model") from error
    except OSError as error:
        raise ModelError(
            f"{model_dir}: holds no model ({CARD}: {error.strerror}); train again or copy the whole directory"
        ) from error
    except ValueError as error:
        raise ModelError(f"{path}: is not JSON: {_one_line(error)}; copy the whole directory again") from error
    if not isinstance(fields, dict) or type(version := fields.get("format_version")) is not int or version < 1:
        raise ModelError(f"{path}: is no foreframe model (no format_version)")
    if version > FORMAT_VERSION:
        raise ModelError(f"{path}: is format {version}, this foreframe reads up to {FORMAT_VERSION}; update foreframe")
    # a card from before there was a checksum has none
    if fields.get("card_sha256", expected := card_checksum(fields)) != expected:
        raise ModelError(
            f"{path}: is not as it was written (its checksum differs); copy the whole directory again, or train again"
        )
    weights_hash = fields.get("sha256", "")
    for name in ("format_version", "sha256", "card_sha256"):
        fields.pop(name, None)
    try:
        return ModelCard.model_validate_json(json.dumps(fields)), weights_hash
    except ValidationError as error:
        problem = error.errors()[0]
        text = problem["msg"].removeprefix("Value error, ")
        where = ".".join(map(str, problem["loc"]))
        raise ModelError(": ".join([str(path), *([where] if where else []), text])) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
