"""What some videos are like, and the parameters that suit them: size, colour, rate, length of clips."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from pipeline.data.clips import SPLITS
from pipeline.errors import VideoError
from pipeline.ingest.folder import Entry
from pipeline.ingest.listing import list_here
from pipeline.ingest.looking import frames_of, info_of, reason_in
from pipeline.splitting.splits import ENOUGH_VIDEOS
from pipeline.video import Image

KEY = re.compile(r"extract\.(camera|array_axes|array_range)")  # that a reason may ask for
MOST_PROBED = 60  # videos, evenly over the folder
MOST_COLOURED = 12  # of those, whose pictures are looked at
LOOKED_AT = 25  # frames of each: a film may begin black
COMPRESSION_COLOUR = 4.0  # levels that the channels of a gray picture differ by, on average, when it is compressed
SIDE = 64  # pixels of the shorter side of a frame: what two CPU cores train on in minutes
LONGEST = 2.0  # times the shorter side: what is wider is cropped
ALIGNMENT = 8  # pixels; the grids of every generator divide such sizes
FASTEST = 15.0  # frames per second: ten of them are most of a second, in which something moves
STEPS = 10  # frames given, and frames predicted, where videos are long enough
ENOUGH_CLIPS = 4000
ENOUGH_TRAINING_STEPS = 2000  # of the optimizer: about those of the embedded sample
TOLD = "as --set says"
SHOWN = 256  # pixels of a rendered frame's shorter side, about


@dataclass(frozen=True)
class Video:
    """What is known of a video without decoding all of it."""

    height: int
    width: int
    fps: float
    seconds: float


@dataclass(frozen=True)
class Survey:
    """What is known of a folder of videos; at least one of them can be read."""

    videos: list[Video]  # those that were looked at
    num_files: int  # that can be read, about
    unreadable: list[str]  # why, one line per file
    coloured: bool
    share: float = 1.0  # how many videos stand for one that was looked at
    is_split: bool = False  # a list, or folders, say which videos train and which test

    @property
    def is_cut(self) -> bool:
        """Whether there are so few videos that each is cut in three, to train and to test."""
        return self.num_files < ENOUGH_VIDEOS and not self.is_split


@dataclass(frozen=True)
class Choice:
    """Values for params.yaml, and why."""

    size: tuple[int, int]  # height, width
    color: str
    fps: float | None
    steps: int  # of context, and of horizon
    stride: int
    epochs: int
    scale: int
    reasons: list[str]  # one line per choice


def survey(folder: Path, **stated: Any) -> Survey:
    """Look at the videos in `folder`, or in a file of several, or in a list, as extraction would read them.

    `stated` is what list_here takes. Raises VideoError where there is no folder, or no video in it.
    """
    if not folder.exists():
        raise VideoError(f"{folder}: is no folder; name the one that your videos are in")
    entries = [entry for entry in list_here(folder, **stated) if not entry.is_hidden]
    readable = [entry for entry in entries if entry.paths]
    chosen = readable[:: max(1, math.ceil(len(readable) / MOST_PROBED))]
    unreadable = [f"{entry.name}: {entry.reason}" for entry in entries if not entry.paths]
    videos, seen = [], []
    for entry in chosen:
        try:
            info = info_of(entry)
        except VideoError as error:
            unreadable.append(f"{entry.name}: {reason_in(entry, error)}")
            continue
        videos.append(Video(info.height, info.width, info.fps, info.duration_seconds))
        seen.append(entry)
    if not videos:
        found = f"the first of {len(unreadable)} files says: {unreadable[0]}" if unreadable else "it holds no file"
        asked = KEY.search(found)
        hint = f"; --set writes it, such as --set {asked[0]}=…" if asked else ""
        raise VideoError(f"{folder}: holds no video that can be read ({found}){hint}")
    coloured = any(_is_coloured(entry) for entry in seen[:: max(1, math.ceil(len(seen) / MOST_COLOURED))])
    is_split = {"train", "test"} <= {entry.split or entry.name.partition("/")[0] for entry in readable}
    share = len(readable) / len(chosen)
    return Survey(videos, round(share * len(videos)), unreadable, coloured, share, is_split)


def choose(
    found: Survey, side: int | None = None, batch_size: int = 16, stated: Mapping[str, Any] | None = None
) -> Choice:
    """The parameters that suit the videos; `side` is the shorter side of a frame in pixels, where a person says so.

    `stated` are values of params.yaml by key, which the others have to suit.
    """
    stated = stated or {}
    size, why_size = _size(found.videos, side or SIDE, stated.get("extract.size"))
    color = stated.get("extract.color") or ("rgb" if found.coloured else "gray")
    rate, why_rate = _rate(found.videos, is_cut=found.is_cut)
    if "extract.fps" in stated:
        rate = stated["extract.fps"]
        why_rate = f"all frames, {TOLD}" if rate is None else f"{rate:g} frames per second, {TOLD}"
    lengths = sorted(int(video.seconds * (rate or video.fps)) for video in found.videos)
    steps, why_steps = _steps(lengths, is_cut=found.is_cut)
    given, predicted = (stated.get(f"tensorize.{key}", steps) for key in ("context", "horizon"))
    if (given, predicted) != (steps, steps):
        why_steps = TOLD
    translates = stated.get("task") == "translate"
    clips = f"clips of {given + predicted} frames" if translates else f"{given} frames are given, {predicted} predicted"
    why_steps = f"{clips}: {why_steps}"
    if found.is_cut:
        why_steps += _who_tests(lengths, 3 * (given + predicted) + 2 * predicted)
    num_clips = found.share * sum(max(0, length - given - predicted + 1) for length in lengths)
    stride = max(1, min(2 * steps, math.ceil(num_clips / ENOUGH_CLIPS)))
    per_epoch = max(1, int(num_clips / stride / batch_size))
    return Choice(
        size=size,
        color=color,
        fps=rate,
        steps=steps,
        stride=stride,
        epochs=max(6, min(1000, round(ENOUGH_TRAINING_STEPS / per_epoch))),
        scale=max(1, SHOWN // min(size)),
        reasons=[
            why_size,
            _why_color(color, found, told="extract.color" in stated),
            why_rate,
            why_steps,
        ],
    )


def _is_coloured(entry: Entry) -> bool:
    """Whether a picture among the first of a video has channels that differ by more than compression makes them."""
    try:
        pictures: list[Image] = [frame.image for frame in islice(frames_of(entry), 0, LOOKED_AT, 8)]
    except VideoError:  # damaged after its first frame
        return False
    return any(float(np.ptp(picture, axis=-1).mean()) > COMPRESSION_COLOUR for picture in pictures)


def _why_color(color: str, found: Survey, *, told: bool) -> str:
    if told:
        return f"{'in colour' if color == 'rgb' else 'gray'}, {TOLD}"
    return "in colour: some pictures are" if found.coloured else "gray: no picture that was looked at has colour"


def _size(videos: Sequence[Video], side: int, stated: Sequence[int] | None) -> tuple[tuple[int, int], str]:
    """(height, width) of frames, and why: `stated`, else the middle shape, its shorter side `side` or the videos'."""
    height, width = stated or _fitting(videos, side)
    shapes = sorted({f"{video.width} x {video.height}" for video in videos})
    larger = all(height > video.height or width > video.width for video in videos)
    why = (
        f"frames of {width} x {height} pixels{f', {TOLD}' if stated else ''}: the videos have "
        f"{'only ' if larger else ''}{', '.join(shapes[:3])}{' and more' if len(shapes) > 3 else ''}"
    )
    return (height, width), why


def _fitting(videos: Sequence[Video], side: int) -> tuple[int, int]:
    aspect = median(video.width / video.height for video in videos)
    aspect = min(LONGEST, max(1 / LONGEST, aspect))
    side = min(side, round(median(min(video.height, video.width) for video in videos)))
    height, width = (side, side * aspect) if aspect >= 1 else (side / aspect, side)
    return _aligned(height), _aligned(width)


def _aligned(length: float) -> int:
    return max(ALIGNMENT, ALIGNMENT * int(length / ALIGNMENT + 0.5))


def _rate(videos: Sequence[Video], *, is_cut: bool) -> tuple[float | None, str]:
    """Frames per second to keep, None for all that there are, and why.

    The slowest video's rate, or a whole part of it where that leaves frames enough for clips of the usual length.
    """
    rates = [video.fps for video in videos if video.fps > 0]
    if not rates:
        return None, "all frames: the videos do not say their rate"
    slowest, fastest = min(rates), max(rates)
    longest = max(video.seconds for video in videos)
    needed = 8 * STEPS if is_cut else 2 * STEPS
    part = math.ceil(slowest / FASTEST)
    while part > 1 and longest * slowest / part < needed:
        part -= 1
    alike = fastest - slowest < 0.01 * slowest
    has = f"the videos have {slowest:g}" + ("" if alike else f" to {fastest:g}")
    if part == 1:
        return (None, f"all frames: {has} per second") if alike else (slowest, f"{slowest:g} frames per second: {has}")
    kept = round(slowest / part, 3)
    return kept, f"{kept:g} frames per second: {has}, between which little moves"


def _steps(lengths: Sequence[int], *, is_cut: bool) -> tuple[int, str]:
    """How many frames are given and predicted, and why; `lengths` are those of the videos, in frames, in order."""
    if is_cut and lengths[-1] >= 16:
        # the longest can be cut in three with gaps: see splits.check_none_is_empty
        most, why = lengths[-1] // 8, "few videos are cut in three, and the longest has"
    else:
        most, why = lengths[len(lengths) // 5] // 2, "most videos have at least"
    steps = max(2, min(STEPS, most))
    length = lengths[-1] if is_cut else lengths[len(lengths) // 5]
    return steps, f"{why} {length} frames"


def _who_tests(lengths: Sequence[int], needed: int) -> str:
    """Where not all of the videos are long enough to be cut in three: which ones validate and test, or what to do."""
    cut = sum(length >= needed for length in lengths)
    if not cut and len(lengths) < len(SPLITS):
        return f"; too little to train on a part and test on another: one needs {needed}; add videos first"
    if not 0 < cut < len(lengths):
        return ""
    return f"; validation and test are of {cut} of the {len(lengths)} alone, the others have less than {needed} frames"
