"""Writes one .npy file a frame at a time, so that memory does not grow with the length of a video."""

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

Frames = NDArray[np.uint8]


def write_array(path: Path, frames: Iterable[Frames]) -> int:
    """Write `frames`, each uint8 (H, W, C), as one array (T, H, W, C); returns T.

    The file appears when it is whole; without frames there is none.
    """
    # one name for whoever writes the same array: what a killed run left behind is overwritten
    part = path.with_name(f".{path.name}.part")
    num_frames = 0
    shape: tuple[int, ...] = ()
    try:
        with part.open("wb") as file:
            for frame in frames:
                if not num_frames:
                    shape = frame.shape
                    _write_header(file, (0, *shape))
                assert frame.shape == shape
                file.write(np.ascontiguousarray(frame).data)
                num_frames += 1
            if num_frames:
                file.seek(0)
                _write_header(file, (num_frames, *shape))
        if num_frames:
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return num_frames


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    # numpy leaves room for a longer first axis, so the header has one length for every T
    npy.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
