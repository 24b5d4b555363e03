"""params.yaml, typed, complete and strict: a wrong key or value is one clear line before any work."""

import json
import re
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from pipeline.errors import ParamsError
from pipeline.model_params import ModelParams, Positive, Section
from pipeline.runtime.yaml_file import read_yaml

FramesPerSecond = Annotated[float, Field(gt=0, le=10_000)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Folder = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")]
Size = tuple[Positive, Positive]  # (height, width), pixels

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")  # of a URL, in front
STORE_URL = re.compile(r"(s3|file)://.")
SAID = {"missing": "is missing", "extra_forbidden": "is no parameter"}  # plainer than pydantic's own words


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
    decoder: Literal["auto", "opencv", "pyav"]
    on_error: Literal["fail", "skip"]
    image_fps: FramesPerSecond
    array_range: tuple[float, float] | None
    array_axes: str | None = Field(pattern=r"^[NTHWC]+$")
    camera: str | None = Field(min_length=1)
    max_pixels: Positive
    max_seconds: float = Field(gt=0)
    timeout_seconds: float = Field(gt=0)
    max_memory_mb: int = Field(ge=512)
    executor: Literal["local", "dask"]
    store: Literal["arrays", "compressed"]
    store_url: str | None

    @field_validator("array_range")
    @classmethod
    def _black_is_below_white(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not (isfinite(value[0]) and isfinite(value[1]) and value[0] < value[1]):
            raise ValueError(f"wanted is [black, white], the first below the second (got {list(value)})")
        return value

    @field_validator("store_url")
    @classmethod
    def _frames_can_lie_there(cls, value: str | None) -> str | None:
        if value is not None and not STORE_URL.match(value):
            raise ValueError(f"wanted is s3://bucket/folder, or file:///folder of a disk that all see (got {value})")
        return value

    @model_validator(mode="after")
    def _what_is_uploaded_is_compressed(self) -> "ExtractParams":
        if self.store_url is not None and self.store != "compressed":
            raise ValueError("store_url is for compressed frames: set extract.store to compressed")
        return self

    @field_validator("array_axes")
    @classmethod
    def _axes_are_of_a_video(cls, value: str | None) -> str | None:
        if value is not None and (not set("THW") <= set(value) or len(set(value)) < len(value)):
            raise ValueError(f"wanted are T, H, W and perhaps N and C, each once, such as NTHW (got {value})")
        return value


class TensorizeParams(Section):
    """How frames become clips."""

    context: Positive
    horizon: Positive
    stride: Positive
    split: Literal["auto", "list", "folder", "video", "time"]
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
    num_threads: Positive | Literal["auto"]
    precision: Literal["auto", "float32", "bf16"]
    warmup: float = Field(ge=0, lt=1)
    accumulate: Positive
    bptt_steps: Positive | None
    recompute_steps: Positive | None
    crop: Annotated[int, Field(gt=0, multiple_of=8)] | None
    noise_channels: int = Field(ge=0)
    val_clips: Positive
    shuffle_mb: Positive | None
    adversary: AdversaryParams


class EvaluateParams(Section):
    """What is measured, and on how much."""

    batch_size: Positive
    max_clips: Positive | None
    lpips: Folder  # auto, off, or the path of its weights


class RenderParams(Section):
    """What people look at."""

    num_clips: Positive
    long_horizon: Positive
    scale: Annotated[int, Field(gt=0, le=64)]
    fps: float = Field(ge=0.1, le=1_000)


PromoteMetric = Literal["mse", "mae", "ssim", "ms_ssim"]


class PromoteParams(Section):
    """When a candidate takes the champion's place."""

    metric: PromoteMetric | Annotated[tuple[PromoteMetric, ...], Field(min_length=1)]
    margin: float = Field(ge=0, lt=1)
    confidence: float = Field(gt=0, lt=1)
    resamples: Positive
    seed: Seed
    commit: bool

    @property
    def metrics(self) -> tuple[str, ...]:
        """What is compared; what happens to the first one of them is what is watched and shown."""
        return (self.metric,) if isinstance(self.metric, str) else self.metric


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


def _a_timezone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("is no IANA name of a time zone, such as Europe/Berlin or UTC")
    return name


def _a_cron_expression(text: str) -> str:
    try:
        CronSim(text, datetime.now(UTC))
    except CronSimError as error:
        raise ValueError(
            f'is no cron expression ({error}); "0 3 * * *" is at three every night: minute, hour, day, month, weekday'
        ) from error
    return text


Cron = Annotated[str, AfterValidator(_a_cron_expression)]


class SchedulesParams(Section):
    """When flows/deploy.py runs each flow: cron expressions, null for never."""

    timezone: Annotated[str, AfterValidator(_a_timezone)]
    retrain: Cron | None
    generate: Cron | None
    monitor: Cron | None
    tidy: Cron | None
    watch: bool
    quiet_seconds: float = Field(ge=0.1, le=3600)


class Params(Section):
    """The whole of params.yaml."""

    data: DataParams
    task: Literal["predict", "translate"]
    sample: SampleParams | None = None  # a project of somebody's own videos has none
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
