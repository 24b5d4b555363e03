"""Test clips as large as their videos: the pictures that the frames were made of, or none where these are not there."""

import numpy as np
import pytest

from pipeline.data.frames import FrameStore
from pipeline.errors import VideoError
from pipeline.inference.large_clips import Originals, Place
from pipeline.params import load_params
from pipeline.stages.extract import extract
from pipeline.video import read_frames, write_video
from tests.conftest import ROOT, data_in

PLACE = Place("street.mp4", 3, 9)


def street(num_frames: int, shift: int = 0) -> list[np.ndarray]:
    """A red post that passes from left to right before green and blue stripes: (64, 96, 3) each."""
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:, ::8, 1] = 180
    picture[::8, :, 2] = 180
    frames = []
    for number in range(num_frames):
        frame = picture.copy()
        left = 4 * number + shift
        frame[8:56, left : left + 12] = 230, 30, 30
        frames.append(frame)
    return frames


@pytest.fixture
def originals(tmp_path):
    """A function: the originals of a store of frames (16, 24) of the street, extracted as `changes` say."""

    def make(**changes):
        videos = tmp_path / "videos"
        write_video(videos / "street.mp4", iter(street(20)), 10.0)
        params = load_params(ROOT / "params.yaml").extract.model_copy(update={"size": (16, 24), **changes})
        extract(tmp_path / "frames", data=data_in(videos), extract=params)
        return Originals(FrameStore(tmp_path / "frames"), data_in(videos), params)

    return make


@pytest.mark.parametrize("color", ["gray", "rgb"])
def test_the_pictures_are_those_of_the_video_in_colour(originals, tmp_path, color):
    found = originals(color=color)
    assert found.scale([PLACE], 8) == 4
    decoded = [image for _, image in read_frames(tmp_path / "videos/street.mp4")]
    assert np.array_equal(found.pictures(PLACE, 4), np.stack(decoded[3:9]))
    assert found.pictures(PLACE, 2).shape == (6, 32, 48, 3)


def test_of_a_lower_frame_rate_they_are_those_that_were_stored(originals, tmp_path):
    found = originals(fps=5.0)
    decoded = [image for _, image in read_frames(tmp_path / "videos/street.mp4")]
    assert np.array_equal(found.pictures(PLACE, 4), np.stack(decoded[6:18:2]))


@pytest.mark.parametrize(
    ("fit", "size", "scale"), [("crop", (32, 24), 2), ("pad", (32, 24), 4), ("stretch", (8, 48), 2)]
)
def test_no_picture_is_larger_than_its_video(originals, fit, size, scale):
    found = originals(fit=fit, size=size)
    assert found.scale([PLACE], 64) == scale
    assert found.pictures(PLACE, scale).shape == (6, scale * size[0], scale * size[1], 3)
    with pytest.raises(VideoError, match="too small"):
        found.pictures(PLACE, scale + 1)


def test_where_another_video_lies_there_now_it_is_not_shown(originals, tmp_path):
    found = originals()
    write_video(tmp_path / "videos/street.mp4", iter(street(20, shift=40)), 10.0)
    with pytest.raises(VideoError, match="another one now"):
        found.pictures(PLACE, 4)
    write_video(tmp_path / "videos/street.mp4", iter(street(5)), 10.0)
    with pytest.raises(VideoError, match="has no frames 3 to 9"):
        found.pictures(PLACE, 4)


def test_where_there_are_no_videos_nothing_is_larger(originals, tmp_path):
    found = originals()
    (tmp_path / "videos/street.mp4").unlink()
    assert found.scale([PLACE], 4) == 1


def test_nobody_waits_for_the_end_of_a_long_video(originals, monkeypatch):
    monkeypatch.setattr("pipeline.inference.large_clips.MOST_SECONDS", 0.8)  # the clip ends after 0.9 s
    found = originals()
    assert found.scale([PLACE], 4) == 1
    assert found.scale([Place("street.mp4", 0, 6)], 4) == 4
