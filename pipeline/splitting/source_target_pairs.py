"""Which source video belongs to which target video: two folders of videos with the same names, aligned in time."""

from math import isclose

import pandas as pd

from pipeline.data.frames import FrameStore
from pipeline.errors import DataError

SAME_RATE = 1e-3  # relative; 29.97 and 30 differ by as much


def videos_of(folders: tuple[str, str] | None, store: FrameStore) -> list[str]:
    """The videos of `store` that clips are cut from, sorted: all, or the targets, each of which has its source.

    `folders` are those of sources and targets (Task.folders). Raises DataError as pair_videos does.
    """
    return sorted(store.videos) if folders is None else pair_videos(store.index, *folders)


def pair_videos(index: pd.DataFrame, source: str, target: str) -> list[str]:
    """The target videos of a frame store's `index` (frames.COLUMNS, by path), sorted, each of which has its source.

    A pair is `source`/name and `target`/name. Raises DataError, which names the file, where one has no partner or its
    partner has another number of frames, frame rate or size of picture.
    """
    for folder, key in ((source, "source"), (target, "target")):
        if not any(path.startswith(f"{folder}/") for path in index["path"]):
            raise DataError(f"translate.{key}: no videos in the folder {folder} of data.videos")
    usable = index[index["stored_frames"].fillna(0) > 0]
    targets = [path for path in usable["path"] if path.startswith(f"{target}/")]
    for path in sorted(usable["path"]):
        for mine, other in ((source, target), (target, source)):
            if path.startswith(f"{mine}/"):
                partner = f"{other}{path.removeprefix(mine)}"
                if partner not in usable.index:
                    raise DataError(f"{path}: has no partner; {partner} {_absence(index, partner)}")
    for path in targets:
        check_pair(index.loc[f"{source}{path.removeprefix(target)}"], index.loc[path])
    return sorted(targets)


def check_pair(source: pd.Series, target: pd.Series) -> None:
    """Raises DataError where the rows of two videos say that their frames do not belong together one by one."""
    names = f"{source['path']} and {target['path']}"
    if source["stored_frames"] != target["stored_frames"]:
        raise DataError(
            f"{names}: {source['stored_frames']} and {target['stored_frames']} frames; a pair needs as many in both"
        )
    rates = source["fps"], target["fps"]
    if not pd.isna(rates[0]) and not pd.isna(rates[1]) and not isclose(*rates, rel_tol=SAME_RATE / 2):
        raise DataError(f"{names}: {rates[0]:.3f} and {rates[1]:.3f} frames per second; a pair needs one rate")
    sizes = [f"{row['width']}x{row['height']}" for row in (source, target)]
    if sizes[0] != sizes[1]:
        raise DataError(f"{names}: {sizes[0]} and {sizes[1]} pixels; a pair needs one size")


def _absence(index: pd.DataFrame, path: str) -> str:
    return f"could not be read ({index.loc[path, 'reason']})" if path in index.index else "is missing"
