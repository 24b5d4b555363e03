"""Content hashes: SHA-256, in hex, of bytes, of whole files, and of values with files too large to be read whole."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

SAMPLED_BYTES = 1 << 16


def content_hash(content: bytes) -> str:
    """The content hash of `content`."""
    return hashlib.sha256(content).hexdigest()


def file_content_hash(path: Path) -> str:
    """The content hash of the file at `path`, which is read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_content_hash(paths: Iterable[Path]) -> str:
    """One content hash of several files, in their order; their names do not count."""
    total = hashlib.sha256()
    for path in paths:
        total.update(bytes.fromhex(file_content_hash(path)))
    return total.hexdigest()


def sampled_content_hash(values: Iterable[str], files: Iterable[Path]) -> str:
    """One content hash of `values` and of the names and contents of `files`, in their order.

    Of a file its size, its beginning and its end count: arrays may be many gigabytes, and a change that leaves all
    three is not made by a stage of ours.
    """
    total = hashlib.sha256()
    for value in values:
        total.update(f"{len(value)}:{value}".encode())
    for path in files:
        size = path.stat().st_size
        total.update(f"{path.name}:{size}:".encode())
        with path.open("rb") as file:
            total.update(file.read(SAMPLED_BYTES))
            if size > SAMPLED_BYTES:
                file.seek(-min(size - SAMPLED_BYTES, SAMPLED_BYTES), 2)
                total.update(file.read())
    return total.hexdigest()
