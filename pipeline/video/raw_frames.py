"""Raw frames over a pipe: rgb24, one after another, as `ffmpeg -f rawvideo -pix_fmt rgb24` writes and reads them."""

import io
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import VideoError

Image = NDArray[np.uint8]


def read_raw_frames(pipe: io.RawIOBase, size: tuple[int, int], name: str = "standard input") -> Iterator[Image]:
    """The frames (H, W, 3), RGB, of `size` (height, width), each as soon as its last byte has come, until the end.

    The pipe is not buffered: a buffer's lock, held by a thread that waits for bytes, would not let the program end.
    Raises VideoError where it ends within a frame.
    """
    height, width = size
    while True:
        frame = np.empty((height, width, 3), np.uint8)
        rest = frame.reshape(-1).data
        while len(rest):
            count = pipe.readinto(rest)
            if not count:
                break
            rest = rest[count:]
        if len(rest) == frame.nbytes:
            return
        if len(rest):
            raise VideoError(
                f"{name}: ends within a frame of {width}x{height} pixels, {frame.nbytes} bytes; is it rgb24 "
                "(ffmpeg … -pix_fmt rgb24 -f rawvideo -), and --size its size?"
            )
        yield frame


def standard_input() -> io.RawIOBase:
    """Where raw frames come from, without a buffer (read_raw_frames)."""
    return io.FileIO(0, closefd=False)


def write_raw_frame(pipe: BinaryIO, image: Image) -> None:
    """Write `image` (H, W, 3), uint8 RGB, to where raw frames go, at once."""
    pipe.write(np.ascontiguousarray(image).data)
    pipe.flush()
