"""The data card of the page: what was found, cut into shots and clips, how it moves; and what was left out, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.data.clips import SPLITS
from pipeline.data.frames import FrameStore
from pipeline.pages.panels import enlarge
from pipeline.pages.shrinking import shrink
from pipeline.video import write_png

MOST_LISTED = 60  # files that were left out
MOST_THUMBNAILS = 24
THUMBNAIL = 96  # pixels, the longer side
BINS = 10  # of a histogram
TOO_SHORT = "has no shot as long as a clip"
COPY = "has no clip: no shot is as long as one, or another video has the same frames"


@dataclass(frozen=True)
class LeftOut:
    """A file of which nothing, or not all, is used."""

    path: str
    status: str  # damaged | skipped | no clip
    reason: str
    thumbnail: str = ""  # file beside the page; empty: there is no picture


@dataclass(frozen=True)
class Histogram:
    """Heights of bars, 0 to 1, and the values at both ends."""

    title: str
    bars: list[float]
    low: str
    high: str
    summary: str  # `median 3 s, from 1 s to 9 s`


@dataclass(frozen=True)
class DataCard:
    """All that the page says of the data."""

    facts: dict[str, str]
    splits: list[tuple[str, int, int, int]]  # name, videos, shots, clips
    histograms: list[Histogram]
    left_out: list[LeftOut]
    num_left_out: int
    reasons: dict[str, int]  # how often each is given


def data_card(
    store: FrameStore, clips: pd.DataFrame, clip_length: int, motion: Mapping[str, float], folder: Path
) -> DataCard:
    """The card about `store` and the table of clips.csv `clips`; thumbnails are written to `folder`.

    `clip_length` is in frames, `motion` the pixels per frame of some videos.
    """
    index = store.index
    left_out = _left_out(store, set(clips["video"]), clip_length)
    counts = pd.Series([file.reason for file in left_out], dtype="str").value_counts()
    lengths = index.loc[store.videos, "stored_frames"].astype(float).tolist()
    seconds = _column(index, "duration_seconds", store.videos)
    histograms = [
        _histogram("Length of the videos", seconds, "s") if seconds else _histogram("Length", lengths, "frames"),
        _histogram("Length of the shots", (clips["stop"] - clips["start"]).tolist(), "frames"),
        _histogram("Motion", list(motion.values()), "pixels per frame"),
    ]
    return DataCard(
        facts=_facts(store),
        splits=[_split(clips[clips["split"] == name], name) for name in SPLITS],
        histograms=[histogram for histogram in histograms if histogram],
        left_out=_with_thumbnails(store, left_out[:MOST_LISTED], folder),
        num_left_out=len(left_out),
        reasons={str(reason): int(count) for reason, count in counts.items()},
    )


def _column(index: pd.DataFrame, name: str, videos: Sequence[str]) -> list[float]:
    if name not in index:
        return []
    return index.loc[list(videos), name].dropna().astype(float).tolist()


def _facts(store: FrameStore) -> dict[str, str]:
    index, videos = store.index, store.videos
    channels, height, width = store.frame_shape
    seconds, rates = _column(index, "duration_seconds", videos), _column(index, "fps", videos)
    facts = {"files": f"{len(index):,}, {len(videos):,} of them videos with frames"}
    if seconds:
        facts["length"] = f"{_duration(sum(seconds))} in all, a video {_range(seconds)} s"
    facts["stored frames"] = f"{int(index.loc[videos, 'stored_frames'].sum()):,} of {width} × {height} pixels, " + (
        "gray" if channels == 1 else "colour"
    )
    if rates:
        facts["frame rate"] = f"{_range(rates)} frames per second"
    if {"width", "height"} <= set(index.columns):
        sizes = index.loc[videos, ["width", "height"]].dropna().value_counts()
        facts["size of the videos"] = ", ".join(f"{w} × {h} ({n:,})" for (w, h), n in list(sizes.items())[:4]) + (
            " …" if len(sizes) > 4 else ""
        )
    if "codec" in index:
        codecs = index.loc[videos, "codec"].value_counts()
        facts["codecs"] = ", ".join(f"{name} ({n:,})" for name, n in codecs.items() if name) or "not known"
    return facts


def _split(rows: pd.DataFrame, name: str) -> tuple[str, int, int, int]:
    return name, rows["video"].nunique(), len(rows), int(rows["num_clips"].sum())


def _left_out(store: FrameStore, with_clips: set[str], clip_length: int) -> list[LeftOut]:
    """What extract did not take whole, then videos without a clip; each by its path."""
    index = store.index
    if "status" not in index:
        return []
    found = [
        LeftOut(str(row.path), str(row.status), str(row.reason)) for row in index[index["status"] != "ok"].itertuples()
    ]
    for video in sorted(set(store.videos) - with_clips):
        short = index.loc[video, "stored_frames"] < clip_length
        found.append(LeftOut(video, "no clip", TOO_SHORT if short else COPY))
    return found


def _with_thumbnails(store: FrameStore, files: Sequence[LeftOut], folder: Path) -> list[LeftOut]:
    """The same files, the first MOST_THUMBNAILS that have frames with a picture of their middle."""
    stored, shown, number = set(store.videos), [], 0
    for file in files:
        thumbnail = ""
        if file.path in stored and number < MOST_THUMBNAILS:
            thumbnail = f"left_out_{number:02d}.png"
            frames = store.load(file.path)
            picture = shrink(enlarge(np.asarray(frames[len(frames) // 2]), 1), THUMBNAIL)
            write_png(folder / thumbnail, enlarge(picture, max(1, THUMBNAIL // max(picture.shape[:2]))))
            number += 1
        shown.append(LeftOut(file.path, file.status, file.reason, thumbnail))
    return shown


def _histogram(title: str, values: Sequence[float], unit: str) -> Histogram | None:
    if not values:
        return None
    low, high = min(values), max(values)
    edges = (low, high) if high > low else (low - 0.5, high + 0.5)
    counts = np.histogram(values, bins=BINS, range=edges)[0]
    bars = [round(float(count), 3) for count in counts / counts.max()]
    summary = f"median {float(np.median(values)):.3g} {unit}, from {low:.3g} to {high:.3g}"
    if low == high:
        summary = f"all {low:.3g} {unit}"
    return Histogram(title, bars, f"{low:.3g}", f"{high:.3g} {unit}", summary)


def _range(values: Sequence[float]) -> str:
    low, high = f"{min(values):.3g}", f"{max(values):.3g}"
    return low if low == high else f"{low} to {high}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.3g} s"
