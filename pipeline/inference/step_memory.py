"""How much memory a generator takes for a frame, worked out before it is taken."""

import torch
from torch import nn

from pipeline.runtime import memory
from pipeline.runtime.devices import on_processor


def step_bytes(model: nn.Module, shape: tuple[int, int, int]) -> int:
    """About how much memory the second step of a video with frames of `shape` (C, H, W) takes, in bytes."""
    model = on_processor(model)  # kernels of a GPU do not take tensors without content

    def steps() -> None:
        frame = torch.zeros(1, 1, *shape)
        with torch.no_grad():
            _, state = model(frame)
            model(frame, state)

    return memory.estimate(steps)
