"""Encodes the test picture in any codec and container: quadrants red, green, blue and a grey that tells the frame."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

HEIGHT, WIDTH, NUM_FRAMES, FPS = 48, 64, 8, 10
RED, GREEN, BLUE = (190, 50, 40), (50, 170, 60), (50, 60, 190)


def level(number: int) -> int:
    """The grey of frame `number`."""
    return 50 + 20 * (number % 10)


def picture(number: int, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """Frame `number`: red top left, green top right, blue bottom left, its grey bottom right; (height, width, 3)."""
    image = np.full((height, width, 3), level(number), dtype=np.uint8)
    middle, centre = height // 2, width // 2
    image[:middle, :centre], image[:middle, centre:], image[middle:, :centre] = RED, GREEN, BLUE
    return image


@dataclass(frozen=True)
class Encoding:
    """How the test picture is written."""

    codec: str = "libx264"
    format: str = "mp4"
    pixels: str = "yuv420p"
    size: tuple[int, int] = (HEIGHT, WIDTH)
    num_frames: int = NUM_FRAMES
    fps: Fraction = Fraction(FPS)
    times: tuple[int, ...] = ()  # milliseconds; else one frame after the other
    options: tuple[tuple[str, str], ...] = ()
    container_options: tuple[tuple[str, str], ...] = ()
    matrix: int = 6  # SMPTE 170M, of standard definition; 2: untagged
    color_range: int = 1  # limited; 2: full
    pixel_aspect: Fraction | None = None
    turn: int | None = None  # degrees, counter-clockwise, in the container
    mirrored: bool = False
    first: int = 0  # number of the first frame
    interlaced: bool = False


def encode(path: Path, encoding: Encoding) -> None:
    """Write the test picture to `path` as `encoding` says."""
    options = dict(encoding.options)
    if encoding.codec == "libx264":
        options = {"crf": "10", "preset": "veryfast"} | options
    with av.open(str(path), "w", format=encoding.format, options=dict(encoding.container_options)) as output:
        stream: Any = output.add_stream(encoding.codec, rate=encoding.fps, options=options)
        stream.height, stream.width = encoding.size
        stream.pix_fmt = encoding.pixels
        context = stream.codec_context
        context.thread_count = 1
        context.colorspace, context.color_range = encoding.matrix, encoding.color_range
        if encoding.times:
            context.time_base = Fraction(1, 1000)
        else:
            context.time_base = 1 / encoding.fps
        if encoding.pixel_aspect is not None:
            context.sample_aspect_ratio = encoding.pixel_aspect
        if encoding.interlaced:
            context.flags |= 0x20040000  # AV_CODEC_FLAG_INTERLACED_DCT and _ME
        if encoding.turn is not None:
            stream.set_display_rotation(encoding.turn, encoding.mirrored, False)
        for number in range(encoding.num_frames):
            frame = av.VideoFrame.from_ndarray(picture(encoding.first + number, *encoding.size), format="rgb24")
            frame = frame.reformat(
                format=encoding.pixels,
                dst_colorspace="ITU709" if encoding.matrix == 1 else "ITU601",
                dst_color_range=None if encoding.pixels.startswith(("rgb", "bgr", "gbr", "pal", "argb"))
                else "JPEG" if encoding.color_range == 2 else "MPEG",
            )  # fmt: skip
            frame.pts = encoding.times[number] if encoding.times else number
            frame.time_base = context.time_base
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
