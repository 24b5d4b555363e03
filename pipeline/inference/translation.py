"""Translates a video frame by frame with a model that keeps its state from the first frame to the last.

Any length and any size: frames pass one at a time, so memory does not grow with the length, and frames that are too
large for the memory are computed in tiles.
"""

import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.data.clips import to_float, to_uint8
from pipeline.data.color import luma
from pipeline.data.degradations import NEED_COLOR, bicubic
from pipeline.data.task import Translate
from pipeline.errors import ModelError
from pipeline.inference.output import about_frames, check_output, write_output
from pipeline.inference.step_memory import step_bytes
from pipeline.inference.tiles import ALIGNMENT, Tiled
from pipeline.model_dir import ModelCard, load, load_card
from pipeline.nn import rollout
from pipeline.runtime import memory
from pipeline.runtime.devices import autocast, autocast_dtype, best_device, huge_pages
from pipeline.sources.opening import read_timed_frames
from pipeline.video import Image as Picture
from pipeline.video import TimedFrame

logger = logging.getLogger(__name__)

TILES = (1024, 768, 512, 384, 256, 128)  # pixels; the largest that fits in memory is taken
SMALLEST = 8  # pixels a side; below it there is nothing to translate


@dataclass(frozen=True)
class Plan:
    """How a video of one size is translated."""

    tile: int | None  # pixels; None: whole frames
    num_bytes: int  # of memory that it takes, about


def translate_video(source: Path, output: Path, model_dir: Path, *, degrade: bool, tile: int | None) -> int:
    """Write `output`: the video `source` as the model in `model_dir` translates it; returns the number of frames.

    The state goes through the whole video; times of frames and audio are the source's. With `degrade` the source is a
    clean video that first goes through the degradation which the model was trained to undo; without, it is taken as it
    is (brought to size first, where the model undoes a low resolution). `tile` is the side of the tiles in which frames
    are computed, in pixels, 0 for whole frames; None computes them whole if memory suffices. Raises VideoError for a
    source that is no video, ModelError for a model that cannot be used on it.
    """
    check_output(output, source)
    huge_pages()
    device = best_device()
    model, card = load(model_dir, device)
    if not isinstance(task := card.made_for, Translate):
        raise ModelError(f"{model_dir}: is made to continue videos, not to translate them; use foreframe predict")
    if degrade and task.translation.degradation is None:
        raise ModelError(f"{model_dir}: was trained on pairs of videos ({task.label}), not on a degradation")
    num_frames = 0
    times: deque[TimedFrame] = deque()  # of frames that are on their way

    def frames() -> Iterator[Tensor]:
        nonlocal num_frames
        for frame in read_timed_frames(source):
            times.append(frame)
            yield to_source(frame.image, card, degrade=degrade, number=num_frames)
            num_frames += 1

    dtype = autocast_dtype("auto", device)
    translations = translated(model, card, frames(), device, tile, dtype)
    timed = (times.popleft()._replace(image=to_picture(frame)) for frame in translations)
    write_output(output, timed, source, total=about_frames(source))
    return num_frames


def compare_video(source: Path, output: Path, comparison: Path, model_dir: Path, *, degrade: bool) -> None:
    """Write `comparison`: on the left what the model was fed of the video `source`, on the right `output`, its work.

    `degrade` is as it was in translate_video. Raises PipelineError where `comparison` is one of the others.
    """
    check_output(comparison, source)
    check_output(comparison, output)
    card = load_card(model_dir)

    def frames() -> Iterator[TimedFrame]:
        both = zip(read_timed_frames(source), read_timed_frames(output), strict=False)
        for number, (frame, made) in enumerate(both):
            fed = to_picture(to_source(frame.image, card, degrade=degrade, number=number))
            height, width = fed.shape[:2]
            # an odd side got a pixel more in the file
            yield frame._replace(image=np.hstack([fed, made.image[:height, :width]]))

    write_output(comparison, frames(), source)


def translated(
    model: nn.Module,
    card: ModelCard,
    frames: Iterator[Tensor],
    device: torch.device,
    tile: int | None,
    dtype: torch.dtype | None,
) -> Iterator[Tensor]:
    """The model's output for each of `frames`, (1, 1, C, H, W) in [-1, 1]; the state is kept from the first on.

    `dtype` is the lower precision of convolutions, None for float32 throughout.
    """
    noise = rollout.draw_noise(1, card.noise_channels, torch.Generator().manual_seed(0))
    noise = noise.to(device) if noise is not None else None
    state = None
    generator: nn.Module | None = None
    with torch.inference_mode():
        for frame in frames:
            if generator is None:
                card.check_size((frame.shape[-2], frame.shape[-1]))
                if tile is None:
                    chosen = plan(model, frame.shape, card.noise_channels, device)
                    logger.info("%s, about %.1f GiB of memory", chosen, chosen.num_bytes / memory.GIB)
                    generator = tiled(model, chosen.tile)
                else:
                    generator = tiled(model, tile or None)
            with autocast(device, dtype):
                output, state = generator(rollout.with_noise(frame.to(device), noise), state)
            yield output.float().cpu()


def plan(model: nn.Module, shape: torch.Size, noise_channels: int, device: torch.device) -> Plan:
    """Whole frames of `shape` (1, 1, C, H, W) if memory suffices, else the largest tiles with which it does."""
    free = memory.available(device)
    channels, height, width = shape[2] + noise_channels, shape[3], shape[4]
    needed = 0
    for tile in (None, *(side for side in TILES if side < max(height, width))):
        size = (height, width) if tile is None else (min(tile, height), min(tile, width))
        needed = step_bytes(model, (channels, *size))
        if tile is not None:  # two states of the whole frame, before and after a step
            needed += 2 * state_bytes(model, channels, device) * height * width // ALIGNMENT**2
        if needed <= free:
            return Plan(tile, needed)
    memory.check(f"translating frames of {width}x{height}", needed, free, "the size of the video")
    raise AssertionError("check raises")


def tiled(model: nn.Module, tile: int | None) -> nn.Module:
    """`model` in tiles of `tile` pixels, an overlap of a quarter but of no more than 64; itself for None."""
    if tile is None:
        return model
    return Tiled(model, tile=tile, overlap=max(ALIGNMENT, min(64, tile // 4 // ALIGNMENT * ALIGNMENT)))


def state_bytes(model: nn.Module, channels: int, device: torch.device) -> int:
    """What the state for a frame of ALIGNMENT² pixels takes, in bytes."""
    with torch.no_grad():
        _, state = model(torch.zeros(1, 1, channels, ALIGNMENT, ALIGNMENT, device=device))
    return sum(tensor.nbytes for tensor in rollout.tensors(state))


def to_source(picture: Picture, card: ModelCard, *, degrade: bool, number: int) -> Tensor:
    """A picture of a video, uint8 (H, W, 3), as what the model is fed: (1, 1, C, H, W) in [-1, 1]."""
    translation = card.translation
    assert translation is not None
    frame = to_float(picture[None, None])
    height, width = picture.shape[:2]
    if min(height, width) < SMALLEST:
        raise ModelError(f"a frame of {width}x{height} pixels is too small; {SMALLEST} a side are needed")
    if card.frame_shape[0] == 1:
        if translation.degradation in NEED_COLOR:
            raise ModelError(f"the model makes gray frames, {translation.label} needs colour")
        frame = luma(frame[0])[None]
    if degrade:
        return translation.degrade(frame, np.array([[[0, number, 0, 0]]]))
    if translation.enlarges == 1:
        return frame
    return bicubic(frame[0], (height * translation.enlarges, width * translation.enlarges))[None]


def to_picture(frame: Tensor) -> Picture:
    """A frame (1, 1, C, H, W) in [-1, 1] as a picture, uint8 (H, W, 3)."""
    picture = to_uint8(frame)[0, 0]
    return np.ascontiguousarray(np.broadcast_to(picture, (*picture.shape[:2], 3)))
