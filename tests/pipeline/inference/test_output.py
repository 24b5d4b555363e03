"""The file that is written is never the source, and goes on at its rate."""

import logging
import os

import numpy as np
import pytest

from pipeline.errors import PipelineError, VideoError
from pipeline.inference.output import Clock, about_frames, check_output, write_output
from pipeline.video import TimedFrame, read_timed_frames


def test_the_source_is_not_overwritten_under_any_name(tmp_path):
    source, link = tmp_path / "in.mp4", tmp_path / "link.mp4"
    check_output(source, source)  # neither exists
    source.write_text("a video")
    os.link(source, link)
    for output in (source, link):
        with pytest.raises(PipelineError, match="is the source itself; name another file to write"):
            check_output(output, source)
    check_output(tmp_path / "out.mp4", source)


def test_an_output_in_what_is_no_folder_is_told_at_once(tmp_path):
    (tmp_path / "notes.txt").write_text("no folder")
    with pytest.raises(PipelineError, match=r"notes.txt is a file, no folder; name another place"):
        check_output(tmp_path / "notes.txt/deep/out.mp4", tmp_path / "in.mp4")


def test_about_how_many_frames_there_are_is_known_before_they_are_decoded(bar_video):
    assert about_frames(bar_video) == 12


def test_progress_has_a_total_and_none_is_shown_to_who_wants_quiet(bar_video, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr("pipeline.inference.output.tqdm", lambda frames, **how: shown.append(how) or frames)
    write_output(tmp_path / "a.mp4", timed(0.0, 0.1), bar_video, total=1)
    monkeypatch.setattr(logging.getLogger(), "level", logging.ERROR)
    logging.getLogger("pipeline.inference.output").manager._clear_cache()
    write_output(tmp_path / "b.mp4", timed(0.0, 0.1), bar_video)
    assert [(how["total"], how["disable"]) for how in shown] == [(1, None), (None, True)]


def test_the_output_is_a_video_of_those_frames_at_their_times(bar_video, tmp_path):
    frames = timed(0.0, 0.25, 0.75, last=0.25)
    write_output(tmp_path / "new/out.mkv", frames, bar_video)
    written = list(read_timed_frames(tmp_path / "new/out.mkv"))
    assert [frame.pts_seconds for frame in written] == [0.0, 0.25, 0.75]
    assert written[-1].image.shape == (2, 2, 3)
    with pytest.raises(VideoError, match=r"should end in \.mp4"):
        write_output(tmp_path / "out.avi", frames, bar_video)


def timed(*pts_seconds, last=0.1):
    stops = [*pts_seconds[1:], pts_seconds[-1] + last]
    return [TimedFrame(*times, np.zeros((2, 2, 3), np.uint8)) for times in zip(pts_seconds, stops, strict=True)]


def clock_after(frames):
    clock = Clock()
    for frame in frames:
        clock.see(frame)
    return clock


def test_frames_go_on_at_the_rate_that_a_video_had_last():
    clock = clock_after(timed(0.0, 0.1, 0.2, 0.7, 1.2, 1.7, 2.2, last=0.5))
    times = [(frame.pts_seconds, frame.stop_seconds) for frame in clock.timed([np.zeros((2, 2, 3), np.uint8)] * 2)]
    assert times == [(pytest.approx(2.7), pytest.approx(3.2)), (pytest.approx(3.2), pytest.approx(3.7))]


def test_a_last_frame_that_is_held_does_not_slow_what_follows():
    clock = clock_after(timed(0.0, 0.1, 0.2, 0.3, last=3.0))
    assert next(clock.timed([np.zeros((2, 2, 3), np.uint8)])).pts_seconds == pytest.approx(3.3)
    assert clock.step_seconds == pytest.approx(0.1)


def test_a_last_frame_that_is_said_to_be_short_is_shown_as_long_as_others():
    clock = clock_after(timed(0.0, 0.5, 1.0, 1.5, last=0.1))
    times = [frame.pts_seconds for frame in clock.timed([np.zeros((2, 2, 3), np.uint8)] * 2)]
    assert times == [pytest.approx(2.0), pytest.approx(2.5)]


def test_a_picture_alone_is_followed_at_its_own_length_or_at_the_assumed_rate():
    assert clock_after(timed(0.0, last=3600.0)).step_seconds == 3600
    clock = clock_after(timed(0.0, last=0.0))
    assert [frame.pts_seconds for frame in clock.timed([np.zeros((2, 2, 3), np.uint8)])] == [1 / 25]
