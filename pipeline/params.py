"""params.yaml, typed, complete and strict: a wrong key or value is one clear line before any work."""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.errors import ParamsError
from pipeline.runtime.yaml_file import read_yaml

Positive = Annotated[int, Field(gt=0)]
# sizes of a network: far beyond any use, so that a slip, or a hostile model directory, is no list without end
Width = Annotated[int, Field(gt=0, le=65_536)]
Depth = Annotated[int, Field(gt=0, le=1_000)]
Scales = Annotated[int, Field(gt=0, le=16)]
FramesPerSecond = Annotated[float, Field(gt=0, le=10_000)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
OptimizerName = Literal["adam", "muon"]
Schedule = Literal["constant", "cosine", "one_cycle"]
Sampling = Literal["teacher", "scheduled", "reverse", "free"]
Folder = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")]
Size = tuple[Positive, Positive]  # (height, width), pixels

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")  # of a URL, in front
SAID = {"missing": "is missing", "extra_forbidden": "is no parameter"}  # plainer than pydantic's own words


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError(f"must be odd, so that a cell has as many neighbours on either side (got {value})")
    return value


KernelSize = Annotated[int, Field(gt=0, le=999), AfterValidator(_odd)]


class Section(BaseModel):
    """A part of params.yaml: unknown keys, wrong types and NaN are refused; values never change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def _not_an_address(text: str) -> str:
    if ADDRESS.match(text):
        raise ValueError(f"DVC takes {text} for an address; write ./{text} for a folder of this name")
    return text


class DataParams(Section):
    """Where the videos are, and where else flows may read and write."""

    videos: Annotated[Folder, AfterValidator(_not_an_address)]
    roots: tuple[Folder, ...]


class SampleParams(Section):
    """The embedded data set: handwritten digits that move and bounce (Moving MNIST, Srivastava et al. 2015)."""

    seed: Seed
    train_videos: Positive
    val_videos: Positive
    test_videos: Positive
    num_frames: Positive
    fps: FramesPerSecond
    frame_size: int = Field(ge=8, multiple_of=2)
    digit_size: int = Field(ge=4)
    num_digits: Positive
    speed: float = Field(gt=0)
    subpixel: bool

    @model_validator(mode="after")
    def _digits_fit(self) -> "SampleParams":
        if self.digit_size >= self.frame_size:
            raise ValueError(f"digit_size must be below frame_size ({self.frame_size})")
        return self


class ExtractParams(Section):
    """How a video becomes frames."""

    fps: FramesPerSecond | None
    size: Size
    fit: Literal["crop", "pad", "stretch"]
    color: Literal["gray", "rgb"]
    on_error: Literal["fail", "skip"]
    image_fps: FramesPerSecond
    max_pixels: Positive
    max_seconds: float = Field(gt=0)
    timeout_seconds: float = Field(gt=0)
    max_memory_mb: int = Field(ge=512)
    executor: Literal["local", "dask"]


class TensorizeParams(Section):
    """How frames become clips."""

    context: Positive
    horizon: Positive
    stride: Positive
    split: Literal["auto", "folder", "video", "time"]
    val_fraction: float = Field(gt=0, lt=1)
    test_fraction: float = Field(gt=0, lt=1)
    shot_threshold: float | None = Field(gt=0, lt=1)

    @model_validator(mode="after")
    def _something_is_left_to_train(self) -> "TensorizeParams":
        if self.val_fraction + self.test_fraction >= 1:
            raise ValueError(
                f"val_fraction + test_fraction must be below 1 ({self.val_fraction} + {self.test_fraction})"
            )
        return self

    @model_validator(mode="after")
    def _a_clip_has_steps(self) -> "TensorizeParams":
        if self.context + self.horizon < 3:
            raise ValueError(
                f"context + horizon must be at least 3 ({self.context} + {self.horizon}): "
                "from a single step nothing is learnt about motion"
            )
        return self


class StrengthParams(Section):
    """How strong each degradation is; pipeline/data/degradations.py names the units."""

    edges: float = Field(gt=0, le=4)
    grey: float = Field(gt=0, le=1)
    low_resolution: Literal[2, 4]
    noise: float = Field(gt=0)
    blur: float = Field(gt=0, le=4)
    compression: int = Field(ge=1, le=100)
    masked: float = Field(gt=0, lt=1)


class TranslateParams(Section):
    """The two sequences of the task translate: a folder of each, or targets whose sources are made by a degradation."""

    source: str | None = Field(min_length=1)
    target: str | None = Field(min_length=1)
    degradation: Literal["edges", "grey", "low_resolution", "noise", "blur", "compression", "masked"]
    seed: Seed
    residual: bool
    carry: float = Field(ge=0, lt=1)
    strength: StrengthParams

    @model_validator(mode="after")
    def _both_folders_or_none(self) -> "TranslateParams":
        if (self.source is None) != (self.target is None):
            raise ValueError(f"source and target go together: two folders, or null (got {self.source}, {self.target})")
        if self.source is not None and self.source == self.target:
            raise ValueError(f"source and target are one folder ({self.source})")
        return self


class LossParams(Section):
    """Weights of the pixel losses (pipeline/training/losses.py)."""

    l1: float = Field(ge=0)
    l2: float = Field(ge=0)
    gradient: float = Field(ge=0)
    ssim: float = Field(ge=0)
    temporal: float = Field(ge=0)
    log: bool

    @model_validator(mode="after")
    def _not_all_zero(self) -> "LossParams":
        if not any((self.l1, self.l2, self.gradient, self.ssim, self.temporal)):
            raise ValueError("at least one weight must be above 0")
        return self


class Recipe(Section):
    """How a generator is trained; every model has its own, as it has its own sizes."""

    objective: Literal["pixel", "adversarial"]
    epochs: Positive
    batch_size: Positive
    optimizer: OptimizerName
    learning_rate: float = Field(gt=0)
    schedule: Schedule
    sampling: Sampling
    curriculum: float = Field(ge=0, le=1)
    loss: LossParams
    clip_norm: float | None = Field(gt=0)
    ema_decay: float = Field(ge=0, lt=1)


class RnnParams(Section):
    """The plain recurrent network over flattened frames."""

    hidden_size: Width
    num_layers: Depth
    nonlinearity: Literal["tanh", "sigmoid"]
    recipe: Recipe


class LstmParams(Section):
    """The article's reference model: LSTM, LSTM, Dense(tanh) over flattened frames."""

    hidden_size: Width
    num_layers: Depth
    recipe: Recipe


class ConvLstmParams(Section):
    """Convolutional LSTM on patches (Shi et al. 2015)."""

    hidden_channels: Width
    num_layers: Depth
    kernel_size: KernelSize
    patch_size: Depth
    recipe: Recipe


class StLstmParams(Section):
    """Spatiotemporal LSTM with the zigzag memory (Wang et al. 2017, 2022)."""

    hidden_channels: Width
    num_layers: Depth
    kernel_size: KernelSize
    patch_size: Depth
    decoupling: float = Field(ge=0)
    recipe: Recipe


class CnnLstmParams(Section):
    """ConvLSTM layers between a convolutional encoder and decoder."""

    hidden_channels: Width
    num_layers: Depth
    kernel_size: KernelSize
    patch_size: Depth
    recipe: Recipe


class CnnParams(Section):
    """Convolutions only (the idea of SimVP, Gao et al. 2022)."""

    hidden_channels: Width
    num_blocks: Depth
    num_frames: Depth
    patch_size: Depth
    recipe: Recipe


class ForeframeParams(Section):
    """The project's own generator: it warps the last frame."""

    hidden_channels: Width
    num_scales: Scales
    num_motions: Depth
    patch_size: Depth
    recipe: Recipe


GeneratorParams = ForeframeParams | RnnParams | LstmParams | ConvLstmParams | StLstmParams | CnnLstmParams | CnnParams


class ModelParams(Section):
    """Which generator, and every generator's own section."""

    name: Literal["foreframe", "rnn", "lstm", "convlstm", "stlstm", "cnn_lstm", "cnn"]
    foreframe: ForeframeParams
    rnn: RnnParams
    lstm: LstmParams
    convlstm: ConvLstmParams
    stlstm: StLstmParams
    cnn_lstm: CnnLstmParams
    cnn: CnnParams

    @property
    def selected(self) -> GeneratorParams:
        """The section of the generator that `name` picks."""
        return getattr(self, self.name)


class AdversaryParams(Section):
    """The discriminator of the recipes whose objective is adversarial."""

    channels: Positive
    context: Positive
    learning_rate: float = Field(gt=0)
    start: Fraction
    weight: float = Field(gt=0)


class TrainParams(Section):
    """How training goes, whatever the generator."""

    seed: Seed
    max_minutes: float | None = Field(gt=0)
    num_threads: Positive
    precision: Literal["auto", "float32", "bf16"]
    warmup: float = Field(ge=0, lt=1)
    accumulate: Positive
    bptt_steps: Positive | None
    recompute_steps: Positive | None
    crop: Annotated[int, Field(gt=0, multiple_of=8)] | None
    noise_channels: int = Field(ge=0)
    val_clips: Positive
    adversary: AdversaryParams


class EvaluateParams(Section):
    """What is measured, and on how much."""

    batch_size: Positive
    max_clips: Positive | None


class RenderParams(Section):
    """What people look at."""

    num_clips: Positive
    long_horizon: Positive
    scale: Annotated[int, Field(gt=0, le=64)]
    fps: float = Field(ge=0.1, le=1_000)


class PromoteParams(Section):
    """When a candidate takes the champion's place."""

    metric: Literal["mse", "mae"]
    margin: float = Field(ge=0, lt=1)
    confidence: float = Field(gt=0, lt=1)
    resamples: Positive
    seed: Seed
    commit: bool


class GenerateParams(Section):
    """The batch of videos that the champion continues."""

    videos: str = Field(min_length=1)
    output: str = Field(min_length=1)
    num_frames: Positive
    workers: Positive
    dask: str | None


class CompareParams(Section):
    """Every generator and objective for the same minutes."""

    minutes: float = Field(gt=0)
    generators: tuple[str, ...] | None = Field(min_length=1)
    objectives: tuple[Literal["pixel", "adversarial"], ...] = Field(min_length=1)
    output: str = Field(min_length=1)


class MonitorParams(Section):
    """When the champion's errors on new videos differ from those on its own test set."""

    min_videos: Positive
    p_value: float = Field(gt=0, lt=1)
    psi: float = Field(gt=0)
    bins: int = Field(ge=2)


class RetainParams(Section):
    """How much is kept of what every run adds to."""

    model_versions: Positive | None
    version_tags: Positive | None
    cache: Literal["everything", "commits", "tags"]
    runs_days: float | None = Field(gt=0)
    generated_days: float | None = Field(gt=0)
    training_states: Positive | None
    server_log_mb: float | None = Field(gt=0)


class SchedulesParams(Section):
    """When flows/deploy.py runs each flow: cron expressions, null for never."""

    timezone: str
    retrain: str | None
    generate: str | None
    monitor: str | None
    tidy: str | None


class Params(Section):
    """The whole of params.yaml."""

    data: DataParams
    task: Literal["predict", "translate"]
    sample: SampleParams
    extract: ExtractParams
    tensorize: TensorizeParams
    translate: TranslateParams
    model: ModelParams
    train: TrainParams
    evaluate: EvaluateParams
    render: RenderParams
    promote: PromoteParams
    generate: GenerateParams
    compare: CompareParams
    monitor: MonitorParams
    retain: RetainParams
    schedules: SchedulesParams

    @model_validator(mode="after")
    def _generators_exist(self) -> "Params":
        unknown = set(self.compare.generators or ()) - (ModelParams.model_fields.keys() - {"name"})
        if unknown:
            raise ValueError(f"compare.generators: no model is called {', '.join(sorted(unknown))}")
        return self


def load_params(path: Path) -> Params:
    """The parameters in the file at `path`.

    Raises ParamsError, one line per key that is missing, unknown or wrong: key, expectation and value.
    """
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise ParamsError(f"{path}: should hold sections, one key each (got {type(raw).__name__})")
    return parse_params(raw, path)


def parse_params(raw: dict[str, Any], path: Path) -> Params:
    """The parameters in `raw`, the content of the file at `path`; raises ParamsError as load_params does."""
    try:
        # JSON mode: strict mode refuses a Python list for a tuple, but takes a JSON array
        return Params.model_validate_json(json.dumps(raw, default=str))
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            keys = [".".join(str(part) for part in problem["loc"])] if problem["loc"] else []
            text = SAID.get(problem["type"], problem["msg"].removeprefix("Value error, "))
            # a missing key has no value, and the text of a check on a section names the values
            got = "" if problem["type"] in ("missing", "value_error") else f" (got {problem['input']!r})"
            lines.append(": ".join([str(path), *keys, text]) + got)
        raise ParamsError("\n".join(lines)) from error
