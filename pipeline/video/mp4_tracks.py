"""Finds a track and what is in it in the boxes of an MP4 (ISO/IEC 14496-12)."""

import os
from collections.abc import Iterator

from pipeline.video.broken_files import boxes_in

# bytes of a box's content before the boxes in it, by kind
HEADS = {b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0, b"stsd": 8}


def inside(file: int, kind: bytes, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of what is in the boxes of `kind` between two places, without what comes before their own boxes."""
    for found, (first, last) in boxes_in(file, start, stop):
        if found == kind:
            yield first + HEADS.get(kind, 0), last


def movie_and_track(file: int, number: int) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """(start, stop) of what is in the `moov`, and in the `trak` of this number, if the open file `file` has both."""
    for moov in inside(file, b"moov", 0, os.fstat(file).st_size):
        for trak in inside(file, b"trak", *moov):
            if number in [_number(file, start) for start, _ in inside(file, b"tkhd", *trak)]:
                return moov, trak
    return None


def _number(file: int, start: int) -> int:
    """The number in a `tkhd`, whose times have 4 or 8 bytes."""
    head = os.pread(file, 24, start)
    place = 20 if head[:1] == b"\1" else 12
    return int.from_bytes(head[place : place + 4], "big")
