"""A shot ends at a hard cut and nowhere else."""

import numpy as np
import pytest

from pipeline.splitting.shots import find_shots, frame_differences


def video(*levels):
    return np.array(levels, np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)


def test_a_difference_is_the_mean_over_pixels_and_channels_of_one():
    frames = checkered(10, 100), checkered(61, 151), checkered(61, 151)
    frames[2][0, 0] += 102
    assert frame_differences(np.stack(frames)).tolist() == pytest.approx([0.2, 0.4 / 4])
    assert frame_differences(video(9)).tolist() == []


def test_the_darker_or_duller_both_frames_the_more_a_difference_counts():
    rng = np.random.default_rng(0)
    shots = [rng.integers(0, 256, (8, 8, 3), dtype=np.uint8) for _ in range(2)]
    frames = np.stack([shot for shot in shots for _ in range(6)])
    dull = 120 + frames // 8
    for shown in (frames, frames // 4, frames // 8, dull):
        assert find_shots(shown, 0.1) == [(0, 6), (6, 12)]
    assert find_shots(frames // 64, 0.1) == [(0, 12)], "as good as black"


def checkered(dark, bright):
    """A picture (2, 2, 3) of ordinary contrast."""
    return np.array([[dark, bright], [bright, dark]], np.uint8)[..., None].repeat(3, axis=2)


def test_differences_are_the_same_however_the_frames_are_read(monkeypatch):
    frames = np.random.default_rng(0).integers(0, 256, (11, 3, 4, 1), dtype=np.uint8)
    whole = frame_differences(frames)
    monkeypatch.setattr("pipeline.splitting.shots.CHUNK", 3)
    assert np.array_equal(frame_differences(frames), whole)
    assert len(whole) == 10


def test_a_shot_ends_at_a_jump():
    assert find_shots(video(10, 11, 12, 200, 201, 202, 203), 0.1) == [(0, 3), (3, 7)]


def test_two_cuts_make_a_shot_of_one_frame():
    assert find_shots(video(10, 11, 12, 13, 200, 14, 15, 16, 17), 0.1) == [(0, 4), (4, 5), (5, 9)]


def test_steady_change_however_fast_is_no_cut():
    assert find_shots(video(0, 60, 120, 180, 240), 0.1) == [(0, 5)]
    assert find_shots(video(0, 255, 0, 255, 0, 255), 0.1) == [(0, 6)]


def test_no_threshold_and_short_videos_have_one_shot():
    assert find_shots(video(0, 0, 255, 255), None) == [(0, 4)]
    assert find_shots(video(0, 255), 0.1) == [(0, 2)]
