"""The tag Orientation of TIFF 6.0 and of EXIF: how a picture was turned or mirrored when it was stored."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

ORIENTATION = 274  # the tag
# EXIF 2.32, 4.6.4: what the first row and the first column of the stored picture show -> how it is put upright
UPRIGHT: dict[int, Callable[[NDArray], NDArray]] = {
    2: lambda picture: picture[:, ::-1],
    3: lambda picture: np.rot90(picture, 2),
    4: lambda picture: picture[::-1],
    5: lambda picture: picture.swapaxes(0, 1),
    6: lambda picture: np.rot90(picture, -1),
    7: lambda picture: np.rot90(picture.swapaxes(0, 1), 2),
    8: lambda picture: np.rot90(picture, 1),
}


def upright(picture: NDArray, orientation: int) -> NDArray:
    """`picture`, (H, W) or (H, W, C), as a viewer shows it; a view where it can be; (W, H) for 5 to 8."""
    turn = UPRIGHT.get(orientation)
    return picture if turn is None else turn(picture)


def orientation_of(page: Any) -> int:
    """The tag of a page of a TIFF, as tifffile has it; 1 where there is none."""
    tag = page.tags.get(ORIENTATION)
    return 1 if tag is None else int(tag.value)
