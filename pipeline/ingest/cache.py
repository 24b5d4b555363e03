"""What a run of extraction leaves for the next, beside the store: content hashes of files, outcomes, and a lock.

None of it changes a result: without it the work is done again, and what is damaged in it is as if it were not there
(each file or line carries its own content hash). It is not in the store, whose bytes depend on the videos and the
parameters alone.
"""

import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path
from typing import Any

from pipeline.runtime import locks
from pipeline.runtime.files import write_bytes
from pipeline.runtime.hashing import content_hash

logger = logging.getLogger(__name__)

# a file that changed so shortly before may change again within one tick of a file system's clock
SETTLED_NANOSECONDS = 2_000_000_000
HASHING_THREADS = 2  # a disk seldom feeds more


class ContentCache:
    """The folder beside a store, for one run at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._parts = folder / "parts"
        self._journal = folder / "journal.jsonl"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other runs out; wait until another is done. The kernel ends the lock of a run that is killed."""
        self._parts.mkdir(parents=True, exist_ok=True)
        with locks.held(self.folder / "lock", tell=logger.info):
            for part in sorted(self._parts.iterdir()):  # of a run that was killed
                part.unlink()
            yield

    def part(self, content_hash: str) -> Path:
        """Where the array of this content is written before it is put into the store."""
        return self._parts / f"{content_hash}.npy"

    def hashes(self, paths: list[Path], kind: str) -> dict[Path, str]:
        """The SHA-256 of each file, "" if it cannot be read; read again only if its inode, size or times changed.

        What is known is kept by `kind` ("videos" or "arrays"), of the last call's `paths` alone.
        """
        file = self.folder / f"{kind}.json"
        try:
            known = _unsealed(file.read_bytes()) or {}
        except OSError:
            known = {}
        clock = self.folder / "clock"
        clock.touch()  # the file system's own time, which may not be this machine's
        clock_ns = clock.stat().st_mtime_ns
        found: dict[Path, str] = {}
        kept: dict[str, list[Any]] = {}
        unknown: list[tuple[Path, list[int]]] = []
        for path in paths:
            try:
                status = path.stat()
            except OSError:
                found[path] = ""
                continue
            state = [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
            entry = known.get(str(path))
            if entry and entry[0] == state:
                found[path], kept[str(path)] = entry[1], entry
            else:
                unknown.append((path, state))
        with ThreadPoolExecutor(HASHING_THREADS) as executor:
            for (path, state), content_hash in zip(
                unknown, executor.map(_sha256, [path for path, _ in unknown]), strict=True
            ):
                found[path] = content_hash
                if content_hash and max(state[3:]) < clock_ns - SETTLED_NANOSECONDS:
                    kept[str(path)] = [state, content_hash]
        if kept != known:
            write_bytes(file, _sealed(kept), durable=False)
        return found

    def recorded(self, recipe: str) -> dict[str, tuple[dict[str, Any], str]]:
        """By content hash: outcomes that an interrupted run with this recipe has recorded, and their arrays' hashes."""
        outcomes = {}
        if self._journal.is_file():
            for line in self._journal.read_bytes().splitlines():
                entry = _unsealed(line)  # None: the line that was being written when the run was killed
                if entry is not None and entry["key"] == recipe:
                    outcomes[entry["sha256"]] = entry["outcome"], entry["array"]
        return outcomes

    def record(self, recipe: str, content_hash: str, outcome: dict[str, Any], array: str) -> None:
        """Write down one outcome and the content hash of its array ("": none) in case the run is interrupted."""
        line = _sealed({"key": recipe, "sha256": content_hash, "outcome": outcome, "array": array})
        with self._journal.open("ab") as file:
            file.write(b"\n" + line + b"\n")  # begins a line of its own even after one that was cut short

    def clear_records(self) -> None:
        """Forget the recorded outcomes: the run is done, and its index has them."""
        self._journal.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _sealed(content: dict[str, Any]) -> bytes:
    """`content` as JSON, behind its content hash."""
    text = json.dumps(content).encode()
    return f"{content_hash(text)} ".encode() + text


def _unsealed(line: bytes) -> dict[str, Any] | None:
    """What _sealed was given; None where a bit of it is not as it was."""
    seal, _, text = line.partition(b" ")
    return json.loads(text) if seal == content_hash(text).encode() else None
