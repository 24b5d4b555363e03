"""A model file and a video make a longer video: any length, any size, in memory that does not grow with either."""

import json
import logging
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from pipeline import checkpoint, rollout
from pipeline.checkpoint import ModelCard
from pipeline.clips import to_float, to_uint8
from pipeline.errors import ModelError, PipelineError, VideoError
from pipeline.evaluation import best_device
from pipeline.video import probe, read_frames, write_video

logger = logging.getLogger(__name__)

LUMA = (0.299, 0.587, 0.114)  # of R, G, B: ITU-R BT.601, as OpenCV makes gray
ASSUMED_FPS = 25.0  # of a video that does not say
OUTPUT_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Result:
    """What became of one video of a folder; `error` is empty where `output` was written."""

    source: Path
    output: Path
    error: str


def continue_video(source: Path, output: Path, model: Path, num_frames: int) -> int:
    """Write `output`: the video `source`, then `num_frames` that the model in the folder `model` makes of its end.

    They have the source's size and frame rate; their detail is that of the frames that the model was made for. Returns
    how many frames the source has. Frames pass one at a time, so length costs no memory. Picklable, for a pool of
    processes. Raises VideoError for a source that is no whole video, ModelError for a model that cannot be used.
    """
    if output.exists() and source.exists() and output.samefile(source):
        raise PipelineError(f"{output}: is the source itself; name another file to write")
    if output.suffix.lower() not in OUTPUT_SUFFIXES:
        raise VideoError(f"{output}: should end in {', '.join(OUTPUT_SUFFIXES)}")
    generator, card, device = load_model(model)
    if card.task != "predict":
        raise ModelError(f"{model}: is made to {card.task}, not to continue a video")
    fps = probe(source).fps or ASSUMED_FPS
    num_source = 0

    def frames() -> Iterator[Picture]:
        nonlocal num_source
        last: deque[Picture] = deque(maxlen=card.context)
        for _, image in read_frames(source):
            num_source += 1
            last.append(image)
            yield image
        if len(last) < card.context:
            logger.warning(
                "%s: has %d of the %d frames that the model was trained to see", source, len(last), card.context
            )
        yield from islice(continuation(generator, card, list(last), device), num_frames)

    write_video(output, tqdm(frames(), desc=output.name, unit="frame", disable=None, mininterval=0.5), fps)
    return num_source


def continuation(model: nn.Module, card: ModelCard, pictures: list[Picture], device: torch.device) -> Iterator[Picture]:
    """What follows `pictures`, each uint8 (H, W, 3), without end, in their size."""
    size = pictures[0].shape[:2]
    context = torch.cat([fit(picture, card.frame_shape) for picture in pictures])[None]  # (1, T, C, h, w)
    noise = rollout.draw_noise(1, card.noise_channels, torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for frame in rollout.stream(model, context.to(device), noise):
            yield enlarge(frame[0].float().cpu(), size)


def fit(picture: Picture, frame_shape: tuple[int, int, int]) -> Tensor:
    """A picture, uint8 (H, W, 3), as a frame that a model takes: (1, C, h, w) in [-1, 1], stretched to its size."""
    channels, height, width = frame_shape
    frame = to_float(picture[None, None])[0]  # (1, 3, H, W)
    if channels == 1:
        frame = (frame * torch.tensor(LUMA)[:, None, None]).sum(dim=1, keepdim=True)
    return F.interpolate(frame, (height, width), mode="bilinear", antialias=True)


def enlarge(frame: Tensor, size: tuple[int, int]) -> Picture:
    """A frame (1, C, h, w) in [-1, 1] as a picture, uint8 (H, W, 3), of `size` (height, width)."""
    if frame.shape[-2:] != size:
        frame = F.interpolate(frame, size, mode="bicubic", antialias=True)
    picture = to_uint8(frame[None])[0, 0]
    return np.ascontiguousarray(np.broadcast_to(picture, (*size, 3)))


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
        stamp = (folder / checkpoint.CARD).read_text(encoding="utf-8")
    except (OSError, ValueError):
        stamp = ""  # checkpoint.load says what is wrong
    return _load_model(folder.resolve(), stamp)


@lru_cache(maxsize=1)
def _load_model(folder: Path, stamp: str) -> tuple[nn.Module, ModelCard, torch.device]:
    device = best_device()
    return *checkpoint.load(folder, device), device


def describe_model(folder: Path) -> dict[str, str]:
    """What a person wants to know of a model: heading -> text."""
    model, card, _ = load_model(folder)
    channels, height, width = card.frame_shape
    return {
        "generator": f"{card.name}, {sum(parameter.numel() for parameter in model.parameters()):,} parameters",
        "sizes": json.dumps(card.sizes),
        "task": _task(card),
        "frames": f"{width} x {height} pixels, {'gray' if channels == 1 else f'{channels} channels'}",
        "validation": ", ".join(f"{name} {value:.4g}" for name, value in sorted(card.metrics.items())),
        "training data": card.data,
    }


def _task(card: ModelCard) -> str:
    if card.translation is not None:
        return f"translate, {card.translation.label}, {card.context + card.horizon} frames at a time in training"
    return f"predict, {card.context} frames given, {card.horizon} made at a time in training"


def describe_video(path: Path) -> dict[str, str]:
    """What the header of a video says: heading -> text."""
    info = probe(path)
    return {
        "picture": f"{info.width} x {info.height} pixels",
        "frame rate": f"{info.fps:.6g} frames a second",
        "length": f"{info.duration_seconds:.2f} seconds",
    }
