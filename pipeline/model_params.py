"""The part of params.yaml that says which generator, of what sizes, trained by what recipe; see params.py."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[int, Field(gt=0)]
# sizes of a network: far beyond any use, so that a slip, or a hostile model directory, is no list without end
Width = Annotated[int, Field(gt=0, le=65_536)]
Depth = Annotated[int, Field(gt=0, le=1_000)]
Scales = Annotated[int, Field(gt=0, le=16)]
OptimizerName = Literal["adam", "muon"]
Schedule = Literal["constant", "cosine", "one_cycle"]
Sampling = Literal["teacher", "scheduled", "reverse", "free"]
Start = Literal["pretrained", "champion", "scratch"]
NO_SIZES = {"recipe", "start"}  # keys of a generator's section that say nothing of its shape


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError(f"must be odd, so that a cell has as many neighbours on either side (got {value})")
    return value


KernelSize = Annotated[int, Field(gt=0, le=999), AfterValidator(_odd)]


class Section(BaseModel):
    """A part of params.yaml: unknown keys, wrong types and NaN are refused; values never change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


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
    weight_decay: float = Field(ge=0)
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


class MinConvParams(Section):
    """minConvGRU and minConvLSTM on patches (Feng et al. 2024)."""

    cell: Literal["gru", "lstm"]
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

    start: Start
    hidden_channels: Width
    num_scales: Scales
    num_motions: Depth
    patch_size: Depth
    measured_motion: bool = False  # models from before there was any have none
    recipe: Recipe


GeneratorParams = (
    ForeframeParams | RnnParams | LstmParams | ConvLstmParams | StLstmParams | CnnLstmParams | MinConvParams | CnnParams
)


class ModelParams(Section):
    """Which generator, and every generator's own section."""

    name: Literal["foreframe", "rnn", "lstm", "convlstm", "stlstm", "cnn_lstm", "minconv", "cnn"]
    foreframe: ForeframeParams
    rnn: RnnParams
    lstm: LstmParams
    convlstm: ConvLstmParams
    stlstm: StLstmParams
    cnn_lstm: CnnLstmParams
    minconv: MinConvParams
    cnn: CnnParams

    @property
    def start(self) -> Start:
        """What training begins from; only foreframe comes with weights."""
        return self.foreframe.start if self.name == "foreframe" else "scratch"

    @property
    def selected(self) -> GeneratorParams:
        """The section of the generator that `name` picks."""
        return getattr(self, self.name)
