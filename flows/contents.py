"""The videos of a folder and what is in them, as the extract stage sees them."""

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Video:
    """A file, or a folder of numbered images."""

    name: str  # in the folder, as data/frames/index.csv has it
    path: Path
    sha256: str


def videos(folder: Path) -> list[Video]:
    """What is under `folder`, sorted by name; hidden files and what cannot be read are left out.

    Files are read again only where their times say that they changed.
    """
    from pipeline.ingest.cache import ContentCache
    from pipeline.ingest.folder import scan  # OpenCV and PyAV, which a run without news does not need
    from pipeline.video import content_hash

    entries = scan(folder)
    root = str(folder.resolve())
    ledger = ContentCache(
        Path(".dvc/tmp/contents", hashlib.sha256(root.encode(errors="surrogateescape")).hexdigest()[:16])
    )
    with ledger.held():
        hashes = ledger.hashes([path for entry in entries for path in entry.paths])
    found = []
    for entry in entries:
        own = [hashes[path] for path in entry.paths]
        if own and all(own):
            path = entry.paths[0].parent if entry.is_sequence else entry.paths[0]
            sha256 = content_hash(entry.paths, own) if entry.is_sequence else own[0]
            found.append(Video(entry.name, folder / path.relative_to(root), sha256))
    return found
