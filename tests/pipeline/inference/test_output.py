"""The file that is written is never the source, and has its rate."""

import logging
import os

import numpy as np
import pytest

from pipeline.errors import PipelineError, VideoError
from pipeline.inference.output import about_frames, check_output, frame_rate, write_output
from pipeline.video import probe, write_png


def test_the_source_is_not_overwritten_under_any_name(tmp_path):
    source, link = tmp_path / "in.mp4", tmp_path / "link.mp4"
    check_output(source, source)  # neither exists
    source.write_text("a video")
    os.link(source, link)
    for output in (source, link):
        with pytest.raises(PipelineError, match="is the source itself; name another file to write"):
            check_output(output, source)
    check_output(tmp_path / "out.mp4", source)


def test_the_rate_is_that_of_the_source(bar_video, tmp_path):
    assert frame_rate(bar_video) == 12.5
    for number in range(2):
        write_png(tmp_path / f"walk/{number}.png", np.zeros((8, 8, 3), np.uint8))
    assert frame_rate(tmp_path / "walk") == 25.0
    with pytest.raises(VideoError, match="none"):
        frame_rate(tmp_path / "none.mp4")


def test_about_how_many_frames_there_are_is_known_before_they_are_decoded(bar_video):
    assert about_frames(bar_video) == 12


def test_progress_has_a_total_and_none_is_shown_to_who_wants_quiet(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr("pipeline.inference.output.tqdm", lambda pictures, **how: shown.append(how) or pictures)
    picture = np.zeros((8, 8, 3), np.uint8)
    write_output(tmp_path / "a.mp4", iter([picture]), 4.0, total=1)
    monkeypatch.setattr(logging.getLogger(), "level", logging.ERROR)
    logging.getLogger("pipeline.inference.output").manager._clear_cache()
    write_output(tmp_path / "b.mp4", iter([picture]), 4.0)
    assert [(how["total"], how["disable"]) for how in shown] == [(1, None), (None, True)]


def test_the_output_is_a_video_of_those_pictures(tmp_path):
    pictures = [np.full((16, 24, 3), level, np.uint8) for level in (10, 200, 90)]
    write_output(tmp_path / "new/out.mkv", pictures, 4.0)
    info = probe(tmp_path / "new/out.mkv")
    assert (info.height, info.width, info.fps) == (16, 24, 4.0)
    with pytest.raises(VideoError, match=r"should end in \.mp4"):
        write_output(tmp_path / "out.avi", pictures, 4.0)
