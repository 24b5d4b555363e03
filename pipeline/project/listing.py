"""What a video, or a folder of videos, is: said without torch, whose import takes longer than all else."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import ModelError, VideoError
from pipeline.ingest.listing import list_here
from pipeline.ingest.looking import info_of, reason_in
from pipeline.sources.lists import is_list
from pipeline.sources.opening import probe
from pipeline.video import VideoInfo

MOST_SHOWN = 20  # videos of a folder


def describe(path: Path) -> dict[str, str]:
    """What a video is, heading -> text; of a folder, a list or a file of several videos, name -> what each is."""
    if path.is_dir() or (path.is_file() and (is_list(path) or len(list_here(path)) > 1)):
        return dict(describe_folder(path))
    return describe_video(path)


def describe_video(path: Path) -> dict[str, str]:
    """What a video is: heading -> text."""
    return _facts(probe(path))


def _facts(info: VideoInfo) -> dict[str, str]:
    facts = {"picture": f"{info.width} x {info.height} pixels"}
    if info.num_frames == 1:
        return facts | {"frames": "1: a picture, not a video"}
    rate, seconds = f"{info.fps:.6g} frames a second", f"{info.duration_seconds:.2f} seconds"
    if info.is_variable:
        rate += " on average: it varies"
    return facts | {
        "frame rate": rate if info.fps else "not known: the file has no times",
        "length": seconds if info.duration_seconds else "not known before it is decoded",
    }


def describe_folder(folder: Path) -> Iterator[tuple[str, str]]:
    """(name, what it is) of a folder's first videos, and how many more there are; ModelError where there are none."""
    entries = [entry for entry in list_here(folder) if not entry.is_hidden]
    if not entries:
        raise ModelError(f"{folder}: holds no model (there is no model.json in it), no metrics.json and no video")
    for entry in entries[:MOST_SHOWN]:
        try:
            yield entry.name or ".", _one_line(info_of(entry))
        except VideoError as error:
            yield entry.name or ".", f"no video: {reason_in(entry, error)}"
    if len(entries) > MOST_SHOWN:
        yield "…", f"and {len(entries) - MOST_SHOWN} more"


def _one_line(info: VideoInfo) -> str:
    return ", ".join(_facts(info).values())
