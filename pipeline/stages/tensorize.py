"""Stage: cut the stored frames into clips, each inside one shot, in splits that do not leak."""

import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from pipeline import stage
from pipeline.data.clips import COLUMNS, SPLITS, windows, write_clips
from pipeline.data.degradations import NEED_COLOR
from pipeline.data.frames import FrameStore, StoredFrames
from pipeline.data.task import make_task
from pipeline.data.translation import Translation
from pipeline.errors import DataError
from pipeline.params import TensorizeParams, TranslateParams
from pipeline.splitting.duplicates import ContentHash, without_copies
from pipeline.splitting.shots import find_shots
from pipeline.splitting.source_target_pairs import videos_of
from pipeline.splitting.splits import Part, Ranges, Videos, assign_splits, check_none_is_empty, choose_split, needed

logger = logging.getLogger(__name__)
THREADS = 8


def tensorize(frames: Path, clips: Path, *, task: str, tensorize: TensorizeParams, translate: TranslateParams) -> None:
    """Write an index of the clips in the frame store FRAMES to the folder CLIPS."""
    store = FrameStore(frames)
    length = tensorize.context + tensorize.horizon
    translation = translation_of(translate, store) if task == "translate" else None
    folders = make_task(task, tensorize.context, tensorize.horizon, translation).folders
    videos = videos_of(folders, store)
    if not videos:
        raise DataError(f"{frames}: holds no video; put some under data.videos (index.csv says what was left out)")

    shots_of: dict[str, Ranges] = {}
    content: dict[str, str] = {}
    # from elsewhere many videos are fetched at a time
    with ThreadPoolExecutor(THREADS if store.remote else 1) as executor:
        found = executor.map(lambda video: _look_through(store.load(video), tensorize.shot_threshold), videos)
        for video, (shots, frames_hash) in zip(videos, found, strict=True):
            shots_of[video], content[video] = shots, frames_hash
    longest, video = max((stop - start, video) for video, ranges in shots_of.items() for start, stop in ranges)
    if longest < length:
        raise DataError(
            f"{frames}: no shot has the {length} frames that context {tensorize.context} + horizon "
            f"{tensorize.horizon} need; the longest has {longest} ({video}){_where_cuts_are_why(shots_of, length)}"
        )
    enough = {
        video: ranges for video, ranges in shots_of.items() if any(stop - start >= length for start, stop in ranges)
    }

    root = f"{folders[1]}/" if folders else ""
    hashes = {video: str(store.index.loc[video, "sha256"]) for video in enough}
    known = Videos(enough, hashes, listed_splits(store, enough), root)
    how = tensorize.split if tensorize.split != "auto" else choose_split(known, tensorize)
    logger.info("split by %s (%s)", how, "as params.yaml says" if tensorize.split == how else "chosen by auto")
    parts = without_copies(assign_splits(how, known, tensorize), content)
    table = clip_table(parts, shots_of, length, tensorize.stride)
    counts = {split: int(table.loc[table["split"] == split, "num_clips"].sum()) for split in SPLITS}
    check_none_is_empty(counts, how, longest, tensorize, _where_cuts_are_why(shots_of, needed(how, tensorize)))

    write_clips(
        clips,
        table,
        task=task,
        context=tensorize.context,
        horizon=tensorize.horizon,
        stride=tensorize.stride,
        translation=translation,
    )
    logger.info(
        "%d videos, %d shots, clips: %s; left out: %d too short, %d copies",
        *(len(videos), len(table), ", ".join(f"{split} {count}" for split, count in counts.items())),
        *(len(videos) - len(enough), len(enough) - len(parts)),
    )


def _where_cuts_are_why(shots_of: Mapping[str, Ranges], needed: int) -> str:
    """What to say of cuts where some video has the frames that are `needed`, and only its shots have not; else ""."""
    video, ranges = max(shots_of.items(), key=lambda item: item[1][-1][1])
    if ranges[-1][1] < needed or len(ranges) == 1:
        return ""
    return (
        f"; cuts part the {ranges[-1][1]} frames of {video} into {len(ranges)} shots: where these are no cuts, raise "
        "tensorize.shot_threshold, or make it null"
    )


def _look_through(frames: StoredFrames, shot_threshold: float | None) -> tuple[Ranges, str]:
    """The shots of a video and the content hash of its frames, which are read once."""
    content = ContentHash(frames.shape)
    return find_shots(frames, shot_threshold, content.update), content.hexdigest()


def listed_splits(store: FrameStore, videos: Iterable[str]) -> dict[str, str]:
    """The split of each video that a list, an array's name or a data set says; "" where none does."""
    if "split" not in store.index:  # of a store that was made before there was one
        return {}
    return {video: str(store.index.loc[video, "split"]) for video in videos}


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


def clip_table(
    parts: Mapping[str, list[Part]], shots_of: Mapping[str, Ranges], length: int, stride: int
) -> pd.DataFrame:
    """The content of clips.csv: one row per shot of a part of a video, with how many clips of `length` it holds."""
    rows = []
    for video, ranges in parts.items():
        for split, part_start, part_stop in ranges:
            for shot_start, shot_stop in shots_of[video]:
                start, stop = max(part_start, shot_start), min(part_stop, shot_stop)
                if start < stop:
                    rows.append((video, split, start, stop, len(windows(stop - start, length, stride))))
    return pd.DataFrame(rows, columns=COLUMNS)


if __name__ == "__main__":
    stage.run(tensorize)
