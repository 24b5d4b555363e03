"""Raw frames over a pipe."""

import io

import numpy as np
import pytest

from pipeline.errors import VideoError
from pipeline.video.raw_frames import read_raw_frames, write_raw_frame


class Trickle(io.RawIOBase):
    """A pipe that gives five bytes at a time."""

    def __init__(self, content):
        self.rest = content

    def readinto(self, buffer):
        part, self.rest = self.rest[: min(5, len(buffer))], self.rest[min(5, len(buffer)) :]
        buffer[: len(part)] = part
        return len(part)


def test_frames_come_out_as_they_went_in_in_whatever_pieces():
    frames = np.random.default_rng(0).integers(0, 256, (3, 4, 6, 3), np.uint8)
    pipe = io.BytesIO()
    for frame in frames:
        write_raw_frame(pipe, frame[:, ::-1])  # not contiguous
    read = list(read_raw_frames(Trickle(pipe.getvalue()), (4, 6)))
    assert np.array_equal(np.stack(read), frames[:, :, ::-1])


def test_an_end_within_a_frame_says_what_may_be_wrong():
    frames = read_raw_frames(Trickle(bytes(4 * 6 * 3 + 1)), (4, 6), "standard input")
    next(frames)
    with pytest.raises(VideoError, match=r"standard input: ends within a frame of 6x4 pixels, 72 bytes; is it rgb24"):
        next(frames)
