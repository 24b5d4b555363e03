"""Pictures of arrays and stacks at the wanted size, shape and colours, by OpenCV."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.video import Image
from pipeline.video.frame_conversion import PictureFormat


def shaped(picture: NDArray, wanted: PictureFormat) -> Image:
    """`picture`, (H, W) or (H, W, 1 | 3 | 4), as `wanted`: uint8 (height, width, C).

    Its levels are from 0 to 255, as uint8 or float32. A fourth channel (alpha) is left out. Rounding comes last, so
    that deep pictures are shrunk exactly.
    """
    if picture.ndim == 3 and picture.shape[2] == 1:
        picture = picture[:, :, 0]
    if picture.ndim == 3:
        picture = np.ascontiguousarray(picture[:, :, :3])
        if wanted.color == "gray":
            picture = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    rows, columns = picture.shape[:2]
    height, width = size = wanted.size or (rows, columns)
    if wanted.fit == "crop":
        scale = max(height / rows, width / columns)
        kept = min(rows, round(height / scale)), min(columns, round(width / scale))
        top, left = (rows - kept[0]) // 2, (columns - kept[1]) // 2
        picture = picture[top : top + kept[0], left : left + kept[1]]
    elif wanted.fit == "pad":
        scale = min(height / rows, width / columns)
        size = max(1, round(rows * scale)), max(1, round(columns * scale))
    picture = _resized(picture, size)
    image: Image = picture if picture.dtype == np.uint8 else np.rint(picture).clip(0, 255).astype(np.uint8)
    if size != (height, width):
        padded = np.zeros((height, width, *image.shape[2:]), np.uint8)
        top, left = (height - size[0]) // 2, (width - size[1]) // 2
        padded[top : top + size[0], left : left + size[1]] = image
        image = padded
    if image.ndim == 2:
        image = np.repeat(image[:, :, None], 1 if wanted.color == "gray" else 3, axis=2)
    return np.ascontiguousarray(image)


def _resized(picture: NDArray, size: tuple[int, int]) -> NDArray:
    """Averages over areas where it shrinks, then linear interpolation where it grows."""
    shrunk = min(picture.shape[0], size[0]), min(picture.shape[1], size[1])
    for (height, width), how in ((shrunk, cv2.INTER_AREA), (size, cv2.INTER_LINEAR)):
        if picture.shape[:2] != (height, width):
            picture = cv2.resize(np.ascontiguousarray(picture), (width, height), interpolation=how)
    return picture
