"""params.yaml beside this module, typed: what the scenes are and how the weights are trained on them."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from pipeline.errors import ParamsError
from pipeline.model_params import Depth, Positive, Scales, Section, Width
from pipeline.runtime.yaml_file import read_yaml


class ComposeParams(Section):
    """The scenes."""

    seed: int = Field(ge=0)
    train_scenes: Positive
    val_scenes: Positive
    num_frames: Annotated[int, Field(ge=4)]
    size: Annotated[int, Field(ge=16)]


class SizesParams(Section):
    """The sizes of foreframe, as in params.yaml of the project, whose trainings are to begin from it."""

    hidden_channels: Width
    num_scales: Scales
    num_motions: Depth
    measured_motion: bool
    patch_size: Depth


class PretrainParams(Section):
    """The training."""

    seed: int = Field(ge=0)
    sizes: SizesParams
    context: Positive
    steps: Positive
    batch_size: Positive
    crop: Annotated[int, Field(ge=16)]
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    warmup: float = Field(ge=0, lt=1)
    curriculum: float = Field(ge=0, le=1)
    clip_norm: float = Field(gt=0)
    ema_decay: float = Field(ge=0, lt=1)
    num_threads: Positive


class Params(Section):
    """The whole file."""

    compose: ComposeParams
    pretrain: PretrainParams


def load_params(path: Path) -> Params:
    """The parameters in the file at `path`; raises ParamsError, in one line, for what is missing, unknown or wrong."""
    try:
        return Params.model_validate(read_yaml(path))
    except ValidationError as error:
        problem = error.errors()[0]
        raise ParamsError(f"{path}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}") from error
