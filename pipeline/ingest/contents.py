"""What the files of a folder contain: one record per content, however many files have it."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.ingest.cache import ContentCache
from pipeline.ingest.folder import Entry
from pipeline.ingest.video_job import Outcome


@dataclass
class Content:
    """One video's content, and what became of it."""

    content_hash: str
    entries: list[Entry] = field(default_factory=list)  # that have it, in order of their names
    outcome: Outcome | None = None  # None: to be decoded
    array_hash: str = ""  # content hash of its array, where it has frames
    lost_worker: bool = False  # over it, perhaps by this machine's fault: the next run tries again

    @property
    def reader(self) -> str:
        """What reads it: video | array | stack."""
        part = self.entries[0].part
        return part.reader if part else "video"

    @property
    def paths(self) -> tuple[Path, ...]:
        """The file, or the images of a sequence, to decode."""
        return self.entries[0].paths


def content_hashes(entries: Iterable[Entry], cache: ContentCache) -> dict[str, str]:
    """The content hash of each entry, by name; without those that are refused or cannot be read.

    Files are read again only where their times say that they changed.
    """
    entries = list(entries)
    hashed = [entry for entry in entries if not (entry.part and entry.part.content_hash)]
    file_hashes = cache.hashes([path for entry in hashed for path in entry.paths], "videos")
    found = {}
    for entry in entries:
        if entry.part and entry.part.content_hash:  # its container was looked into
            whole = entry.part.content_hash if entry.paths else ""
        else:
            hashes = [file_hashes[path] for path in entry.paths]
            several = entry.is_sequence or len(hashes) > 1
            whole = (_sequence_hash(entry.paths, hashes) if several else hashes[0]) if hashes and all(hashes) else ""
        if whole:
            found[entry.name] = _range_hash(entry, whole)
    return found


def _range_hash(entry: Entry, content_hash: str) -> str:
    """The hash of what counts of a video of a list; of a whole video its own."""
    if not entry.fragment:
        return content_hash
    return hashlib.sha256(f"{entry.start_seconds!r} {entry.stop_seconds!r} {content_hash}".encode()).hexdigest()


def _sequence_hash(paths: Iterable[Path], hashes: Iterable[str]) -> str:
    """One hash for the images of a sequence in their order; their kinds count, their names do not."""
    listing = "".join(f"{path.suffix.lower()} {each}\n" for path, each in zip(paths, hashes, strict=True))
    return hashlib.sha256(f"image sequence\n{listing}".encode()).hexdigest()


def group_by_content(entries: Iterable[Entry], hashes: dict[str, str]) -> list[Content]:
    """The contents of the entries that have a hash."""
    contents: dict[str, Content] = {}
    for entry in entries:
        if entry.name in hashes:
            content_hash = hashes[entry.name]
            contents.setdefault(content_hash, Content(content_hash)).entries.append(entry)
    return list(contents.values())
