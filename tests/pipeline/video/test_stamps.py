"""Frames are chosen by the time at which a player shows them, whatever their container's time stamps mean."""

import numpy as np
import pytest

from pipeline.ingest.video_job import extract_video
from pipeline.video import read_frames, read_timed_frames, write_timed_video, write_video
from pipeline.video.decoding import decode
from pipeline.video.presentation_times import StampsGoBack
from tests.corpus.build import level, picture
from tests.corpus.stamps import MANY, MANY_TIMES, STAMPS
from tests.pipeline.video.test_subsampling import job, nothing

TEN_A_SECOND = [name for name, (_, expected) in STAMPS.items() if expected.times == MANY_TIMES]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", TEN_A_SECOND)
def test_every_second_frame_is_kept_at_half_the_rate(name, threads, tmp_path):
    path = tmp_path / name
    STAMPS[name][0](path)
    outcome = extract_video(job(path, tmp_path / "a.npy", 5.0, threads), nothing, lambda: 0)
    kept = np.load(tmp_path / "a.npy")[:, 8, 8, 0]
    assert kept.tolist() == pytest.approx([level(number) for number in range(0, MANY, 2)], abs=6)
    assert (outcome.num_frames, outcome.duration_seconds) == (MANY, pytest.approx(MANY / 10, abs=0.0011))
    assert outcome.fps == pytest.approx(10, abs=0.01)


def test_frames_of_a_camera_faster_than_the_clock_of_its_container_keep_times_of_their_own(tmp_path):
    path, again = tmp_path / "a.mkv", tmp_path / "b.mp4"
    write_video(path, [picture(number) for number in range(20)], 2000)  # two in each of Matroska's milliseconds
    seconds = [pts_seconds for pts_seconds, _ in read_frames(path)]
    assert seconds == pytest.approx([number / 2000 for number in range(20)], abs=0.00051)
    assert len(set(seconds)) == 20
    write_timed_video(again, read_timed_frames(path))
    assert len(list(read_frames(again))) == 20


def test_stamps_that_fall_in_the_order_of_output_are_not_evened_out_unseen(tmp_path):
    path = tmp_path / "a.mkv"
    STAMPS["decoding_stamps.mkv"][0](path)
    with pytest.raises(StampsGoBack):
        list(decode(path, threads=1, max_pixels=10**7, max_seconds=1e9))
    seconds = [pts_seconds for pts_seconds, _ in read_frames(path)]
    assert seconds == pytest.approx([number / 10 for number in range(MANY)])
