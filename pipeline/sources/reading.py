"""Pictures of a sequence or a stack, chosen by time and at one size, as pipeline.video does it for videos."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from pipeline.sources.levels import Range
from pipeline.sources.part import Limits, Part, TimedPicture
from pipeline.sources.pictures import shaped
from pipeline.sources.sequences import read_array
from pipeline.sources.stacks import read_stack
from pipeline.video import Image, TimedFrame
from pipeline.video.frame_conversion import PictureFormat
from pipeline.video.reading import Report, repeated


def read_part(
    part: Part,
    *,
    fps: float,
    stated_range: Range | None,
    max_pixels: int,
    max_seconds: float,
    heartbeat: Callable[[], None] = lambda: None,
) -> Iterator[TimedPicture]:
    """The pictures of `part`, a sequence of an array or a stack; `fps` is theirs where nothing says when they are.

    Raises VideoError and DamagedVideo as the readers of arrays and stacks do.
    """
    if part.reader == "stack":
        limits = Limits(max_pixels, max_seconds)
        yield from read_stack(Path(part.path), fps, stated_range, limits, heartbeat)
        return
    for timed in read_array(part, fps, stated_range, Limits(max_pixels, max_seconds)):
        heartbeat()
        yield timed


def read_resized(
    pictures: Iterable[TimedPicture], wanted: PictureFormat, fps: float | None, report: Report
) -> Iterator[Image]:
    """The pictures shown at 0, 1 / fps, 2 / fps … seconds (all of them if `fps` is None), as `wanted`.

    `report` is filled on the way. A DamagedVideo of `pictures` is passed on after the picture that was shown last.
    """
    for timed, num_times in repeated(_reported(pictures, report), fps):
        if num_times:
            image = shaped(timed.picture, wanted)
            for _ in range(num_times):
                yield image


def _reported(pictures: Iterable[TimedPicture], report: Report) -> Iterator[TimedPicture]:
    for timed in pictures:
        report.num_frames += 1
        report.height, report.width = timed.picture.shape[:2]
        report.duration_seconds, report.codec = timed.stop_seconds, timed.what
        yield timed


def at_hand(pictures: Iterable[TimedPicture]) -> Iterator[TimedFrame]:
    """Every picture as pipeline.video.read_timed_frames yields frames, uint8 (H, W, 3)."""
    as_shown = PictureFormat(size=None, fit="stretch", color="rgb")
    for timed in pictures:
        yield TimedFrame(timed.pts_seconds, timed.stop_seconds, shaped(timed.picture, as_shown))
