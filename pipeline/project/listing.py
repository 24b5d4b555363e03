"""What a video, or a folder of videos, is: said without torch, whose import takes longer than all else."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import ModelError, VideoError
from pipeline.ingest.folder import list_folder
from pipeline.sources.opening import probe
from pipeline.video import VideoInfo

MOST_SHOWN = 20  # videos of a folder


def describe_video(path: Path) -> dict[str, str]:
    """What the header of a video says: heading -> text."""
    info = probe(path)
    return {
        "picture": f"{info.width} x {info.height} pixels",
        "frame rate": f"{info.fps:.6g} frames a second",
        "length": f"{info.duration_seconds:.2f} seconds",
    }


def describe_folder(folder: Path) -> Iterator[tuple[str, str]]:
    """(name, what it is) of a folder's first videos, and how many more there are; ModelError where there are none."""
    entries = [entry for entry in list_folder(folder) if entry.paths]
    if not entries:
        raise ModelError(f"{folder}: holds no model (there is no model.json in it), no metrics.json and no video")
    for entry in entries[:MOST_SHOWN]:
        path = entry.paths[0].parent if entry.is_sequence else entry.paths[0]
        try:
            yield entry.name or ".", _one_line(probe(path))
        except VideoError as error:
            yield entry.name or ".", f"no video: {str(error).removeprefix(f'{path}: ')}"
    if len(entries) > MOST_SHOWN:
        yield "…", f"and {len(entries) - MOST_SHOWN} more"


def _one_line(info: VideoInfo) -> str:
    return f"{info.width} x {info.height} pixels, {info.fps:.6g} frames a second, {info.duration_seconds:.2f} seconds"
