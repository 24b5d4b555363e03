"""Which frames belong together: shots of a video, and train, val and test without a leak between them.

Apart from clips.py, so that a change here retrains nothing as long as the clips come out the same.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DataError

CHUNK = 256  # frames that are looked at in one go
NEIGHBOURS = 5  # differences whose median says how much motion is ordinary around a frame


def frame_differences(frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The mean absolute difference of each frame from the one before it: uint8 (T, H, W, C) -> (T - 1,) in [0, 1]."""
    differences = []
    for start in range(0, len(frames) - 1, CHUNK):
        chunk = frames[start : start + CHUNK + 1].astype(np.int16)
        differences.append(np.abs(np.diff(chunk, axis=0)).mean(axis=(1, 2, 3)) / 255)
    return np.concatenate(differences) if differences else np.empty(0)


def shots(frames: NDArray[np.uint8], threshold: float | None) -> list[tuple[int, int]]:
    """The half-open ranges of frames (T, H, W, C) between which the video cuts; one range where `threshold` is None.

    A hard cut is a difference that stands out by more than `threshold` over the median of those around it. So a pan
    or a flicker, where all differences are large, is no cut, and a shot of one frame has a cut on either side.
    """
    num_frames = len(frames)
    if threshold is None or num_frames < 3:
        return [(0, num_frames)]
    differences = frame_differences(frames)
    padded = np.pad(differences, NEIGHBOURS // 2, constant_values=np.nan)
    ordinary = np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, NEIGHBOURS), axis=1)
    cuts = [int(cut) + 1 for cut in np.flatnonzero(differences - ordinary > threshold)]
    return list(zip([0, *cuts], [*cuts, num_frames], strict=True))


def split_by_video(hashes: Mapping[str, str], val_fraction: float, test_fraction: float) -> dict[str, str]:
    """A split for each video (video -> hexadecimal sha256 of its file), with no split empty.

    The hash alone decides, so that a new video leaves the old ones where they are. Where chance leaves test or val
    empty, the video with the smallest hash that is free goes there; a new video may then send it back towards train,
    not the other way (unless chance had left train itself empty), so that a model that was trained before meets no
    video in test that it has seen.
    Raises DataError for fewer than three videos.
    """
    if len(hashes) < 3:
        raise DataError(f"split by video needs 3 videos, one for each split (got {len(hashes)}); try split: time")
    position = {video: int(digest[:16], 16) / 16**16 for video, digest in hashes.items()}  # uniform in [0, 1)
    order = sorted(hashes, key=lambda video: (position[video], video))
    num_test = max(1, sum(position[video] < test_fraction for video in order))
    num_val = max(1, sum(position[video] < test_fraction + val_fraction for video in order) - num_test)
    num_test = min(num_test, len(order) - 2)
    num_val = min(num_val, len(order) - num_test - 1)
    names = ["test"] * num_test + ["val"] * num_val + ["train"] * (len(order) - num_test - num_val)
    return dict(zip(order, names, strict=True))


def split_by_folder(videos: Iterable[str], splits: Sequence[str]) -> dict[str, str]:
    """A split for each video: the name of the folder at the top of its path. Raises DataError where that is none."""
    assigned = {}
    for video in videos:
        top = video.split("/")[0]
        if top not in splits:
            raise DataError(f"{video}: split by folder wants it in one of {', '.join(s + '/' for s in splits)}")
        assigned[video] = top
    return assigned


def split_in_time(
    shots: Sequence[tuple[int, int]], length: int, gap: int, val_fraction: float, test_fraction: float
) -> list[tuple[str, int, int]]:
    """(split, start, stop) of the three parts of a video, test last, `gap` frames between them, a clip in each.

    `shots` are the half-open ranges of its frames that a clip of `length` frames may not leave; the last one ends where
    the video does. Fractions are of the places where a clip can begin. In a short video the gaps and the clips' own
    length eat into train: val and test are halved until train has no fewer such places than the two together, at the
    worst to one clip each. A video too short even for that is all train.
    """
    end = shots[-1][1]
    whole = num_starts(shots, 0, end, length)
    num_val, num_test = (max(1, round(whole * fraction)) for fraction in (val_fraction, test_fraction))
    while True:
        test_start = latest_start(shots, end, length, num_test)
        val_start = latest_start(shots, test_start - gap, length, num_val)
        num_train = num_starts(shots, 0, val_start - gap, length)
        if num_train >= num_val + num_test or (num_train and num_val == num_test == 1):
            return [("train", 0, val_start - gap), ("val", val_start, test_start - gap), ("test", test_start, end)]
        if num_val == num_test == 1:
            return [("train", 0, end)]
        num_val, num_test = -(-num_val // 2), -(-num_test // 2)


def num_starts(shots: Sequence[tuple[int, int]], start: int, stop: int, length: int) -> int:
    """At how many frames of [start, stop) a clip of `length` frames can begin that leaves neither it nor its shot."""
    return sum(max(0, min(stop, last) - max(start, first) - length + 1) for first, last in shots)


def latest_start(shots: Sequence[tuple[int, int]], stop: int, length: int, count: int) -> int:
    """The last frame such that `count` clips can begin between it and `stop`; below 0 where there are not so many."""
    for first, last in reversed(shots):
        here = max(0, min(stop, last) - first - length + 1)
        if here >= count:
            return min(stop, last) - length - count + 1
        count -= here
    return -1
