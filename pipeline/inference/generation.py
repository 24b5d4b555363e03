"""Continues a video by frames that a model generates, and describes models and videos.

Any length and any size: frames pass one at a time, so memory does not grow with the length.
"""

import json
import logging
from collections import deque
from collections.abc import Iterator
from functools import lru_cache
from itertools import count, islice
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pipeline.errors import ModelError
from pipeline.inference.framing import framing_for
from pipeline.inference.output import check_output, frame_rate, write_output
from pipeline.inference.step_memory import step_bytes
from pipeline.model_dir import CARD, ModelCard, load, load_card
from pipeline.nn import rollout
from pipeline.runtime import memory
from pipeline.runtime.devices import best_device
from pipeline.video import Image as Picture
from pipeline.video import probe, read_frames
from pipeline.video.timing import TOLERANCE_SECONDS, index_at, is_before

logger = logging.getLogger(__name__)

COMPRESSION_COLOUR = 4.0  # levels: the most that the channels of a gray picture differ by, on average, when compressed
SHAPED = {"crop": "cropped", "pad": "padded", "stretch": "stretched"}


def continue_video(
    source: Path, output: Path, model_dir: Path, num_frames: int, side: int | None = None, seed: int = 0
) -> int:
    """Write `output`: the video `source`, then `num_frames` that the model in `model_dir` generates from its end.

    They have the source's size and frame rate; their detail is that of the frames that the model was made for, or of
    frames whose shorter side is `side` pixels. A model that was trained at a frame rate of its own is shown the source
    at that rate and goes on at it, each of its frames as long as the source's rate needs. Where a model takes noise,
    `seed` picks one of the futures. Returns how many frames the source has. Picklable, for a pool of processes.
    Raises VideoError for a source that is no whole video or an `output` that has no ending of a video, ModelError for
    a model that cannot be used.
    """
    check_output(output, source)
    generator, card, device = load_model(model_dir)
    if not card.made_for.feeds_back:
        raise ModelError(f"{model_dir}: is made to {card.task}, not to continue a video")
    fps = frame_rate(source)
    num_source = 0

    def frames() -> Iterator[Picture]:
        nonlocal num_source
        past = Past(card.context, card.fps)
        for pts_seconds, image in read_frames(source):
            num_source += 1
            past.add(pts_seconds, image)
            yield image
        pictures = past.pictures()
        if len(pictures) < card.context:
            logger.warning(
                "%s: has %d of the %d frames that the model was trained to see", source, len(pictures), card.context
            )
        if card.out_channels == 1 and is_coloured(pictures[-1]):
            logger.warning("%s: is in colour, the model makes gray frames: what follows is gray", source)
        generated = continuation(generator, card, pictures, device, side, seed)
        yield from islice(generated if card.fps is None else at_rate(generated, card.fps, fps), num_frames)

    write_output(output, frames(), fps)
    return num_source


class Past:
    """The last frames of a video that is being read: `length` of them, at `fps`, or those of the video itself."""

    def __init__(self, length: int, fps: float | None) -> None:
        self.length, self.fps = length, fps
        self.kept: deque[tuple[float, Picture]] = deque(maxlen=length if fps is None else None)

    def add(self, pts_seconds: float, picture: Picture) -> None:
        """The next frame and its presentation time."""
        self.kept.append((pts_seconds, picture))
        if self.fps is not None:
            for _ in range(self._index_at(pts_seconds - (self.length - 1) / self.fps)):
                self.kept.popleft()

    def pictures(self) -> list[Picture]:
        """What a player shows at the last frame's time, 1 / fps before it, 2 / fps before it …, in order of time."""
        if self.fps is None:
            return [picture for _, picture in self.kept]
        last = self.kept[-1][0]
        shown = [self._index_at(last - number / self.fps) for number in reversed(range(self.length))]
        return [self.kept[index][1] for index in shown if index >= 0]  # there is nothing before the first frame

    def _index_at(self, moment_seconds: float) -> int:
        # counted from the last frame's time, the moment may be rounded as well
        return index_at([pts_seconds for pts_seconds, _ in self.kept], moment_seconds + TOLERANCE_SECONDS)


def at_rate(frames: Iterator[Picture], frames_fps: float, fps: float) -> Iterator[Picture]:
    """`frames`, which are `frames_fps` per second, at another frame rate: some are repeated, or some left out.

    The picture of a moment is the first of `frames` that is not before it. A player would show the one before, but at
    the start that is the end of the past, which must not be repeated.
    """
    number, frame = 1, next(frames)
    for step in count(1):
        while is_before(number / frames_fps, step / fps):
            number, frame = number + 1, next(frames)
        yield frame


def continuation(
    model: nn.Module,
    card: ModelCard,
    pictures: list[Picture],
    device: torch.device,
    side: int | None = None,
    seed: int = 0,
) -> Iterator[Picture]:
    """Pictures that follow `pictures`, each uint8 (H, W, 3), without end; `side` is that of framing_for.

    Raises ModelError where the frames do not fit in memory.
    """
    framing = framing_for(card, (pictures[0].shape[0], pictures[0].shape[1]), side)
    channels, height, width = framing.frame_shape
    needed = step_bytes(model, (channels + card.noise_channels, height, width), device)
    memory.check(f"generating frames of {width}x{height}", needed, memory.available(device), "--size")
    context = torch.cat([framing.frame(picture) for picture in pictures])[None]  # (1, T, C, h, w)
    noise = rollout.draw_noise(1, card.noise_channels, torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        for frame in rollout.stream(model, context.to(device), noise):
            yield framing.picture(frame[0].float().cpu(), pictures[-1])


def check_futures(model_dir: Path, num_futures: int) -> None:
    """Raises ModelError where more than one future is asked of a model that knows one."""
    if num_futures > 1 and load_card(model_dir).noise_channels == 0:
        raise ModelError(
            f"{model_dir}: knows one future of a past; train with train.noise_channels above 0 for several"
        )


def is_coloured(picture: Picture) -> bool:
    """Whether the channels of a picture (H, W, 3) differ by more than compression makes them."""
    return float(np.ptp(picture, axis=-1).mean()) > COMPRESSION_COLOUR


def load_model(model_dir: Path) -> tuple[nn.Module, ModelCard, torch.device]:
    """The model in `model_dir`, its card, and the device that the model is on, the best there is.

    They are kept for the next call in this process, unless the content of the directory has changed.
    """
    try:  # the card has the content hash of the weights, so its text changes with either
        card_text = (model_dir / CARD).read_text(encoding="utf-8")
    except (OSError, ValueError):
        card_text = ""  # load says what is wrong
    return _load_model(model_dir.resolve(), card_text)


@lru_cache(maxsize=1)
def _load_model(model_dir: Path, card_text: str) -> tuple[nn.Module, ModelCard, torch.device]:
    device = best_device()
    return *load(model_dir, device), device


def describe_model(model_dir: Path) -> dict[str, str]:
    """What a person wants to know of the model in `model_dir`: heading -> text."""
    model, card, _ = load_model(model_dir)
    channels, height, width = card.frame_shape
    rate = "as the videos have" if card.fps is None else f"{card.fps:g}"
    return {
        "generator": f"{card.name}, {sum(parameter.numel() for parameter in model.parameters()):,} parameters",
        "sizes": json.dumps(card.sizes),
        "task": card.made_for.description,
        "frames": f"{width} x {height} pixels, {'gray' if channels == 1 else f'{channels} channels'}, "
        f"{SHAPED[card.fit]}, frames a second {rate}",
        "validation": ", ".join(f"{name} {value:.4g}" for name, value in sorted(card.metrics.items())),
        "training data": card.data,
    }


def describe_video(path: Path) -> dict[str, str]:
    """What a video is: heading -> text."""
    info = probe(path)
    facts = {"picture": f"{info.width} x {info.height} pixels"}
    if info.num_frames == 1:
        return facts | {"frames": "1: a picture, not a video"}
    rate, seconds = f"{info.fps:.6g} frames a second", f"{info.duration_seconds:.2f} seconds"
    if info.is_variable:
        rate += " on average: it varies"
    return facts | {
        "frame rate": rate if info.fps else "not known: the file has no times",
        "length": seconds if info.duration_seconds else "not known before it is decoded",
    }
