"""What a run of extraction leaves for the next, beside the store: content hashes of files, outcomes, and a lock.

None of it changes a result: without it the work is done again, and what is damaged in it is as if it were not there
(each file or line carries its own content hash). It is not in the store, whose bytes depend on the videos and the
parameters alone.
"""

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
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
STATE_NUMBERS = 5  # that tell whether a file is as it was; the last two are times
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
        with ThreadPoolExecutor(HASHING_THREADS) as executor:
            found = self.remembered(
                {str(path): [path] for path in paths}, kind, lambda unknown: executor.map(_sha256, map(Path, unknown))
            )
        return {path: found.get(str(path)) or "" for path in paths}

    def remembered(
        self,
        files: dict[str, list[Path]],
        kind: str,
        compute: Callable[[list[str]], Iterable[Any]],
        is_kept: Callable[[Any], bool] = bool,
    ) -> dict[str, Any]:
        """What `compute` returns for the keys of `files`, which depends on the files of each alone.

        It is called with the keys that are not known, or one of whose files has another inode, size or time, and
        returns something for each; what is not `is_kept` is asked for again. Keys whose files are not there are left
        out. What is known is kept by `kind`, of the last call's keys alone.
        """
        file = self.folder / f"{kind}.json"
        try:
            known = _unsealed(file.read_bytes()) or {}
        except OSError:
            known = {}
        clock = self.folder / "clock"
        clock.touch()  # the file system's own time, which may not be this machine's
        clock_ns = clock.stat().st_mtime_ns
        found: dict[str, Any] = {}
        kept: dict[str, list[Any]] = {}
        unknown: dict[str, list[int]] = {}
        for key, paths in files.items():
            try:
                state = [number for path in paths for number in _state(path)]
            except OSError:
                continue
            entry = known.get(key)
            if entry and entry[0] == state:
                found[key], kept[key] = entry[1], entry
            else:
                unknown[key] = state
        values = compute(list(unknown)) if unknown else ()
        for (key, state), value in zip(unknown.items(), values, strict=True):
            found[key] = value
            times = [time for start in range(0, len(state), STATE_NUMBERS) for time in state[start + 3 : start + 5]]
            if is_kept(value) and max(times, default=0) < clock_ns - SETTLED_NANOSECONDS:
                kept[key] = [state, value]
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


def _state(path: Path) -> list[int]:
    status = os.stat(path)  # noqa: PTH116 -- half the time of Path.stat, ten thousand times
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


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
