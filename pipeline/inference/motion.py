"""Displacement fields: applied to pictures, followed back over several frames, brought to another size.

All are backward: (H, W, 2), float32, pixels to the right and down, from each pixel to where its value is read.
"""

from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]  # (H, W, 2)
Pixels = TypeVar("Pixels", NDArray[np.float32], NDArray[np.uint8])
Size = tuple[int, int]  # (height, width)

SMOOTHING = 1.5  # pixels of the field, standard deviation


def moved(image: NDArray[np.float32], field: Field) -> NDArray[np.float32]:
    """`image` (H, W, C) read at each pixel's place + `field`, between pixels too; the border's pixels go on."""
    return remapped(image, places(field.shape[:2]) + field, cv2.INTER_LINEAR).reshape(image.shape)


def remapped(image: Pixels, sources: Field, interpolation: int) -> Pixels:
    """`image` read at `sources` (x, y), as moved does; OpenCV drops the axis of one channel."""
    return cv2.remap(image, sources, None, interpolation, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]


def places(size: Size) -> Field:
    """The place of each pixel, (x, y)."""
    rows, columns = np.indices(size, dtype=np.float32)
    return np.stack([columns, rows], axis=-1)


def followed(field: Field, flow: Field) -> Field:
    """From a frame back to where `field` leads from the frame before, to which `flow` leads.

    So that a picture that has moved for many frames is resampled once, and stays as sharp as it was.
    """
    return flow + moved(field, flow)


def carried_on(flow: Field) -> Field:
    """The `flow` of the next frame, where everything moves on as by `flow`: along itself, and a little smoother.

    What comes to a place moves as it did where it comes from. Without the smoothing differences between neighbours
    would grow from frame to frame, until the picture folds.
    """
    return cv2.GaussianBlur(moved(flow, flow), (0, 0), SMOOTHING)  # type: ignore[return-value]


def resized(image: NDArray[np.float32], size: Size, interpolation: int = cv2.INTER_LINEAR) -> NDArray[np.float32]:
    """`image` (H, W, C) at another `size`."""
    return cv2.resize(image, (size[1], size[0]), interpolation=interpolation).reshape(*size, -1)  # type: ignore[return-value]


def resized_field(field: Field, size: Size) -> Field:
    """`field` for pictures of another `size`, in their pixels."""
    height, width = field.shape[:2]
    return resized(field * np.array([size[1] / width, size[0] / height], np.float32), size)
