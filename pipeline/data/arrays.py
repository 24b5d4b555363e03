"""Writes a .npy file frame by frame, so that memory does not grow with the length of a video."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from pipeline.runtime.files import replacing

Frames = NDArray[np.uint8]


def write_array(path: Path, frames: Iterable[Frames]) -> int:
    """Write `frames`, each uint8 (H, W, C), as one array (T, H, W, C); returns T.

    The file appears when it is whole; without frames there is none.
    """
    images = iter(frames)
    first = next(images, None)
    if first is None:
        return 0
    num_frames = 0
    with replacing(path, durable=False) as part, part.open("wb") as file:
        _write_header(file, (0, *first.shape))
        for image in chain([first], images):
            assert image.shape == first.shape
            file.write(np.ascontiguousarray(image).data)
            num_frames += 1
        file.seek(0)
        _write_header(file, (num_frames, *first.shape))
    return num_frames


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    # numpy leaves room for a longer first axis, so the header has one length for every T
    npy.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
