"""5,000 images of handwritten digits from MNIST, which the sample stage's videos are made of."""

from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def load_digits(size: int) -> NDArray[np.uint8]:
    """The 5,000 digits, white on black, as uint8 (N, size, size): at 28 as they are, else averaged over areas."""
    with files(__name__).joinpath("digits.npz").open("rb") as file, np.load(file) as arrays:
        digits: NDArray[np.uint8] = arrays["digits"]
    if size == digits.shape[1]:
        return digits
    return np.stack([np.asarray(Image.fromarray(digit).resize((size, size), Image.Resampling.BOX)) for digit in digits])
