"""The embedded data set: digits that move as they should, apart between the splits, the same bytes every time."""

import hashlib

import numpy as np
import pytest

from pipeline.data.digits import load_digits
from pipeline.params import SampleParams
from pipeline.stages.sample import between_pixels, bounce, draw, sample, share_out
from pipeline.video import probe, read_frames, write_video
from tests.conftest import data_in

PARAMS = {
    "seed": 3,
    "train_videos": 2,
    "val_videos": 1,
    "test_videos": 1,
    "num_frames": 5,
    "fps": 10.0,
    "frame_size": 32,
    "digit_size": 16,
    "num_digits": 1,
    "speed": 2.0,
    "subpixel": True,
}


def write(folder, **changes):
    sample(folder, data=data_in(folder), sample=SampleParams(**PARAMS | changes))
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.mp4"))}


def test_who_has_videos_of_their_own_waits_for_no_digits(tmp_path):
    write(tmp_path)
    sample(tmp_path, data=data_in(tmp_path / "films"), sample=SampleParams(**PARAMS))
    assert list(tmp_path.iterdir()) == []


def test_the_videos_are_where_they_should_be_and_play(tmp_path):
    assert list(write(tmp_path)) == ["test/000.mp4", "train/000.mp4", "train/001.mp4", "val/000.mp4"]
    info = probe(tmp_path / "train/000.mp4")
    assert (info.height, info.width, info.fps) == (32, 32, 10.0)
    frames = [image for _, image in read_frames(tmp_path / "train/000.mp4")]
    assert len(frames) == 5
    assert max(frame.max() for frame in frames) > 200


def test_same_seed_same_bytes_and_another_seed_others(tmp_path):
    first = write(tmp_path / "a")
    assert write(tmp_path / "b") == first
    other = write(tmp_path / "c", seed=4)
    assert all(other[name] != first[name] for name in first)


def test_a_clip_that_x264_wrote_in_different_ways_is_the_same_bytes_every_time(tmp_path):
    rng = np.random.default_rng([3, 0, 1])
    digits = load_digits(16)[rng.choice(5000, size=1)]
    frames = draw(digits, bounce(5, 16, 2.0, rng)[None], 32)
    written = set()
    for number in range(60):
        write_video(tmp_path / "clip.mp4", frames, 10.0)
        written.add((tmp_path / "clip.mp4").read_bytes())
        for size in range(number, 4000, 100):
            np.full(size, float(number))  # so that memory that is read without being written holds other values
    assert len(written) == 1


def test_more_videos_leave_the_first_ones_as_they_are(tmp_path):
    first, more = write(tmp_path, train_videos=1), write(tmp_path, train_videos=3)
    assert more["train/000.mp4"] == first["train/000.mp4"]
    assert len(set(more.values())) == len(more) == 5
    assert list(write(tmp_path)) == ["test/000.mp4", "train/000.mp4", "train/001.mp4", "val/000.mp4"]  # none left over


def test_what_is_written_is_what_was_drawn_but_for_compression(tmp_path):
    write(tmp_path)
    digits = load_digits(16)
    rng = np.random.default_rng([3, 2, 0])
    chosen = digits[rng.choice(share_out(5000, np.random.default_rng(3))["test"], size=1)]
    drawn = draw(chosen, bounce(5, 16, 2.0, rng)[None], 32)
    decoded = np.stack([image for _, image in read_frames(tmp_path / "test/000.mp4")])
    assert np.abs(decoded.astype(int) - drawn).mean() < 1.5  # of 255


def test_no_digit_is_in_two_splits():
    shares = share_out(5000, np.random.default_rng(0))
    assert [len(share) for share in shares.values()] == [4000, 500, 500]
    assert len(np.unique(np.concatenate(list(shares.values())))) == 5000
    digits = load_digits(28)
    assert digits.shape == (5000, 28, 28)
    assert (digits.max(), digits.min()) == (255, 0)
    prints = {split: {hashlib.sha256(d).digest() for d in digits[share]} for split, share in shares.items()}
    assert not prints["train"] & prints["test"]
    assert not prints["train"] & prints["val"]
    assert not prints["val"] & prints["test"]


@pytest.mark.parametrize("speed", [1.0, 3.6, 50.0])
def test_a_digit_stays_inside_and_keeps_its_speed(speed):
    path = bounce(200, 16, speed, np.random.default_rng(1))
    assert path.shape == (200, 2)
    assert path.min() >= 0
    assert path.max() <= 16
    if speed < 16:  # a step is the speed; less only where it meets a wall
        steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
        assert steps.max() <= speed + 1e-9
        assert np.median(steps) == pytest.approx(speed)


def test_a_wall_is_a_mirror():
    class Fixed:
        """Starts at (1, 9) and goes straight up."""

        def __init__(self):
            self.draws = iter([np.array([1.0, 9.0]), 1.5 * np.pi])

        def uniform(self, low, high, size=None):
            return next(self.draws)

    path = bounce(5, 10, 2.0, Fixed())
    assert path == pytest.approx(np.array([[1, 9], [1, 9], [3, 9], [5, 9], [7, 9]]))  # -1 -> 1, -3 -> 3


def test_the_brighter_digit_wins_where_two_overlap():
    digits = np.array([[[100]], [[200]]], np.uint8)
    corners = np.array([[[0.0, 0], [0, 1]], [[0, 0], [1, 1]]])
    frames = draw(digits, corners, 2)
    assert frames.shape == (2, 2, 2, 3)
    assert frames[..., 0].tolist() == [[[200, 0], [0, 0]], [[0, 100], [0, 200]]]
    assert np.array_equal(frames[..., 0], frames[..., 2])


def test_between_pixels_a_digit_is_a_blend_of_its_neighbours():
    digit = np.array([[100, 200]], np.uint8)
    assert between_pixels(digit, 0.0, 0.25).tolist() == [[75, 175, 50], [0, 0, 0]]
    assert between_pixels(digit, 0.5, 0.0).tolist() == [[50, 100, 0], [50, 100, 0]]


def test_whole_pixels_leave_the_digit_as_it_is(tmp_path):
    write(tmp_path, subpixel=False, num_frames=12)
    frames = np.stack([image for _, image in read_frames(tmp_path / "test/000.mp4")]).astype(int)
    ink = frames.reshape(12, -1).sum(axis=1)
    assert np.ptp(ink) < 0.03 * ink.mean()  # only compression changes it
