"""What a run of extraction leaves for the next, beside the store: hashes of files, outcomes, and a lock.

None of it changes a result: without it the work is done again. It is not in the store, whose bytes depend on the
videos and the parameters alone.
"""

import fcntl
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path
from typing import Any

from pipeline.runtime.files import write_bytes

logger = logging.getLogger(__name__)

# a file that changed so shortly before may change again within one tick of a file system's clock
SETTLED_NANOSECONDS = 2_000_000_000
HASHERS = 2  # threads; a disk seldom feeds more


class ContentCache:
    """The folder beside a store; one run at a time has it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.parts = folder / "parts"  # arrays that are being written
        self._hashes = folder / "hashes.json"
        self._journal = folder / "journal.jsonl"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep it from another run; wait until another has let go. A killed run lets go by dying."""
        self.parts.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                logger.info("another run is extracting into this store: waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            for part in sorted(self.parts.iterdir()):  # of a run that was killed
                part.unlink()
            yield

    def hashes(self, paths: list[Path]) -> dict[Path, str]:
        """The sha256 of every file, "" where it cannot be read; only read again if its inode, size or times changed."""
        try:
            known = json.loads(self._hashes.read_bytes())
        except (FileNotFoundError, ValueError):
            known = {}
        clock = self.folder / "clock"
        clock.touch()  # the file system's own time, which may not be this machine's
        now = clock.stat().st_mtime_ns
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
        with ThreadPoolExecutor(HASHERS) as executor:
            for (path, state), digest in zip(
                unknown, executor.map(_sha256, [path for path, _ in unknown]), strict=True
            ):
                found[path] = digest
                if digest and max(state[3:]) < now - SETTLED_NANOSECONDS:
                    kept[str(path)] = [state, digest]
        if kept != known:
            write_bytes(self._hashes, json.dumps(kept).encode(), durable=False)
        return found

    def outcomes(self, key: str) -> dict[str, dict[str, Any]]:
        """What an interrupted run under `key` has found out, by sha256."""
        outcomes = {}
        if self._journal.is_file():
            for line in self._journal.read_bytes().splitlines():
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue  # the line that was being written when the run was killed
                if entry["key"] == key:
                    outcomes[entry["sha256"]] = entry["outcome"]
        return outcomes

    def note(self, key: str, sha256: str, outcome: dict[str, Any]) -> None:
        """Keep one outcome for the case that the run is interrupted."""
        line = json.dumps({"key": key, "sha256": sha256, "outcome": outcome}).encode()
        with self._journal.open("ab") as file:
            file.write(b"\n" + line + b"\n")  # begins a line of its own even after one that was cut short

    def forget(self) -> None:
        """The run is done: its index has the outcomes."""
        self._journal.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
