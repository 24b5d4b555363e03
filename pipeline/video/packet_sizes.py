"""Whether a packet says that pictures have another size from here on, for a decoder that would not notice."""

import re
from collections.abc import Iterator

import av
from av.video.codeccontext import VideoCodecContext

START_CODE = b"\0\0\1"
# codecs whose size the container states, once
FIXED = {"ffv1", "ffvhuff", "huffyuv", "magicyuv", "qtrle", "rawvideo", "utvideo"}
PARAMETER_SETS = {"h264": (7, 0, 31), "hevc": (33, 1, 63)}  # a unit's type, where in its first byte it is
JPEG_FRAME = re.compile(rb"\xff[\xc0-\xc2]..\x08(....)", re.DOTALL)  # ITU-T T.81, B.2.2; height and width
VP8_KEY_FRAME = re.compile(rb"^...\x9d\x01\x2a(....)", re.DOTALL)  # RFC 6386, 9.1; width and height
PATTERNS = {"mjpeg": JPEG_FRAME, "vp8": VP8_KEY_FRAME}


class SizeWatch:
    """Compares what the packets of one stream say of the size of pictures with what was said first."""

    def __init__(self, context: VideoCodecContext) -> None:
        """`is_possible` says whether a change can be seen with this codec."""
        self._codec = context.name
        self._extradata = bytes(context.extradata or b"")
        self._first: bytes | None = None
        self.is_possible = self._codec in FIXED | PATTERNS.keys() | PARAMETER_SETS.keys()

    def changes(self, packet: av.Packet) -> bool:
        """Whether `packet` says something else of the size than those before it."""
        if self._codec in FIXED or not packet.is_keyframe:
            return packet.has_sidedata("new_extradata")
        for header in self._headers(bytes(packet)):
            if header in self._extradata:
                continue
            if self._first is None and self._codec not in PARAMETER_SETS:
                self._first = header
            if header != self._first:
                return True
        return packet.has_sidedata("new_extradata")

    def _headers(self, content: bytes) -> Iterator[bytes]:
        if self._codec in PATTERNS:
            yield from (match[1] for match in PATTERNS[self._codec].finditer(content))
            return
        kind, shift, mask = PARAMETER_SETS[self._codec]
        for unit in _units(content, _nal_length(self._codec, self._extradata)):
            if unit and unit[0] >> shift & mask == kind:
                yield unit


def _nal_length(codec: str, extradata: bytes) -> int:
    """Bytes that say how long a unit is, by ISO/IEC 14496-15's records; 0 where start codes part them."""
    place = {"h264": 4, "hevc": 21}[codec]
    return (extradata[place] & 3) + 1 if len(extradata) > place and extradata[0] == 1 else 0


def _units(content: bytes, nal_length: int) -> Iterator[bytes]:
    """The NAL units of a packet; the last of those parted by start codes with what follows it."""
    if not nal_length:
        yield from (unit.rstrip(b"\0") for unit in content.split(START_CODE)[1:])
        return
    place = 0
    while place + nal_length < len(content):
        length = int.from_bytes(content[place : place + nal_length], "big")
        yield content[place + nal_length : place + nal_length + length]
        place += nal_length + length
