"""The videos of a folder and their content hashes, as the extract stage sees them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Video:
    """A file, or a folder of numbered images."""

    name: str  # in the folder, as data/frames/index.csv has it
    path: Path
    content_hash: str


def videos(folder: Path, roots: Sequence[str] = ()) -> list[Video]:
    """The videos under `folder`, sorted by name; without hidden files and what cannot be read.

    Links are followed to files in the folder or under `roots`; files are read again only where their times say so.
    """
    # they import OpenCV and PyAV, which a run without news does not need
    from pipeline.ingest.cache import ContentCache
    from pipeline.ingest.contents import content_hashes
    from pipeline.ingest.folder import list_folder

    entries = list_folder(folder, roots)
    root = str(folder.resolve())
    cache = ContentCache(
        Path(".dvc/tmp/contents", hashlib.sha256(root.encode(errors="surrogateescape")).hexdigest()[:16])
    )
    with cache.lock():
        hashes = content_hashes(entries, cache)
    found = []
    for entry in entries:
        if entry.name in hashes:
            path = entry.paths[0].parent if entry.is_sequence else entry.paths[0]
            found.append(Video(entry.name, folder / path.relative_to(root), hashes[entry.name]))
    return found
