"""A camera: OpenCV's, or a stand-in for one."""

import cv2
import numpy as np
import pytest

from pipeline.errors import VideoError
from pipeline.video import camera
from pipeline.video.camera import read_camera


class Capture:
    """Stands in for cv2.VideoCapture: three frames, BGR, of which the clock says when they come."""

    def __init__(self, number):
        self.number, self.asked, self.rest = number, {}, 3
        made.append(self)

    def isOpened(self):
        return True

    def set(self, key, value):
        self.asked[key] = value

    def read(self):
        self.rest -= 1
        return self.rest >= 0, np.full((4, 6, 3), (1, 2, 3), np.uint8)

    def release(self):
        self.released = True


made = []


@pytest.fixture
def clock(monkeypatch):
    times = iter([0.0, 0.03, 0.1])
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    monkeypatch.setattr(camera.time, "monotonic", lambda: next(times))


def test_frames_are_rgb_and_those_that_come_too_early_are_left_out(clock):
    frames = list(read_camera(2, fps=10.0, size=(4, 6)))
    assert [frame[0, 0].tolist() for frame in frames] == [[3, 2, 1]] * 2
    capture = made[-1]
    assert capture.number == 2
    assert capture.asked == {cv2.CAP_PROP_FRAME_HEIGHT: 4, cv2.CAP_PROP_FRAME_WIDTH: 6, cv2.CAP_PROP_FPS: 10.0}
    assert capture.released


def test_a_camera_that_is_not_there_is_named_and_nothing_else_is_printed(capfd):
    with pytest.raises(VideoError, match="camera 63: cannot be opened; is one plugged in"):
        read_camera(63, fps=30.0)
    assert capfd.readouterr().err == ""
