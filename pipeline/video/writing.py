"""Writes videos and pictures that people can open: whole or not at all, and the same bytes for the same frames."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import cv2
import numpy as np
from av.container import OutputContainer
from numpy.typing import NDArray

from pipeline.errors import VideoError
from pipeline.runtime.files import replacing
from pipeline.video.audio import AudioTrack
from pipeline.video.encoders import FORMATS, Encoder, Format, stamped
from pipeline.video.reading import TimedFrame

Image = NDArray[np.uint8]

ANIMATIONS = (".webp", ".gif", ".png")
LOSSLESS = [cv2.IMWRITE_WEBP_QUALITY, 101]  # up to 100 WebP is lossy, and its frames leave ghosts in the next ones
CLOCK = 90_000  # time stamps per second where nobody says
COARSEST, FINEST = 10_000, 1_000_000  # time stamps per second of .mp4


def write_video(path: Path, frames: Iterable[Image], fps: float, audio_from: Path | None = None) -> None:
    """Write `frames`, uint8 (H, W, 3) RGB, as a video that browsers play; the file appears when it is whole.

    It is H.264 in .mp4, .m4v, .mov and .mkv, where an odd height or width gets one more row or column, a copy of the
    last; VP9 in .webm. The audio of the video `audio_from` is copied, if it has any, as long as there are frames.
    Raises VideoError if there are no frames, if they differ in size, or if the name ends otherwise.
    """
    target = _format(path)
    if target.clock == FORMATS[".gif"].clock:
        times = (TimedFrame(number / fps, (number + 1) / fps, image) for number, image in enumerate(frames))
        write_timed_video(path, times, audio_from=audio_from)
        return
    images = _of_one_size(path, frames)
    first = next(images)
    with _writing(path, target) as (output, stack):
        encoder = Encoder(output, target, rate_of(fps), None, first)
        audio = None if audio_from is None else AudioTrack(audio_from, output, stack)
        for number, image in enumerate(chain([first], images), start=1):
            encoder.write(image)
            if audio is not None:
                audio.write_until(number / fps)
        encoder.finish()


def write_timed_video(
    path: Path,
    frames: Iterable[TimedFrame],
    *,
    time_base: Fraction | None = None,
    audio_from: Path | None = None,
) -> None:
    """Write `frames`, each shown from its pts_seconds to its stop_seconds, as .mp4, .m4v, .mov, .mkv, .webm or .gif.

    Times are exact multiples of `time_base` (VideoInfo has a source's), which .mp4 and .mov keep; .mkv and .webm round
    to thousandths of a second, .gif to hundredths and shows no frame for less than two. All of the audio of the video
    `audio_from` is copied, if it has any and the format can hold it, what is heard before the first frame and after the
    last included. Otherwise as write_video.
    """
    target = _format(path)
    timed = iter(frames)
    first = next(timed, None)
    if first is None:
        raise VideoError(f"{path}: no frames to write")
    base = Fraction(1, target.clock) if target.clock else _refined(time_base)
    step = first.stop_seconds - first.pts_seconds
    with _writing(path, target) as (output, stack):
        encoder = Encoder(output, target, rate_of(1 / step if step > 0 else 25.0), base, first.image)
        audio = None if audio_from is None else AudioTrack(audio_from, output, stack)
        lead = audio.lead_seconds if audio is not None else 0.0
        shown = ((pts + lead, stop + lead, image) for pts, stop, image in chain([first], timed))
        for image, pts, duration in stamped(shown, target, base):
            if image.shape != first.image.shape:
                raise VideoError(f"{path}: a frame is {image.shape}, the first was {first.image.shape}")
            encoder.write(image, pts, duration)
            if audio is not None:
                audio.write_all_until(float((pts + duration) * base) - lead)
        encoder.finish()
        if audio is not None:
            audio.write_all_until()


def rate_of(fps: float) -> Fraction:
    """`fps` as a ratio of small numbers, as files state it: 29.97 is 30000 / 1001; a frame an hour is 1 / 3600."""
    if fps >= 1:
        return Fraction(fps).limit_denominator(1001)
    return 1 / Fraction(1 / fps).limit_denominator(1001)


def _format(path: Path) -> Format:
    target = FORMATS.get(path.suffix.lower())
    if target is None:
        raise VideoError(f"{path}: should end in {', '.join(FORMATS)}")
    return target


def _refined(time_base: Fraction | None) -> Fraction:
    """The time base of a file for times in units of `time_base`, fine enough for other times, too."""
    if time_base is None or time_base.denominator > FINEST:
        return Fraction(1, CLOCK)
    per_second = time_base.denominator
    while per_second < COARSEST:
        per_second *= 2
    return Fraction(1, per_second)


def _of_one_size(path: Path, frames: Iterable[Image]) -> Iterator[Image]:
    shape = None
    for image in frames:
        shape = shape or (*image.shape[:2], 3)
        if image.shape != shape:
            raise VideoError(f"{path}: a frame is {image.shape}, the first was {shape}")
        yield image
    if shape is None:
        raise VideoError(f"{path}: no frames to write")


@contextmanager
def _writing(path: Path, target: Format) -> Iterator[tuple[OutputContainer, ExitStack]]:
    """The container that becomes `path` when it is whole, and what closes files that are read meanwhile."""
    # Matroska has random numbers in it otherwise
    options = {"movflags": "faststart"} if target.name in ("mp4", "mov") else {"fflags": "+bitexact"}
    with (
        replacing(path, durable=False) as part,
        av.open(str(part), "w", format=target.name, options=options) as output,
        ExitStack() as stack,
    ):
        yield output, stack


def write_png(path: Path, image: Image) -> None:
    """Write `image`, uint8 (H, W, 3) RGB, as a PNG file, which appears when it is whole."""
    data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
    with replacing(path, durable=False) as part:
        part.write_bytes(data.tobytes())


def write_animation(path: Path, frames: Iterable[Image], fps: float) -> None:
    """Write `frames`, uint8 (H, W, 3) RGB, as an animated .webp, .gif or .png that repeats for ever.

    All but .gif, which has 256 colours, keep every pixel as it is. The frames are held in memory: for a short preview.
    Raises VideoError if there are none or the name ends otherwise.
    """
    if path.suffix.lower() not in ANIMATIONS:
        raise VideoError(f"{path}: should end in {', '.join(ANIMATIONS)}")
    animation = cv2.Animation()
    animation.frames = [cv2.cvtColor(image, cv2.COLOR_RGB2BGR) for image in frames]
    if not animation.frames:
        raise VideoError(f"{path}: no frames to write")
    animation.durations = [round(1000 / fps)] * len(animation.frames)
    data = cv2.imencodeanimation(path.suffix.lower(), animation, LOSSLESS)[1]
    with replacing(path, durable=False) as part:
        part.write_bytes(data.tobytes())
