"""Which values of an array are black and white, and its pictures on the scale from 0 to 255."""

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import VideoError

Range = tuple[float, float]  # of values: what is shown black, what is shown white

BYTE, UNIT, SIGNED, WORD = (0.0, 255.0), (0.0, 1.0), (-1.0, 1.0), (0.0, 65535.0)
LEAST_USED = 0.25  # of a range: who uses less of it probably has another one


def check_numbers(dtype: np.dtype) -> None:
    """Raises VideoError where `dtype` is not one of numbers that a picture may have."""
    if dtype.hasobject:
        raise VideoError("holds Python objects (pickled), which are never loaded; save plain numbers")
    if dtype.kind not in "buif":
        raise VideoError(f"holds {dtype}; wanted are integers or floating-point numbers")


def suggested_range(dtype: np.dtype, low: float, high: float) -> Range:
    """The range that values of `dtype` from `low` to `high` have by custom.

    bool: 0 and 1. uint8, and other integers up to 255: 0 to 255. uint16: 0 to 65535. Floats: 0 to 1, -1 to 1, or 0 to
    255. Raises VideoError, which names extract.array_range, where that is a guess: negative integers, integers that are
    all 0 or 1, values that use less than a quarter of the range, and values that are not finite.
    """
    if dtype.kind == "b":
        return UNIT
    if not (np.isfinite(low) and np.isfinite(high)):
        raise _ambiguous(dtype, low, high, ": a stated range shows what is not finite as black")
    if dtype.kind in "ui":
        if low < 0 or high == 1:
            raise _ambiguous(dtype, low, high)
        is_word = dtype.kind == "u" and dtype.itemsize == 2
        if dtype.itemsize == 1 or (not is_word and high <= BYTE[1]):
            return BYTE
        if is_word and (high > LEAST_USED * WORD[1] or high == 0):
            return WORD
        raise _ambiguous(dtype, low, high)
    for candidate in (UNIT, SIGNED, BYTE):
        if candidate[0] <= low and high <= candidate[1]:
            if max(-low, high) > LEAST_USED * candidate[1] or low == high == 0:
                return candidate
            break
    raise _ambiguous(dtype, low, high)


def _ambiguous(dtype: np.dtype, low: float, high: float, more: str = "") -> VideoError:
    return VideoError(
        f"its values go from {low:g} to {high:g} ({dtype}): write what is black and what is white as "
        f"extract.array_range, such as [0, {_next_white(high)}]{more}"
    )


def _next_white(high: float) -> str:
    """The white that people with values up to `high` have most often."""
    if not np.isfinite(high):
        return "1"
    return next((str(white) for white in (1, 255, 1023, 4095, 16383, 65535) if high <= white), f"{high:g}")


def to_levels(pictures: NDArray[np.generic], black_and_white: Range) -> NDArray[np.generic]:
    """`pictures` on a scale from 0 (black, also where not a number) to 255 (white): uint8 as they are, or float32."""
    low, high = black_and_white
    if pictures.dtype == np.uint8 and (low, high) == BYTE:
        return pictures
    exact = np.float32 if pictures.dtype.itemsize <= 2 or pictures.dtype == np.float32 else np.float64
    values = np.nan_to_num(pictures.astype(exact), copy=False, nan=low, posinf=high, neginf=low)
    return np.clip((values - low) * (BYTE[1] / (high - low)), *BYTE).astype(np.float32)


def chosen_range(dtype: np.dtype, stated: Range | None, suggested: Range | None, reason: str) -> Range:
    """The range `stated` as extract.array_range, or the `suggested` one; VideoError with `reason` where none is known.

    Bytes are taken as they are where `stated` goes beyond what they can be: it is meant for the other arrays.
    """
    if stated is not None and not (dtype.itemsize == 1 and stated[1] > BYTE[1]):
        return stated
    if suggested is None:
        raise VideoError(reason)
    return suggested
