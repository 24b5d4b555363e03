"""The part of a picture that its container shows: MP4's clean aperture, Matroska's PixelCrop. PyAV has neither."""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
from av.container import InputContainer
from av.filter import Graph
from av.video.stream import VideoStream

from pipeline.video.broken_files import boxes_in
from pipeline.video.mp4_tracks import inside, movie_and_track

SAMPLE_ENTRY = 78  # bytes before the boxes in it; width and height are at 24
SIZE_AT = 24
# Matroska's elements (RFC 9559)
SEGMENT, TRACKS, ENTRY = b"\x18\x53\x80\x67", b"\x16\x54\xae\x6b", b"\xae"
VIDEO = b"\xe0"
WIDTH, HEIGHT = b"\xb0", b"\xba"
BOTTOM, TOP, LEFT, RIGHT = b"\x54\xaa", b"\x54\xbb", b"\x54\xcc", b"\x54\xdd"
MOST_ELEMENTS = 10_000


@dataclass(frozen=True)
class Crop:
    """What is shown of pictures of `stored` (width, height), in pixels."""

    stored: tuple[int, int]
    left: int
    top: int
    width: int
    height: int

    @property
    def is_real(self) -> bool:
        """Whether it is a part of the picture, and not all of it."""
        width, height = self.stored
        fits = self.left >= 0 and self.top >= 0 and self.left + self.width <= width and self.top + self.height <= height
        return fits and self.width > 0 and self.height > 0 and (self.width, self.height) != self.stored


class Cropper:
    """Crops the frames of one stream as its container says; all else of them stays."""

    def __init__(self, container: InputContainer, stream: VideoStream, file: int) -> None:
        """`file` is the open file."""
        crop = None
        if "mp4" in container.format.name:
            crop = _clean_aperture(file, stream.id)
        elif "matroska" in container.format.name:
            crop = _pixel_crop(file, container.streams.video.index(stream))
        self._crop = crop if crop is not None and crop.is_real else None
        self._graph: tuple[str, Graph] | None = None  # by the frames' format

    def crop(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The part of `frame` that is shown, its memory shared; the whole where the container means another size."""
        crop = self._crop
        if crop is None or (frame.width, frame.height) != crop.stored:
            return frame
        if self._graph is None or self._graph[0] != frame.format.name:
            self._graph = frame.format.name, _graph(frame, crop)
        graph = self._graph[1]
        graph.push(frame)
        return graph.vpull()


def _graph(frame: av.VideoFrame, crop: Crop) -> Graph:
    graph = Graph()
    graph.threads = 1
    time_base = frame.time_base or Fraction(1, 1000)
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=time_base)
    step = graph.add("crop", f"{crop.width}:{crop.height}:{crop.left}:{crop.top}:exact=1")
    source.link_to(step)
    step.link_to(graph.add("buffersink"))
    graph.configure()
    return graph


def _clean_aperture(file: int, track: int) -> Crop | None:
    """The `clap` of the track's first sample entry (ISO/IEC 14496-12, 12.1.4)."""
    found = movie_and_track(file, track)
    if found is None:
        return None
    place = found[1]
    for kind in (b"mdia", b"minf", b"stbl", b"stsd"):
        place = next(inside(file, kind, *place), (0, 0))
    for _, (start, stop) in boxes_in(file, *place):
        width, height = struct.unpack(">2H", os.pread(file, 4, start + SIZE_AT).ljust(4, b"\0"))
        for clap, _ in inside(file, b"clap", start + SAMPLE_ENTRY, stop):
            return _from_clap(os.pread(file, 32, clap), width, height)
        return None
    return None


def _from_clap(content: bytes, width: int, height: int) -> Crop | None:
    if len(content) < 32:
        return None
    numbers = struct.unpack(">IIIIiIiI", content)  # offsets are of the middle, and may be negative
    if not all(numbers[1::2]):
        return None
    shown_width, shown_height, right, down = (Fraction(*numbers[place : place + 2]) for place in range(0, 8, 2))
    left, top = (width - shown_width) / 2 + right, (height - shown_height) / 2 + down
    return Crop((width, height), round(left), round(top), round(shown_width), round(shown_height))


def _pixel_crop(file: int, number: int) -> Crop | None:
    """PixelCropLeft and the like of a track with this number among those of video (RFC 9559, 5.1.4.1.28)."""
    size = os.fstat(file).st_size
    for segment in _elements(file, SEGMENT, 0, size):
        for tracks in _elements(file, TRACKS, *segment):
            videos = [video for entry in _elements(file, ENTRY, *tracks) for video in _elements(file, VIDEO, *entry)]
            for video in videos[number : number + 1]:
                width, height = _value(file, WIDTH, *video), _value(file, HEIGHT, *video)
                left, right, top, bottom = (_value(file, each, *video) for each in (LEFT, RIGHT, TOP, BOTTOM))
                return Crop((width, height), left, top, width - left - right, height - top - bottom)
    return None


def _value(file: int, kind: bytes, start: int, stop: int) -> int:
    """The whole number in the element of `kind`; 0 where there is none."""
    first, last = next(_elements(file, kind, start, stop), (0, 0))
    return int.from_bytes(os.pread(file, min(8, last - first), first), "big")


def _elements(file: int, kind: bytes, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of what is in the elements of `kind` between two places."""
    for _ in range(MOST_ELEMENTS):
        head = os.pread(file, 12, start)
        id_length = 9 - head[0].bit_length() if head[:1] and head[0] else 0
        if start >= stop or not 1 <= id_length <= 4 or not head[id_length : id_length + 1] or not head[id_length]:
            return
        width = 9 - head[id_length].bit_length()  # a number's first byte says how many bytes it has
        length = int.from_bytes(head[id_length : id_length + width], "big") & ((1 << 7 * width) - 1)
        first = start + id_length + width
        last = stop if length == (1 << 7 * width) - 1 else min(stop, first + length)  # written live: to the end
        if head[:id_length] == kind:
            yield first, last
        start = last
