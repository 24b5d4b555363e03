"""Writes videos and pictures that people can open: whole or not at all, and the same bytes for the same frames."""

from collections.abc import Iterable
from contextlib import ExitStack
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import VideoError
from pipeline.runtime.files import replacing
from pipeline.video.audio import AudioTrack

Image = NDArray[np.uint8]

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
ANIMATIONS = (".webp", ".gif", ".png")
LOSSLESS = [cv2.IMWRITE_WEBP_QUALITY, 101]  # up to 100 WebP is lossy, and its frames leave ghosts in the next ones
WEBP_QUALITY = 88  # of 100: no visible loss in a photograph
CONSTANT_RATE_FACTOR = 14  # of x264: no visible loss
AVX_512 = 13  # OpenCV's number for it (cv::CpuFeatures), which its Python names leave out
ONE_THREAD_PIXELS = 256 * 256  # up to here a second thread costs x264 more than it brings


def write_video(path: Path, frames: Iterable[Image], fps: float, audio_from: Path | None = None) -> None:
    """Write `frames`, uint8 (H, W, 3) RGB, as H.264 that browsers play; the file appears when it is whole.

    An odd height or width gets one more row or column, a copy of the last. The audio of the video `audio_from` is
    copied, if it has any, as long as there are frames. Raises VideoError if there are no frames, if they differ in
    size, or if the name does not end in .mp4, .m4v, .mov or .mkv.
    """
    container_format = CONTAINERS.get(path.suffix.lower())
    if container_format is None:
        raise VideoError(f"{path}: should end in {', '.join(CONTAINERS)}")
    images = iter(frames)
    first = next(images, None)
    if first is None:
        raise VideoError(f"{path}: no frames to write")
    height, width = first.shape[:2]
    with (
        replacing(path, durable=False) as part,
        av.open(str(part), "w", format=container_format, options={"movflags": "faststart"}) as output,
        ExitStack() as stack,
    ):
        stream = output.add_stream(
            "libx264",
            rate=Fraction(fps).limit_denominator(1001),
            options={"crf": str(CONSTANT_RATE_FACTOR), "preset": "veryfast"} | _repeatable(),
        )
        stream.height, stream.width = height + height % 2, width + width % 2
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        # x264's output depends on the number of threads, so it may not depend on the machine
        context.thread_count = 1 if height * width <= ONE_THREAD_PIXELS else 4
        context.color_range, context.colorspace, context.color_primaries, context.color_trc = 1, 1, 1, 1  # BT.709
        audio = None if audio_from is None else AudioTrack(audio_from, output, stack)
        for number, image in enumerate(chain([first], images), start=1):
            if image.shape != (height, width, 3):
                raise VideoError(f"{path}: a frame is {image.shape}, the first was {(height, width, 3)}")
            padded = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
            output.mux(stream.encode(frame))
            if audio is not None:
                audio.write_until(number / fps)
        output.mux(stream.encode(None))


def write_png(path: Path, image: Image) -> None:
    """Write `image`, uint8 (H, W, 3) RGB, as a PNG file, which appears when it is whole."""
    data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
    with replacing(path, durable=False) as part:
        part.write_bytes(data.tobytes())


def write_webp(path: Path, image: Image, *, lossless: bool) -> None:
    """Write `image`, uint8 (H, W, 3) RGB, no side above 16,383, as a WebP file, which appears when it is whole."""
    quality = LOSSLESS if lossless else [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY]
    data = cv2.imencode(".webp", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality)[1]
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


def _repeatable() -> dict[str, str]:
    """What x264 needs to give the same bytes for the same frames.

    Its AVX-512 code reads memory that it did not write: of a hundred encodings of one small clip, some ten differed.
    With the code for AVX2 all are what most of them were.
    """
    return {"x264-params": "asm=AVX2"} if cv2.checkHardwareSupport(AVX_512) else {}
