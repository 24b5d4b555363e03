"""The videos that data.videos or a folder holds and their content hashes, as the extract stage sees them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.params import ExtractParams

if TYPE_CHECKING:
    from pipeline.ingest.folder import Entry


@dataclass(frozen=True)
class Video:
    """A file, a folder of numbered images, a sequence of an array, an episode or another part of a longer video."""

    name: str  # in the folder, as data/frames/index.csv has it
    path: Path  # as `foreframe predict` takes it; of a part in time that of the whole
    files: tuple[Path, ...]  # that extract needs for it: one, a folder of images, or all of a data set
    content_hash: str
    is_part: bool = False  # in time


def videos(folder: Path, extract: ExtractParams, roots: Sequence[str] = ()) -> list[Video]:
    """The videos under the folder, or in the list, `folder`, sorted by name; without what is hidden or unreadable.

    Links are followed to files in the folder or under `roots`; files are read again only where their times say so.
    """
    # they import OpenCV and PyAV, which a run without news does not need
    from pipeline.ingest.cache import ContentCache
    from pipeline.ingest.contents import content_hashes
    from pipeline.ingest.listing import list_videos

    root = str(folder.resolve())
    cache = ContentCache(
        Path(".dvc/tmp/contents", hashlib.sha256(root.encode(errors="surrogateescape")).hexdigest()[:16])
    )
    with cache.lock():
        entries = list_videos(folder, roots, cache, extract)
        hashes = content_hashes(entries, cache)
    return [_video(entry, folder, Path(root), hashes[entry.name]) for entry in entries if entry.name in hashes]


def _video(entry: "Entry", folder: Path, root: Path, content_hash: str) -> Video:
    from pipeline.sources import lerobot

    def below(path: Path) -> Path:
        return folder / path.relative_to(root) if folder.is_dir() and path.is_relative_to(root) else path

    is_part = entry.start_seconds is not None or entry.stop_seconds is not None
    source = below(entry.source)
    if entry.part is None or entry.part.reader == "stack":
        return Video(entry.name, source, (source,), content_hash, is_part)
    if entry.part.reader == "video":  # of a data set, in whose folder it lies
        whole = next(parent for parent in source.parents if lerobot.is_dataset(parent))
        return Video(entry.name, source, _files(whole), content_hash, is_part)
    files = _files(source) if source.is_dir() else (source,)
    return Video(entry.name, source / entry.part.name, files, content_hash, is_part)


def _files(folder: Path) -> tuple[Path, ...]:
    return tuple(path for path in sorted(folder.rglob("*")) if path.is_file())
