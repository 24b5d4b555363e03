"""Recordings that were joined are told from those of which packets were lost."""

import os
from dataclasses import replace
from fractions import Fraction

import av
import pytest

from pipeline.errors import DamagedVideo
from pipeline.video import read_frames
from pipeline.video.transport_stream import joins, was_to_go_on
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


def goes_on(path):
    file = os.open(path, os.O_RDONLY)
    try:
        return was_to_go_on(file)
    finally:
        os.close(file)


@pytest.mark.parametrize("options", [(), (("mpegts_m2ts_mode", "1"),), (("muxrate", "3000000"),)])
def test_a_recording_that_is_cut_where_a_key_frame_begins_breaks_off(tmp_path, options):
    whole, cut = tmp_path / "whole.ts", tmp_path / "cut.ts"
    encode(whole, replace(VIDEO, num_frames=40, options=(("g", "10"),), container_options=options))
    with av.open(str(whole)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size and packet.is_keyframe]
    assert len(places) == 4
    assert not goes_on(whole)
    assert len(list(read_frames(whole))) == 40
    for number, place in enumerate(places[1:], start=1):
        length = 192 if "mpegts_m2ts_mode" in dict(options) else 188
        cut.write_bytes(whole.read_bytes()[: place // length * length])
        with pytest.raises(DamagedVideo, match=f"breaks off after {10 * number} frames"):
            list(read_frames(cut))
        assert goes_on(cut)
