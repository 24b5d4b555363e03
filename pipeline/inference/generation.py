"""Continues a video by frames that a model generates, and describes models and videos.

Any length and any size: frames pass one at a time, so memory does not grow with the length.
"""

import json
import logging
from collections import deque
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import count, islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.errors import ModelError
from pipeline.inference.framing import Framing, framing_for
from pipeline.inference.full_resolution import FullResolution, Levels, as_levels
from pipeline.inference.motion import Field
from pipeline.inference.output import Clock, about_frames, check_output, write_output
from pipeline.inference.step_memory import step_bytes
from pipeline.inference.steps import Step, steps
from pipeline.model_dir import CARD, ModelCard, load, load_card
from pipeline.nn import rollout
from pipeline.runtime import memory
from pipeline.runtime.devices import best_device
from pipeline.sources.opening import read_timed_frames
from pipeline.video import Image as Picture
from pipeline.video import TimedFrame
from pipeline.video.timing import TOLERANCE_SECONDS, index_at, is_before

logger = logging.getLogger(__name__)

COMPRESSION_COLOUR = 4.0  # levels: the most that the channels of a gray picture differ by, on average, when compressed
KNOWN_FRAMES = 5  # the last ones of a video, which are predicted as well: how far is the model to be trusted on it?
SHAPED = {"crop": "cropped", "pad": "padded", "stretch": "stretched"}


def continue_video(
    source: Path, output: Path, model_dir: Path, num_frames: int, side: int | None = None, seed: int = 0
) -> int:
    """Write `output`: the video `source`, then `num_frames` that the model in `model_dir` generates from its end.

    They have the source's size and detail (pipeline/inference/full_resolution.py), and the frame rate that it had last;
    the model computes frames of the size that it was made for, or whose shorter side is `side` pixels. The source's own
    frames keep their times, and its audio is copied. A model that was trained at a frame rate of its own is shown the
    source at that rate and goes on at it, each of its frames as long as the source's rate needs. Where a model takes
    noise, `seed` picks one of the futures. Returns how many frames the source has. Picklable, for a pool of processes.
    Raises VideoError for a source that is no whole video or an `output` that has no ending of a video, ModelError for
    a model that cannot be used.
    """
    check_output(output, source)
    generator, card, device = load_model(model_dir)
    if not card.made_for.feeds_back:
        raise ModelError(f"{model_dir}: is made to {card.task}, not to continue a video")
    num_source = 0

    def frames() -> Iterator[TimedFrame]:
        nonlocal num_source
        past, clock = Past(card.context + KNOWN_FRAMES, card.fps), Clock()
        for frame in read_timed_frames(source):
            num_source += 1
            past.add(frame.pts_seconds, frame.image)
            clock.see(frame)
            yield frame
        pictures = past.pictures()
        if len(pictures) < card.context:
            logger.warning(
                "%s: has %d of the %d frames that the model was trained to see", source, len(pictures), card.context
            )
        generated = continuation(generator, card, pictures, device, side, seed)
        if card.fps is not None:
            generated = at_rate(generated, card.fps, 1 / clock.step_seconds)
        yield from clock.timed(islice(generated, num_frames))

    length = about_frames(source)
    write_output(output, frames(), source, total=None if length is None else length + num_frames)
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
    needed = step_bytes(model, (channels + card.noise_channels, height, width))
    memory.check(f"generating frames of {width}x{height}", needed, memory.available(device), "--size")
    noise = rollout.draw_noise(1, card.noise_channels, torch.Generator().manual_seed(seed))
    frames = torch.cat([framing.frame(picture) for picture in pictures])[None]  # (1, T, C, h, w)

    def predict(num_frames: int) -> Iterator[Step]:
        """What follows the first `num_frames` of the frames."""
        return steps(model, frames[:, max(0, num_frames - card.context) : num_frames].to(device), noise)

    with torch.inference_mode():
        if not framing.enlarges and not (card.out_channels == 1 and is_coloured(pictures[-1])):
            for step in predict(len(pictures)):
                yield framing.picture(step.frame[0], pictures[-1])
        yield from _full_resolution(predict, frames, pictures, framing)


def _full_resolution(
    predict: Callable[[int], Iterator[Step]], frames: Tensor, pictures: list[Picture], framing: Framing
) -> Iterator[Picture]:
    """The pictures that `predict` makes, at the resolution of `pictures`, of which `frames` are what a model sees."""
    visible = [picture[framing.visible] for picture in pictures]
    large = FullResolution(visible, framing.content_size, frames.shape[2])

    def levels(steps: Iterator[Step]) -> Iterator[tuple[Levels, Field | None]]:
        return (as_levels(step, framing.content) for step in steps)

    def true(number: int) -> Levels:
        return as_levels(Step(frames[:, number - 1 : number], None), framing.content)[0]

    num_known = min(KNOWN_FRAMES, len(pictures) // 2)
    if num_known:
        first = len(pictures) - num_known
        large.learn_trust(true(first), levels(predict(first)), num_known)
    large.begin(true(len(pictures)))
    for step in levels(predict(len(pictures))):
        picture = pictures[-1].copy()
        picture[framing.visible] = large.next_picture(*step)
        yield picture


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
