"""Which frames train, validate and test: whole videos, or parts of each in time, without a leak between them.

Apart from data/clips.py, so that a change here retrains nothing as long as the clips come out the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.data.clips import SPLITS
from pipeline.errors import DataError
from pipeline.params import TensorizeParams

Ranges = Sequence[tuple[int, int]]  # of frames, half-open
Part = tuple[str, int, int]  # split, start, stop: a stretch of a video's frames, half-open

ENOUGH_VIDEOS = 10  # from here on `auto` splits by video: fewer give a val and a test too small to mean anything


@dataclass(frozen=True)
class Videos:
    """What is known of the videos that are to be split, each by its name."""

    shots: Mapping[str, Ranges]
    hashes: Mapping[str, str]  # SHA-256 of its content, hexadecimal digits
    listed: Mapping[str, str]  # the split that a list or a data set says; "": none
    root: str = ""  # begins all names and says nothing of a split


def assign_splits(how: str, videos: Videos, params: TensorizeParams) -> dict[str, list[Part]]:
    """The parts of each video, split `how`: as listed, by folder, by video or in time."""
    shots_of, root = videos.shots, videos.root
    if how == "time":
        return {video: cut_in_time(ranges, params) for video, ranges in shots_of.items()}
    if how == "folder":
        split_of_name = split_by_folder([video.removeprefix(root) for video in shots_of], SPLITS)
        split_of = {f"{root}{name}": split for name, split in split_of_name.items()}
    elif how == "list":
        split_of = split_as_listed(videos.listed, videos.hashes, params.val_fraction)
    else:
        split_of = split_by_video(videos.hashes, params.val_fraction, params.test_fraction)
    return {video: [(split_of[video], 0, ranges[-1][1])] for video, ranges in shots_of.items()}


def choose_split(videos: Videos, params: TensorizeParams) -> str:
    """What `auto` means: as listed or by folder if that says so of these videos, else by video, or in time if few.

    A few videos too short to be cut in time are split by video, if there is one for each split.
    """
    shots_of = videos.shots
    if {"train", "test"} <= {videos.listed.get(video, "") for video in shots_of}:
        return "list"
    names = [video.removeprefix(videos.root) for video in shots_of]
    if {"train", "test"} <= {name.split("/")[0] for name in names if "/" in name}:
        return "folder"
    can_be_cut = any(len(cut_in_time(ranges, params)) > 1 for ranges in shots_of.values())
    return "time" if len(shots_of) < (ENOUGH_VIDEOS if can_be_cut else len(SPLITS)) else "video"


def needed(how: str, params: TensorizeParams) -> int:
    """The frames that a shot needs to be split `how`: those of a clip, or, cut in time, of three with gaps between."""
    length = params.context + params.horizon
    return 3 * length + 2 * params.horizon if how == "time" else length


def check_none_is_empty(
    counts: Mapping[str, int], how: str, longest: int, params: TensorizeParams, cuts: str = ""
) -> None:
    """Raises DataError, with what to do, where a split has no clip.

    `counts` are the clips of each split, `longest` the frames of the longest shot, `cuts` what to say of cuts.
    """
    empty = [split for split, count in counts.items() if count == 0]
    if not empty:
        return
    names, length = ", ".join(empty), params.context + params.horizon
    if how == "time":
        raise DataError(
            f"no clips for {names}: to be cut in three with gaps, a shot needs {needed(how, params)} frames (3 x "
            f"(context {params.context} + horizon {params.horizon}) + 2 x horizon); the longest has {longest}{cuts}"
        )
    where = f"the folders {names}" if how == "folder" else names
    raise DataError(f"no clips for {names}: no video in {where} has {length} frames in one shot (split by {how})")


def split_by_video(hashes: Mapping[str, str], val_fraction: float, test_fraction: float) -> dict[str, str]:
    """A split for each video (video -> hexadecimal sha256 of its file), with no split empty.

    The hash alone decides, so that a new video leaves the old ones where they are. Where chance leaves test or val
    empty, the video with the smallest hash that is free goes there; a new video may then send it back towards train,
    not the other way (unless chance had left train itself empty), so that an older model meets no video in
    test that it has seen.
    Raises DataError for fewer than three videos.
    """
    if len(hashes) < 3:
        raise DataError(f"split by video needs 3 videos, one for each split (got {len(hashes)}); try split: time")
    position = {video: int(digits[:16], 16) / 16**16 for video, digits in hashes.items()}  # uniform in [0, 1)
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


def split_as_listed(listed: Mapping[str, str], hashes: Mapping[str, str], val_fraction: float) -> dict[str, str]:
    """The split that is said for each video; where none is val, a share of those in train is, chosen by content hash.

    Raises DataError where none is said for a video.
    """
    if silent := sorted(video for video in hashes if not listed.get(video)):
        raise DataError(
            f"{silent[0]}: nothing says its split, as it does of others ({len(silent)} such videos); name it in the "
            "list, or set tensorize.split to folder, video or time"
        )
    split_of = {video: listed[video] for video in hashes}
    train = sorted((hashes[video], video) for video, split in split_of.items() if split == "train")
    if "val" not in split_of.values() and len(train) > 1:
        chosen = [video for content_hash, video in train if int(content_hash[:16], 16) / 16**16 < val_fraction]
        split_of |= dict.fromkeys(chosen[: len(train) - 1] or [train[0][1]], "val")
    return split_of


def cut_in_time(ranges: Ranges, params: TensorizeParams) -> list[Part]:
    """The parts of a video with these shots.

    With a gap of a horizon what is predicted in test is a whole clip away from the last frame that was trained on.
    """
    length = params.context + params.horizon
    return split_in_time(ranges, length, params.horizon, params.val_fraction, params.test_fraction)


def split_in_time(shots: Ranges, length: int, gap: int, val_fraction: float, test_fraction: float) -> list[Part]:
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


def num_starts(shots: Ranges, start: int, stop: int, length: int) -> int:
    """At how many frames of [start, stop) a clip of `length` frames can begin that leaves neither it nor its shot."""
    return sum(max(0, min(stop, last) - max(start, first) - length + 1) for first, last in shots)


def latest_start(shots: Ranges, stop: int, length: int, count: int) -> int:
    """The last frame such that `count` clips can begin between it and `stop`; below 0 where there are not so many."""
    for first, last in reversed(shots):
        num_places = max(0, min(stop, last) - first - length + 1)
        if num_places >= count:
            return min(stop, last) - length - count + 1
        count -= num_places
    return -1
