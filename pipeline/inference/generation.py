"""A model file and a video make a longer video: any length, any size, in memory that does not grow with either."""

import json
import logging
import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from itertools import count, islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from pipeline import model_dir
from pipeline.errors import ModelError, PipelineError, VideoError
from pipeline.inference.framing import framing_for
from pipeline.model_dir import ModelCard
from pipeline.nn import rollout
from pipeline.runtime.devices import best_device
from pipeline.video import probe, read_frames, write_video

logger = logging.getLogger(__name__)

ASSUMED_FPS = 25.0  # of a video that does not say
COMPRESSION_COLOUR = 4.0  # levels: the most that the channels of a gray picture differ by, on average, when compressed
OUTPUT_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")
SHAPED = {"crop": "cropped", "pad": "padded", "stretch": "stretched"}

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Result:
    """What became of one video of a folder; `error` is empty where `output` was written."""

    source: Path
    output: Path
    error: str


def continue_video(
    source: Path, output: Path, model: Path, num_frames: int, side: int | None = None, seed: int = 0
) -> int:
    """Write `output`: the video `source`, then `num_frames` that the model in the folder `model` makes of its end.

    They have the source's size and frame rate; their detail is that of the frames that the model was made for, or of
    frames whose shorter side is `side` pixels. A model that was trained at a frame rate of its own is shown the source
    at that rate and goes on at it, each of its frames as long as the source's rate needs. Of a model that takes noise
    `seed` picks one of the futures. Returns how many frames the source has. Frames pass one at a time, so length costs
    no memory. Picklable, for a pool of processes. Raises VideoError for a source that is no whole video, ModelError for
    a model that cannot be used.
    """
    if output.exists() and source.exists() and output.samefile(source):
        raise PipelineError(f"{output}: is the source itself; name another file to write")
    if output.suffix.lower() not in OUTPUT_SUFFIXES:
        raise VideoError(f"{output}: should end in {', '.join(OUTPUT_SUFFIXES)}")
    generator, card, device = load_model(model)
    if not card.made_for.feeds_back:
        raise ModelError(f"{model}: is made to {card.task}, not to continue a video")
    fps = probe(source).fps or ASSUMED_FPS
    num_source = 0

    def frames() -> Iterator[Picture]:
        nonlocal num_source
        past = Past(card.context, card.fps)
        for seconds, image in read_frames(source):
            num_source += 1
            past.add(seconds, image)
            yield image
        pictures = past.pictures()
        if len(pictures) < card.context:
            logger.warning(
                "%s: has %d of the %d frames that the model was trained to see", source, len(pictures), card.context
            )
        if card.out_channels == 1 and is_coloured(pictures[-1]):
            logger.warning("%s: is in colour, the model makes gray frames: what follows is gray", source)
        made = continuation(generator, card, pictures, device, side, seed)
        yield from islice(at_rate(made, (card.fps or fps) / fps), num_frames)

    write_video(output, tqdm(frames(), desc=output.name, unit="frame", disable=None, mininterval=0.5), fps)
    return num_source


class Past:
    """The last frames of a video that is being read: `length` of them, at `fps`, or those of the video itself."""

    def __init__(self, length: int, fps: float | None) -> None:
        self.length, self.fps = length, fps
        self.kept: deque[tuple[float, Picture]] = deque(maxlen=length if fps is None else None)

    def add(self, seconds: float, picture: Picture) -> None:
        """The next frame, shown from `seconds` on."""
        self.kept.append((seconds, picture))
        if self.fps is not None:
            begin = seconds - (self.length - 1) / self.fps
            while len(self.kept) > 1 and self.kept[1][0] <= begin + 1e-6:
                self.kept.popleft()

    def pictures(self) -> list[Picture]:
        """What a player shows at the last frame's time, 1 / fps before it, 2 / fps before it …, in order of time."""
        if self.fps is None:
            return [picture for _, picture in self.kept]
        last = self.kept[-1][0]
        shown = []
        for number in reversed(range(self.length)):
            until = [picture for seconds, picture in self.kept if seconds <= last - number / self.fps + 1e-6]
            shown += until[-1:]  # nothing before the first frame
        return shown


def at_rate(frames: Iterator[Picture], ratio: float) -> Iterator[Picture]:
    """`frames` as a player shows them that takes a step of `ratio` frames at a time: repeated below 1, left out above.

    The first step shows the first frame, for it is the past that must not be repeated.
    """
    position, frame = 0, None
    for step in count(1):
        while position < math.ceil(step * ratio - 1e-6):
            frame = next(frames)
            position += 1
        assert frame is not None
        yield frame


def continuation(
    model: nn.Module,
    card: ModelCard,
    pictures: list[Picture],
    device: torch.device,
    side: int | None = None,
    seed: int = 0,
) -> Iterator[Picture]:
    """What follows `pictures`, each uint8 (H, W, 3), without end, in their size; `side` is that of framing_for."""
    view = framing_for(card, (pictures[0].shape[0], pictures[0].shape[1]), side)
    context = torch.cat([view.frame(picture) for picture in pictures])[None]  # (1, T, C, h, w)
    noise = rollout.draw_noise(1, card.noise_channels, torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        for frame in rollout.stream(model, context.to(device), noise):
            yield view.picture(frame[0].float().cpu(), pictures[-1])


def check_futures(model: Path, num_futures: int) -> None:
    """Raises ModelError where more than one future is asked of a model that knows one."""
    if num_futures > 1 and model_dir.load_card(model).noise_channels == 0:
        raise ModelError(f"{model}: knows one future of a past; train with train.noise_channels above 0 for several")


def is_coloured(picture: Picture) -> bool:
    """Whether the channels of a picture (H, W, 3) differ by more than compression makes them."""
    return float(np.ptp(picture, axis=-1).mean()) > COMPRESSION_COLOUR


def continue_folder(videos: Path, output: Path, model: Path, num_frames: int, executor: Executor) -> Iterator[Result]:
    """Continue every file under the folder `videos` into the same place under `output`, as they finish.

    A file that is no video is a Result with an error and stops nothing. A name keeps its suffix if that can be written,
    else it gets .mp4 as a second one: `a.avi` becomes `a.avi.mp4`. Hidden files are left out.
    """
    jobs = {}
    for source in sorted(videos.rglob("*")):
        name = source.relative_to(videos)
        if source.is_file() and not any(part.startswith(".") for part in name.parts):
            suffix = "" if source.suffix.lower() in OUTPUT_SUFFIXES else ".mp4"
            target = output / name.with_name(name.name + suffix)
            jobs[executor.submit(continue_video, source, target, model, num_frames)] = (source, target)
    for job in as_completed(jobs):
        error = job.exception()
        if error is not None and not isinstance(error, PipelineError):
            raise error
        yield Result(*jobs[job], error=str(error or ""))


def load_model(folder: Path) -> tuple[nn.Module, ModelCard, torch.device]:
    """The model in `folder` on the best device; kept for the next call in this process, unless the folder changed."""
    try:
        stamp = (folder / model_dir.CARD).read_text(encoding="utf-8")
    except (OSError, ValueError):
        stamp = ""  # model_dir.load says what is wrong
    return _load_model(folder.resolve(), stamp)


@lru_cache(maxsize=1)
def _load_model(folder: Path, stamp: str) -> tuple[nn.Module, ModelCard, torch.device]:
    device = best_device()
    return *model_dir.load(folder, device), device


def describe_model(folder: Path) -> dict[str, str]:
    """What a person wants to know of a model: heading -> text."""
    model, card, _ = load_model(folder)
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
    """What the header of a video says: heading -> text."""
    info = probe(path)
    return {
        "picture": f"{info.width} x {info.height} pixels",
        "frame rate": f"{info.fps:.6g} frames a second",
        "length": f"{info.duration_seconds:.2f} seconds",
    }
