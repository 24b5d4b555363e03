"""5,000 images of handwritten digits from MNIST, which the sample stage's videos are made of."""

import zlib
from importlib.resources import files
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import DataError

FILE = "digits.npz"  # beside this module


def load_digits(size: int) -> NDArray[np.uint8]:
    """The 5,000 digits, white on black, as uint8 (N, size, size): at 28 as they are, else averaged over areas.

    Raises DataError where the file that they are in is damaged.
    """
    path = files(__name__).joinpath(FILE)
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            digits: NDArray[np.uint8] = arrays["digits"]
    except (BadZipFile, ValueError, LookupError, EOFError, zlib.error) as error:
        told = " ".join(str(error).split())
        raise DataError(f"{path}: is damaged ({told}); `git checkout` it, or install foreframe again") from error
    if size == digits.shape[1]:
        return digits
    return np.stack([np.asarray(Image.fromarray(digit).resize((size, size), Image.Resampling.BOX)) for digit in digits])
