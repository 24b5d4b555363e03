"""Recordings that were joined are told from those of which packets were lost."""

import os
from dataclasses import replace
from fractions import Fraction

import pytest

from pipeline.errors import DamagedVideo
from pipeline.video import read_frames
from pipeline.video.transport_stream import joins
from tests.corpus.build import Encoding, encode
from tests.corpus.videos import made_of

VIDEO = Encoding("mpeg2video", "mpegts", fps=Fraction(25), num_frames=20)
KIND = 0x100  # of FFmpeg's first stream


def places(path):
    file = os.open(path, os.O_RDONLY)
    try:
        return joins(file, KIND)
    finally:
        os.close(file)


def test_a_join_is_found_by_the_tables_that_come_anew(tmp_path):
    encode(tmp_path / "one.ts", VIDEO)
    made_of(VIDEO, replace(VIDEO, first=3))(tmp_path / "two.ts")
    assert places(tmp_path / "one.ts") == set()
    found = places(tmp_path / "two.ts")
    assert len(found) == 2  # the last picture and the one before
    assert max(found) < (tmp_path / "one.ts").stat().st_size <= max(found) + 188 * 20
    assert len(list(read_frames(tmp_path / "two.ts"))) == 40


def test_lost_packets_are_no_join(tmp_path):
    encode(tmp_path / "a.ts", replace(VIDEO, size=(96, 128)))
    content = (tmp_path / "a.ts").read_bytes()
    packets = [content[start : start + 188] for start in range(0, len(content), 188)]
    for first in range(10, len(packets) - 5, 7):
        (tmp_path / "b.ts").write_bytes(b"".join(packets[:first] + packets[first + 3 :]))
        assert places(tmp_path / "b.ts") == set()
    (tmp_path / "b.ts").write_bytes(b"".join(packets[:-20] + packets[-17:]))
    with pytest.raises(DamagedVideo):
        list(read_frames(tmp_path / "b.ts"))


def test_what_is_no_transport_stream_has_none(tmp_path):
    (tmp_path / "a.ts").write_bytes(bytes(2000))
    assert places(tmp_path / "a.ts") == set()
