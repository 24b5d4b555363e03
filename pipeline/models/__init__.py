"""The generators, by name. All have the contract of torch.nn.LSTM, with frames for features.

`forward(frames, state=None) -> (frames, state)`: (B, T, C, H, W) in [-1, 1] in and out. Output t is the frame that
follows input t (or, in translation, the target that belongs to it) and depends on inputs up to t alone. `state` is a
nested tuple of tensors whose first dimension is the batch, to hand to the next call; None begins a sequence. One call
over T frames equals T calls of one. Where more channels go in than come out, the further ones are noise that picks one
of several futures (pipeline/nn/rollout.py), or they are the source's in translation; a frame that is fed back
is the first `out_channels`. A generator with `takes_fed_back = True` gets a third argument from rollouts, `fed_back`
(B, T) bool: which frames are its own last output.
"""

from importlib import import_module
from typing import Any

from torch import nn

MODELS = {
    "rnn": "PlainRnn",
    "lstm": "StackedLstm",
    "convlstm": "ConvLstm",
    "stlstm": "StLstm",
    "cnn_lstm": "CnnLstm",
    "minconv": "MinConv",
    "cnn": "Cnn",
    "foreframe": "Foreframe",
}

# their output begins from their input as it is, so that nothing is gained by adding it once more (residual.py)
BEGIN_FROM_INPUT = {"foreframe"}
# those that are told when input and output of a step show the same moment (an argument `aligned`), and can then blend
# the last output, warped, into the next (`carry`)
CAN_CARRY = {"foreframe"}


def build(name: str, frame_shape: tuple[int, int, int], out_channels: int, **sizes: Any) -> nn.Module:
    """The generator called `name`, from frames of `frame_shape` (C, H, W) to frames (out_channels, H, W).

    `sizes` are the plain values of its section in params.yaml, without the recipe. Raises ModelError where the frame
    shape does not suit them.
    """
    # imported by name, so that a stage depends on the chosen model's file alone
    return getattr(import_module(f"pipeline.models.{name}"), MODELS[name])(frame_shape, out_channels, **sizes)
