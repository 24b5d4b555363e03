"""What the values of a TIFF mean: grey, RGB, a palette, inks."""

from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from pipeline.errors import VideoError

KIND = tifffile.PHOTOMETRIC
INK_SET, CMYK = 332, 1  # the tag that says which inks, and that these are cyan, magenta, yellow and black
INKS = 4


def check_colours(page: Any) -> None:
    """Raises VideoError where a page of a TIFF, as tifffile has it, stores colours in a way that is not known here."""
    kind = page.photometric
    is_jpeg = page.compression in (tifffile.COMPRESSION.JPEG, tifffile.COMPRESSION.OJPEG)
    if kind in (KIND.MINISWHITE, KIND.MINISBLACK, KIND.RGB, KIND.PALETTE) or (kind == KIND.YCBCR and is_jpeg):
        return
    if kind == KIND.SEPARATED and np.dtype(page.dtype).kind == "u" and page.samplesperpixel >= INKS:
        tag = page.tags.get(INK_SET)
        if tag is None or tag.value == CMYK:
            return
    name = getattr(kind, "name", kind)
    raise VideoError(
        f"its colours are {name} ({page.samplesperpixel} x {page.dtype}), which are not read: save it as RGB"
    )


def shown(picture: NDArray, page: Any) -> NDArray:
    """What a viewer shows of the stored values: palettes looked up, inks on white, white as zero turned round."""
    if page.photometric == KIND.PALETTE and page.colormap is not None:
        return np.moveaxis(page.colormap[:, picture] >> 8, 0, -1).astype(np.uint8)
    if page.photometric == KIND.MINISWHITE and picture.dtype.kind == "u":
        return np.iinfo(picture.dtype).max - picture
    if page.photometric == KIND.SEPARATED:  # without a colour profile, as programs do that have none
        most = np.iinfo(picture.dtype).max
        light = (most - picture[..., :INKS]).astype(np.float64)
        return np.rint(light[..., :3] * light[..., 3:] / most).astype(picture.dtype)
    return picture
