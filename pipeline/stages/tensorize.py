"""Cut the stored frames into clips: shots, windows, and splits that do not leak."""

import hashlib
import logging
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import stage
from pipeline.data.clips import COLUMNS, SPLITS, windows, write_clips
from pipeline.data.degradations import NEED_COLOR
from pipeline.data.frames import FrameStore
from pipeline.data.translation import Translation
from pipeline.errors import DataError
from pipeline.params import TensorizeParams, TranslateParams
from pipeline.splitting.pairs import pair_videos
from pipeline.splitting.splits import shots, split_by_folder, split_by_video, split_in_time

logger = logging.getLogger(__name__)

Ranges = list[tuple[int, int]]  # half-open, of frames

ENOUGH_VIDEOS = 10  # from here on `auto` splits by video: fewer give a val and a test too small to mean anything


def tensorize(frames: Path, clips: Path, *, task: str, tensorize: TensorizeParams, translate: TranslateParams) -> None:
    """Write an index of the clips in the frame store FRAMES to the folder CLIPS."""
    store = FrameStore(frames)
    length = tensorize.context + tensorize.horizon
    translation = translation_of(translate, store) if task == "translate" else None
    videos = targets_of(translation, store)
    root = "" if translation is None or translation.target is None else f"{translation.target}/"
    if not videos:
        raise DataError(f"{frames}: holds no video; put some under data.videos (index.csv says what was left out)")

    shots_of, content = {}, {}
    for video in videos:
        array = store.load(video)
        shots_of[video] = shots(array, tensorize.shot_threshold)
        content[video] = digest(array)
    longest, video = max((stop - start, video) for video, ranges in shots_of.items() for start, stop in ranges)
    if longest < length:
        raise DataError(
            f"{frames}: no shot has the {length} frames that context {tensorize.context} + horizon "
            f"{tensorize.horizon} need; the longest has {longest} ({video})"
        )
    enough = [video for video in videos if any(stop - start >= length for start, stop in shots_of[video])]

    chosen = {video: shots_of[video] for video in enough}
    how: str = tensorize.split
    if how == "auto":
        how = choose_split({video.removeprefix(root): ranges for video, ranges in chosen.items()}, tensorize)
    logger.info("split by %s (%s)", how, "as params.yaml says" if tensorize.split == how else "chosen by auto")
    parts = assign(how, chosen, {video: str(store.index.loc[video, "sha256"]) for video in enough}, tensorize, root)
    parts = without_copies(parts, content)

    rows = []
    for video, ranges in parts.items():
        for split, part_start, part_stop in ranges:
            for shot_start, shot_stop in shots_of[video]:
                start, stop = max(part_start, shot_start), min(part_stop, shot_stop)
                if start < stop:
                    num_clips = len(windows(stop - start, length, tensorize.stride))
                    rows.append((video, split, start, stop, num_clips))
    table = pd.DataFrame(rows, columns=COLUMNS)
    counts = {split: int(table.loc[table["split"] == split, "num_clips"].sum()) for split in SPLITS}
    if empty := [split for split, count in counts.items() if count == 0]:
        raise DataError(empty_split(empty, how, length, longest, tensorize))

    write_clips(
        clips,
        table,
        task=task,
        context=tensorize.context,
        horizon=tensorize.horizon,
        stride=tensorize.stride,
        translation=translation,
    )
    too_short = len(videos) - len(enough)
    logger.info(
        "%d videos, %d shots, clips: %s; left out: %d too short, %d copies",
        *(len(videos), len(table), ", ".join(f"{split} {count}" for split, count in counts.items())),
        *(too_short, len(enough) - len(parts)),
    )


def translation_of(translate: TranslateParams, store: FrameStore) -> Translation:
    """Where the sources come from; raises DataError where the frames have no colour to take away."""
    if translate.source is not None:
        return Translation(
            source=translate.source, target=translate.target, degradation=None, strength=None, seed=translate.seed
        )
    name = translate.degradation
    if name in NEED_COLOR and store.frame_shape[0] == 1:
        raise DataError(f"translate.degradation {name}: needs colour, the frames are gray; set extract.color to rgb")
    strength = float(getattr(translate.strength, name))
    return Translation(source=None, target=None, degradation=name, strength=strength, seed=translate.seed)


def targets_of(translation: Translation | None, store: FrameStore) -> list[str]:
    """The videos that clips are cut from, sorted: all, or those in the folder of targets."""
    if translation is None or translation.source is None:
        return sorted(store.videos)
    assert translation.target is not None
    return pair_videos(store.index, translation.source, translation.target)


def digest(array: NDArray[np.uint8]) -> str:
    """What tells two videos with the same stored frames, whatever their files are."""
    state = hashlib.sha256(str(array.shape).encode())
    for frame in array:
        state.update(np.ascontiguousarray(frame).data)
    return state.hexdigest()


def choose_split(shots_of: dict[str, Ranges], params: TensorizeParams) -> str:
    """What `auto` means for these videos: their folders if they say so, else by video, or in time if there are few.

    A few videos too short to be cut in time are split by video, if there is one for each split.
    """
    if {"train", "test"} <= {video.split("/")[0] for video in shots_of if "/" in video}:
        return "folder"
    can_be_cut = any(len(cut_in_time(ranges, params)) > 1 for ranges in shots_of.values())
    return "time" if len(shots_of) < (ENOUGH_VIDEOS if can_be_cut else len(SPLITS)) else "video"


def cut_in_time(ranges: Ranges, params: TensorizeParams) -> list[tuple[str, int, int]]:
    """The parts (split, start, stop) of a video with these shots.

    With a gap of a horizon what is predicted in test is a whole clip away from the last frame that was trained on.
    """
    length = params.context + params.horizon
    return split_in_time(ranges, length, params.horizon, params.val_fraction, params.test_fraction)


def assign(
    how: str, shots_of: dict[str, Ranges], hashes: dict[str, str], params: TensorizeParams, root: str
) -> dict[str, list[tuple[str, int, int]]]:
    """The parts (split, start, stop) of each video; `root` begins all paths and says nothing of a split."""
    if how == "time":
        return {video: cut_in_time(ranges, params) for video, ranges in shots_of.items()}
    if how == "folder":
        of_name = split_by_folder([video.removeprefix(root) for video in shots_of], SPLITS)
        split_of = {f"{root}{name}": split for name, split in of_name.items()}
    else:
        split_of = split_by_video(hashes, params.val_fraction, params.test_fraction)
    return {video: [(split_of[video], 0, ranges[-1][1])] for video, ranges in shots_of.items()}


def without_copies(
    parts: dict[str, list[tuple[str, int, int]]], content: dict[str, str]
) -> dict[str, list[tuple[str, int, int]]]:
    """`parts` with one video of those that hold the same frames: the one in test before val before train, then by name.

    So a copy never leaks from test into train, and never counts twice.
    """

    def rank(video: str) -> tuple[int, str]:
        return (-max(SPLITS.index(split) for split, _, _ in parts[video]), video)

    kept: dict[str, str] = {}
    for video in sorted(parts, key=rank):
        if content[video] in kept:
            logger.warning("%s: left out, holds the same frames as %s", video, kept[content[video]])
        kept.setdefault(content[video], video)
    return {video: parts[video] for video in parts if kept[content[video]] == video}


def empty_split(empty: list[str], how: str, length: int, longest: int, params: TensorizeParams) -> str:
    """What to do about splits without a clip."""
    names = ", ".join(empty)
    if how == "time":
        least = 3 * length + 2 * params.horizon
        return (
            f"no clips for {names}: to be cut in three with gaps, a shot needs {least} frames "
            f"(3 x (context {params.context} + horizon {params.horizon}) + 2 x horizon); the longest has {longest}"
        )
    where = f"the folders {names}" if how == "folder" else f"{names}"
    return f"no clips for {names}: no video in {where} has {length} frames in one shot (split by {how})"


if __name__ == "__main__":
    stage.run(tensorize)
