"""Encodes frames one at a time into a container: H.264 and VP9 as browsers play them, and GIF, 256 colours a frame."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import cast

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.filter import Graph
from av.video.stream import VideoStream
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

Image = NDArray[np.uint8]

CONSTANT_RATE_FACTOR = 14  # of x264: no visible loss
AVX_512 = 13  # OpenCV's number for it (cv::CpuFeatures), which its Python names leave out
ONE_THREAD_PIXELS = 256 * 256  # up to here a second thread costs x264 more than it brings


@dataclass(frozen=True)
class Format:
    """A container, what is encoded into it, and how finely and how long it can say when a frame is shown."""

    name: str  # FFmpeg's
    codec: str
    pixels: str
    clock: int | None = None  # time stamps per second; None: any number
    min_ticks: int = 1  # between two frames
    max_ticks: int = 2**31 - 1
    options: dict[str, str] = field(default_factory=dict)  # of the codec


H264 = {"crf": str(CONSTANT_RATE_FACTOR), "preset": "veryfast"}
VP9 = {"crf": "16", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"}
FORMATS = {
    ".mp4": Format("mp4", "libx264", "yuv420p", options=H264),
    ".m4v": Format("mp4", "libx264", "yuv420p", options=H264),
    ".mov": Format("mov", "libx264", "yuv420p", options=H264),
    ".mkv": Format("matroska", "libx264", "yuv420p", 1000, options=H264),
    ".webm": Format("webm", "libvpx-vp9", "yuv420p", 1000, options=VP9),
    # browsers show a frame of 0.01 seconds for 0.1
    ".gif": Format("gif", "gif", "pal8", 100, min_ticks=2, max_ticks=2**16 - 1),
}


class Encoder:
    """One video stream of a container that is being written."""

    def __init__(
        self, output: OutputContainer, target: Format, rate: Fraction, time_base: Fraction | None, first: Image
    ) -> None:
        """Frames have the size of `first`; `rate` is what the file states as frames per second.

        Time stamps count in units of `time_base` seconds; None: frame after frame at `rate`.
        """
        options = dict(target.options)
        if target.codec == "libx264":
            options |= _repeatable()
            if time_base is not None:
                options["bf"] = "0"  # with B-frames .mp4 cannot say how long the last frame is shown
        stream = cast(VideoStream, output.add_stream(target.codec, rate=rate, options=options))
        height, width = first.shape[:2]
        even = target.codec == "libx264"  # which takes no odd size with chroma at half of it
        self._padding = ((0, height % 2), (0, width % 2), (0, 0)) if even else ((0, 0),) * 3
        stream.height, stream.width = height + self._padding[0][1], width + self._padding[1][1]
        stream.pix_fmt = target.pixels
        context = stream.codec_context
        # a thread per frame: PyAV's default is one per slice of a frame, which takes up to a fifth more bytes. What
        # comes out depends a little on the number of threads, so that may not depend on the machine
        context.thread_type = "FRAME"
        context.thread_count = 1 if height * width <= ONE_THREAD_PIXELS else 4
        self._is_palette = target.pixels == "pal8"
        if not self._is_palette:
            context.color_range, context.colorspace, context.color_primaries, context.color_trc = 1, 1, 1, 1  # BT.709
        if time_base is not None:
            context.time_base = time_base
        self._output, self._stream, self._time_base = output, stream, time_base
        self._target = target
        self._durations: dict[int, int] = {}  # by time stamp, of frames that the encoder holds back

    def write(self, image: Image, pts: int | None = None, duration: int = 0) -> None:
        """Encode the next frame, uint8 (H, W, 3) RGB; pts and duration in units of the time base, if there is one."""
        padded = np.ascontiguousarray(np.pad(image, self._padding, mode="edge"))
        frame = av.VideoFrame.from_ndarray(padded, format="rgb24")
        if self._is_palette:
            frame = _with_palette(frame)
        else:
            frame = frame.reformat(format=self._target.pixels, dst_colorspace="ITU709", dst_color_range="MPEG")
        if pts is not None:
            assert self._time_base is not None
            frame.pts, frame.time_base = pts, self._time_base
            self._durations[pts] = duration
        self._mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Write the frames that the encoder holds back."""
        self._mux(self._stream.encode(None))

    def _mux(self, packets: list[av.Packet]) -> None:
        for packet in packets:
            if self._time_base is not None and packet.pts is not None:
                packet.duration = self._durations.pop(packet.pts)
            self._output.mux(packet)


def stamped(
    times: Iterable[tuple[float, float, Image]], target: Format, time_base: Fraction
) -> Iterator[tuple[Image, int, int]]:
    """(image, pts, duration) in units of `time_base` for each (pts_seconds, stop_seconds, image).

    A frame that comes sooner after another than the format allows is shown as soon as it allows, or, where that would
    be a whole frame late, left out, and the log says so; one that is shown for longer than the format can say is
    written again.
    """
    earliest = left_out = 0
    for pts_seconds, stop_seconds, image in times:
        wanted = round(pts_seconds / time_base)
        pts = max(wanted, earliest)
        if pts - wanted >= target.min_ticks and earliest:
            left_out += 1
            continue
        stop = max(round(stop_seconds / time_base), pts + target.min_ticks)
        while stop - pts > target.max_ticks:
            yield image, pts, target.max_ticks
            pts += target.max_ticks
        yield image, pts, stop - pts
        earliest = pts + target.min_ticks
    if left_out:
        fps = float(1 / (time_base * target.min_ticks))
        logger.warning("%d frames are left out: %s shows at most %g a second", left_out, target.name, fps)


def _with_palette(frame: av.VideoFrame) -> av.VideoFrame:
    """The frame in the 256 colours that suit it best."""
    graph = Graph()
    graph.threads = 1
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 100))
    split = graph.add("split")
    palette = graph.add("palettegen", "stats_mode=single:reserve_transparent=0")
    use, sink = graph.add("paletteuse", "new=1:dither=sierra2_4a"), graph.add("buffersink")
    source.link_to(split)
    split.link_to(palette, 0)
    split.link_to(use, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    frame.pts = 0
    graph.push(frame)
    graph.push(None)
    return graph.vpull()


def _repeatable() -> dict[str, str]:
    """What x264 needs to give the same bytes for the same frames.

    Its AVX-512 code reads memory that it did not write: of a hundred encodings of one small clip, some ten differed.
    With the code for AVX2 all are what most of them were.
    """
    return {"x264-params": "asm=AVX2"} if cv2.checkHardwareSupport(AVX_512) else {}
