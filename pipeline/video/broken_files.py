"""What the bytes of a file say by themselves: why it is no video, and whether its end is missing.

The decoder says "invalid data" of everything, and takes a file without its end for a short one.
"""

import os
import struct
from collections.abc import Callable, Iterator

HEAD = 64 * 1024  # bytes that are looked at
MOST_BOXES = 100_000

PLAYLISTS = (b"#extm3u", b"ffconcat", b"[playlist]", b"v=0\r", b"v=0\n", b"<smil", b"<asx")
IMAGES = (b"\xff\xd8\xff", b"\x89PNG", b"BM", b"II*\0", b"MM\0*", b"GIF8", b"\0\0\x01\0", b"qoif")
ARCHIVES = (b"PK\x03\x04", b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
AUDIO = (b"ID3", b"fLaC", b"OggS", b"\xff\xfb", b"\xff\xf3", b"\xff\xf1", b"#!AMR", b"FORM")
TOP_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"moof", b"sidx", b"uuid", b"pnot")
WEBP_ANIMATION = 0x02  # of a WebP's flags
ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


def why_no_video(file: int) -> str:
    """Why the open file `file`, which the decoder refused, is no video, in words for a person."""
    head = os.pread(file, HEAD, 0)
    text = head[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        return "empty file"
    if not head.strip(b"\0"):
        return "holds only zeros: a download that did not finish"
    if text.startswith(PLAYLISTS) or b"<mpd" in text:
        return "a playlist, which would make the decoder open other files or addresses"
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page, not a video: a download that failed"
    if head.startswith((b"II*\0", b"MM\0*")) and _is_stack(file, head):
        return "a stack of images in one TIFF: give each a file of its own, numbered"
    if head[8:12] == b"WEBP" and head[12:16] == b"VP8X" and head[20] & WEBP_ANIMATION:
        return "an animated WebP, which this decoder does not know: save it as .gif, .png or .mp4"
    if head.startswith(IMAGES) or head[8:12] == b"WEBP" or is_lone_image(file):
        return "a lone image, not a video"
    if head.startswith(ARCHIVES):
        return "an archive, not a video: unpack it"
    if head.startswith(b"%PDF"):
        return "a PDF document, not a video"
    if head[4:8] in TOP_BOXES and b"moov" not in {kind for kind, _ in _boxes(file)}:
        return "breaks off before its index (no moov box): a recording or download that did not finish"
    if head.startswith(AUDIO) or head[8:12] in (b"WAVE", b"AIFF"):
        return "audio only"
    if all(byte >= 32 or byte in b"\t\r\n\f\x1b" for byte in head[:4096]):
        return "text, not a video"
    return "not a video (nothing that the decoder knows)"


def is_lone_image(file: int) -> bool:
    """Whether the open file `file` is a HEIC or AVIF image, whose tiles and thumbnail a decoder takes for videos."""
    boxes = dict(_boxes(file)) if os.pread(file, 8, 0)[4:] == b"ftyp" else {}
    return b"meta" in boxes and b"moov" not in boxes


def _is_stack(file: int, head: bytes) -> bool:
    """Whether a TIFF has more than one image: each names the place of the next."""
    order = "<" if head.startswith(b"II") else ">"
    (start,) = struct.unpack(f"{order}I", head[4:8])
    count = os.pread(file, 2, start)
    if len(count) < 2:
        return False
    end = start + 2 + 12 * struct.unpack(f"{order}H", count)[0]
    return os.pread(file, 4, end).strip(b"\0") != b""


def is_cut(file: int) -> bool:
    """Whether the end of the open file `file` is missing, by what its container says of its own length."""
    head, size = os.pread(file, 4096, 0), os.fstat(file).st_size
    for matches, cut in CHECKS:
        if matches(head):
            return cut(file, head, size)
    return False


def is_encrypted(file: int) -> bool:
    """Whether the open file `file` is an MP4 with encrypted video (Common Encryption)."""
    for kind, (start, length) in _boxes(file):
        if kind == b"moov":
            moov = os.pread(file, min(length, 1 << 24), start)
            return b"encv" in moov and b"schm" in moov
    return False


def _boxes(file: int) -> list[tuple[bytes, tuple[int, int]]]:
    """The top-level boxes of an MP4: kind, (start, length), the last one's length as it claims."""
    size = os.fstat(file).st_size
    return [(kind, (start, stop - start)) for kind, start, stop, _ in _walked(file, 0, size)]


def boxes_in(file: int, start: int, stop: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """The boxes of an MP4 between two places of the open file `file`: kind, (start, stop) of what is in each."""
    for kind, first, last, head in _walked(file, start, stop):
        yield kind, (first + head, min(last, stop))


def _walked(file: int, start: int, stop: int) -> Iterator[tuple[bytes, int, int, int]]:
    """(kind, start, stop, bytes of its head) of the boxes between two places."""
    for _ in range(MOST_BOXES):
        if start + 8 > stop:
            return
        length, kind = struct.unpack(">I4s", os.pread(file, 8, start).ljust(8, b"\0"))
        head = 8
        if length == 1:
            length, head = int.from_bytes(os.pread(file, 8, start + 8), "big"), 16
        elif length == 0:
            length = stop - start
        if length < head:
            return
        yield kind, start, start + length, head
        start += length


def _mp4_is_cut(file: int, head: bytes, size: int) -> bool:
    _, (start, length) = _boxes(file)[-1]
    return start + length > size


def _matroska_is_cut(file: int, head: bytes, size: int) -> bool:
    segment = head.find(b"\x18\x53\x80\x67")
    if segment < 0 or segment + 12 > len(head):
        return False
    width = 9 - head[segment + 4].bit_length()  # a number's first byte says how many bytes it has
    value = int.from_bytes(head[segment + 4 : segment + 4 + width], "big") & ((1 << 7 * width) - 1)
    unknown = value == (1 << 7 * width) - 1  # written live
    return not unknown and segment + 4 + width + value > size


def _avi_is_cut(file: int, head: bytes, size: int) -> bool:
    start = 0
    while start + 12 <= size:  # a long AVI is several RIFF chunks
        tag, length = struct.unpack("<4sI", os.pread(file, 8, start))
        if tag != b"RIFF" or length == 0:
            return False
        start += 8 + length + length % 2
    return start - 1 > size


def _flv_is_cut(file: int, head: bytes, size: int) -> bool:
    length = int.from_bytes(os.pread(file, 4, size - 4), "big")  # the last tag's, header included
    if not 11 <= length <= size - 17:
        return True
    return int.from_bytes(os.pread(file, 3, size - 4 - length + 1), "big") + 11 != length


def _ogg_is_cut(file: int, head: bytes, size: int) -> bool:
    tail = os.pread(file, 70_000, max(0, size - 70_000))  # a page has at most 65,307 bytes
    last = tail.rfind(b"OggS")
    return last < 0 or last + 6 > len(tail) or not tail[last + 5] & 4


def _asf_is_cut(file: int, head: bytes, size: int) -> bool:
    start = head.find(ASF_FILE_PROPERTIES)
    if start < 0 or head[start + 88 : start + 89] == b"\x01":  # a broadcast does not know its length
        return False
    return int.from_bytes(head[start + 40 : start + 48], "little") > size


CHECKS: tuple[tuple[Callable[[bytes], bool], Callable[[int, bytes, int], bool]], ...] = (
    (lambda head: head[4:8] in TOP_BOXES, _mp4_is_cut),
    (lambda head: head.startswith(b"\x1a\x45\xdf\xa3"), _matroska_is_cut),
    (lambda head: head[:4] == b"RIFF" and head[8:12] == b"AVI ", _avi_is_cut),
    (lambda head: head.startswith(b"FLV"), _flv_is_cut),
    (lambda head: head.startswith(b"OggS"), _ogg_is_cut),
    (lambda head: head.startswith(b"\x30\x26\xb2\x75"), _asf_is_cut),
    (lambda head: head[:1] == b"\x47" and head[188:189] == b"\x47", lambda _, __, size: size % 188 != 0),
    (lambda head: head[4:5] == b"\x47" and head[196:197] == b"\x47", lambda _, __, size: size % 192 != 0),
    (
        lambda head: head.startswith(b"GIF8"),
        lambda file, _, size: os.pread(file, 64, max(0, size - 64)).rstrip(b"\0")[-1:] != b"\x3b",
    ),
    (
        lambda head: head.startswith(b"\x89PNG"),
        lambda file, _, size: b"IEND" not in os.pread(file, 64, max(0, size - 64)),
    ),
)
