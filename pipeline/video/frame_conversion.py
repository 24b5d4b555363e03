"""Converts a decoded frame to the picture that a player shows: upright, in its true shape, in RGB, at a wanted size."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
from av.filter import Graph
from numpy.typing import NDArray

from pipeline.errors import VideoError
from pipeline.video.light import Light, light_of
from pipeline.video.side_data import display_matrix

Image = NDArray[np.uint8]

# averages over areas where it shrinks; without full chroma interpolation red and blue are 18 dB worse
FLAGS = "area+full_chroma_int"
MAX_RATIO = 100  # a filter of swscale has at most 256 taps, so a stronger reduction takes two steps
HD_HEIGHT, HD_WIDTH = 576, 1280  # above this height or from this width players take untagged video for BT.709
# ITU-T H.273's numbers, as FFmpeg's scale filter calls them
MATRICES = {0: "auto", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
# and what no filter converts
UNKNOWN_MATRICES = {
    8: "YCgCo",
    11: "YDzDx",
    13: "chromaticity-derived, of constant luminance",
    14: "ICtCp",
    15: "IPT-C2",
}
UNKNOWN_MATRICES |= {16: "YCgCo-Re", 17: "YCgCo-Ro"}
CHROMATICITY_DERIVED = 12  # from the primaries
BY_PRIMARIES = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020"}
RANGES = {1: "tv", 2: "pc"}
PLAIN_YUV = {f"{kind}{chroma}p" for kind in ("yuv", "yuvj") for chroma in ("420", "422", "444")}
MOST_GRAY_COMPONENTS = 2  # with alpha
NOT_SQUARE_LIMITS = Fraction(1, 10), Fraction(10)  # a pixel's shape beyond these is a mistake in the header


@dataclass(frozen=True)
class PictureFormat:
    """How pictures are wanted."""

    size: tuple[int, int] | None  # (height, width), pixels; None: the display size of the first frame
    fit: str  # crop | pad | stretch
    color: str  # gray | rgb


@dataclass(frozen=True)
class Display:
    """How a player shows what is stored: how it is turned, and the shape of its pixels."""

    quarter_turns: int  # counter-clockwise
    mirrored: bool  # left to right, after turning
    pixel_aspect: Fraction  # width by height


class FrameConverter:
    """Converts the frames of one video to images of one size."""

    def __init__(self, wanted: PictureFormat, pixel_aspect: Fraction | None) -> None:
        """`pixel_aspect` is the shape of a stored pixel, width by height; None where it is not known."""
        low, high = NOT_SQUARE_LIMITS
        self._aspect = pixel_aspect if pixel_aspect and low <= pixel_aspect <= high else Fraction(1)
        self._wanted = wanted
        self._display = Display(0, False, self._aspect)
        self._display_size: tuple[int, int] | None = None
        self._graphs: dict[tuple, tuple[Graph, tuple[int, int]]] = {}
        self.hdr = ""  # how HDR was mapped to SDR, if it was

    def display_size(self, frame: av.VideoFrame) -> tuple[int, int]:
        """(height, width), pixels, in which a player shows the first frame, which `frame` is or comes after.

        Raises VideoError where its colours are of a kind that cannot be converted.
        """
        if self._display_size is None:
            _check_matrix(frame)
            self._display = display_of(frame, self._aspect)
            self._display_size = _display_size(frame.height, frame.width, self._display)
        return self._display_size

    def convert(self, frame: av.VideoFrame) -> Image:
        """The frame as uint8 (height, width, C); raises VideoError if its format or size cannot be converted."""
        display_size = self.display_size(frame)
        size, display = self._wanted.size or display_size, self._display
        light = light_of(frame)
        key = (frame.width, frame.height, frame.format.name, int(frame.colorspace), int(frame.color_range), light)
        frame.pts = None
        try:
            if key not in self._graphs:
                self._graphs.clear()  # the stream has changed its size or colours
                self._graphs[key] = _graph(frame, display, size, self._wanted.fit, light)
            graph, scaled = self._graphs[key]
            graph.push(frame)
            image: NDArray[Any] = graph.vpull().to_ndarray()
        except MemoryError:
            raise
        except (av.FFmpegError, ValueError) as error:
            what = f"{frame.format.name} of {frame.height} x {frame.width} pixels"
            raise VideoError(f"a picture cannot be converted ({what}: {error})") from error
        if light is not None:
            image, self.hdr = light.to_sdr(image), light.hdr or self.hdr
        if display.mirrored:
            image = image[:, ::-1]
        image = np.rot90(image, display.quarter_turns)
        if self._wanted.color == "gray":
            image = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)[:, :, None]
        if scaled == size:
            return np.ascontiguousarray(image)
        padded = np.zeros((*size, image.shape[2]), dtype=np.uint8)
        top, left = (size[0] - scaled[0]) // 2, (size[1] - scaled[1]) // 2
        padded[top : top + scaled[0], left : left + scaled[1]] = image
        return padded


def display_of(frame: av.VideoFrame, pixel_aspect: Fraction) -> Display:
    """How a player shows the first frame of a video; `pixel_aspect` is as stored."""
    matrix = display_matrix(frame)
    if matrix is None:
        return Display(0, False, pixel_aspect)
    a, b, _, c, d, *_ = matrix.tolist()
    mirrored = a * d - b * c < 0
    if mirrored:  # undone first, so that a turn is left
        a, b = -a, -b
    turns = (0 if a > 0 else 2) if abs(a) >= abs(b) else (3 if b > 0 else 1)
    return Display(turns, mirrored, pixel_aspect)


def _check_matrix(frame: av.VideoFrame) -> None:
    """Raises VideoError where the matrix of luma and chroma is one that would be taken for another."""
    if frame.format.is_rgb or len(frame.format.components) <= MOST_GRAY_COMPONENTS:
        return
    name = UNKNOWN_MATRICES.get(int(frame.colorspace))
    if int(frame.colorspace) == CHROMATICITY_DERIVED and int(frame.color_primaries) not in BY_PRIMARIES:
        name = f"chromaticity-derived, of primaries {int(frame.color_primaries)}"
    if name:
        raise VideoError(f"its colours are {name}, which cannot be converted: encode it anew as BT.709")


def _matrix_of(frame: av.VideoFrame) -> str:
    """The matrix from luma and chroma to RGB, as FFmpeg calls it; what players take where nothing says so."""
    if int(frame.colorspace) == CHROMATICITY_DERIVED:
        return BY_PRIMARIES[int(frame.color_primaries)]
    is_hd = frame.height > HD_HEIGHT or frame.width >= HD_WIDTH
    return MATRICES.get(int(frame.colorspace), "bt709" if is_hd else "bt601")


def _display_size(height: int, width: int, display: Display) -> tuple[int, int]:
    """(height, width) in which a player shows a picture: pixels are made square by enlarging one side."""
    aspect = display.pixel_aspect
    height, width = (height, round(width * aspect)) if aspect >= 1 else (round(height / aspect), width)
    return (width, height) if display.quarter_turns % 2 else (height, width)


def _graph(
    frame: av.VideoFrame, display: Display, size: tuple[int, int], fit: str, light: Light | None
) -> tuple[Graph, tuple[int, int]]:
    """A filter graph from stored frames to RGB ones before they are turned, and the size of the picture in `size`.

    RGB has 16 bits where its values are to be mapped to those of SDR.
    """
    rows, columns = _display_size(frame.height, frame.width, display)
    scaled, kept = _scaled_and_kept(rows, columns, size, fit)
    if display.quarter_turns % 2:  # crop and scale come before the turn
        rows, columns, kept, unturned = columns, rows, kept[::-1], scaled[::-1]
    else:
        unturned = scaled
    kept_height = max(1, round(kept[0] * frame.height / rows))
    kept_width = max(1, round(kept[1] * frame.width / columns))
    steps = []
    if (kept_height, kept_width) != (frame.height, frame.width):
        steps.append(("crop", f"{kept_width}:{kept_height}"))
    matrix = _matrix_of(frame)
    colours = f"in_color_matrix={matrix}:in_range={RANGES.get(int(frame.color_range), 'auto')}"
    step_height, step_width = min(unturned[0] * MAX_RATIO, kept_height), min(unturned[1] * MAX_RATIO, kept_width)
    if (step_height, step_width) != (kept_height, kept_width):
        steps.append(("scale", f"{step_width}:{step_height}:flags={FLAGS}:{colours}"))
    elif 2 * unturned[0] <= kept_height and 2 * unturned[1] <= kept_width and frame.format.name in PLAIN_YUV:
        # shrunk as it is, in 16 bits, and turned into RGB when it is small: as exact, in half the time and less
        span = RANGES.get(int(frame.color_range), "pc" if frame.format.name.startswith("yuvj") else "tv")
        colours = f"in_color_matrix={matrix}:in_range={span}"
        kept_colours = f"{colours}:out_color_matrix={matrix}:out_range={span}"
        steps.append(("scale", f"{unturned[1]}:{unturned[0]}:flags={FLAGS}:{kept_colours}"))
        steps.append(("format", "yuv444p16le"))
    steps.append(("scale", f"{unturned[1]}:{unturned[0]}:flags={FLAGS}:{colours}"))
    steps.append(("format", "rgb24" if light is None else "gbrp16le"))
    graph = Graph()
    graph.threads = 1
    last = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000))
    for name, arguments in steps:
        step = graph.add(name, arguments)
        last.link_to(step)
        last = step
    last.link_to(graph.add("buffersink"))
    graph.configure()
    return graph, scaled


def _scaled_and_kept(
    rows: int, columns: int, size: tuple[int, int], fit: str
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Of a picture of (rows, columns): the (height, width) that it fills in `size`, and the part of it that is kept."""
    height, width = size
    if fit == "crop":
        scale = max(height / rows, width / columns)
        return size, (min(rows, round(height / scale)), min(columns, round(width / scale)))
    if fit == "pad":
        scale = min(height / rows, width / columns)
        return (max(1, round(rows * scale)), max(1, round(columns * scale))), (rows, columns)
    return size, (rows, columns)
