"""Compressed frames in object storage: byte ranges of them, checked by their hashes, cached on disk, fetched ahead.

In the frame store stands, per video, a file .chunks with the index of its chunks and their hashes; remote.json says
where the chunks are. What is read is kept in files beside the store, as long as there is room: they hold what the
objects hold, at the same places, so that a chunk is in the cache where its hash is right.
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.data.compressed import SUFFIX as OBJECT_SUFFIX
from pipeline.data.compressed import ChunkedFrames, CompressedFrames, Index
from pipeline.data.object_storage import ObjectStorage
from pipeline.errors import DataError
from pipeline.runtime.files import read_regular, write_json, write_text

logger = logging.getLogger(__name__)

SUFFIX, REMOTE = ".chunks", "remote.json"
CACHE_MB = "FOREFRAME_CACHE_MB"  # environment variable: what a machine keeps is no parameter, it changes no result
DEFAULT_CACHE_MB = 10 * 1024
SCANS = 16  # of the cache's files until it is full, for what other processes write
THREADS = 16  # that wait for the storage
AHEAD_BYTES = 2**26  # that may be fetched before they are asked for
PIECE_BYTES = 2**23  # of decoded frames, where a video is read from its beginning to its end
ChunkHash = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class RemoteIndex(Index):
    """The content of a file .chunks."""

    hashes: list[ChunkHash]  # of the chunks: the first half of the SHA-256

    @model_validator(mode="after")
    def _one_hash_per_chunk(self) -> "RemoteIndex":
        if len(self.hashes) != len(self.ends):
            raise ValueError("there is not one hash per chunk")
        return self


class Place(BaseModel):
    """The content of remote.json."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    url: str
    sizes: dict[str, int]  # bytes of each object, by name


def chunk_hash(content: bytes | memoryview) -> str:
    """The hash of a chunk in RemoteIndex."""
    return hashlib.sha256(content).hexdigest()[:32]


def write_remote_index(path: Path, frames: CompressedFrames) -> None:
    """Write to `path` what is needed to read the chunks of `frames` from elsewhere."""
    hashes = [chunk_hash(chunk) for chunk in frames.chunks()]
    write_text(path, RemoteIndex(**frames.index.model_dump(), hashes=hashes).model_dump_json() + "\n", durable=False)


def object_name(path: Path) -> str:
    """The object whose chunks the file `path` lists."""
    return path.with_suffix(OBJECT_SUFFIX).name


def read_place(folder: Path) -> Place | None:
    """remote.json in a frame store; None where there is none. Raises DataError where it is damaged."""
    path = folder / REMOTE
    try:
        return Place.model_validate_json(read_regular(path))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise DataError(f"{path}: is damaged; remove it and run `dvc repro --force extract`") from error


def write_place(folder: Path, url: str, sizes: Mapping[str, int]) -> Path:
    """Write remote.json; returns its path."""
    write_json(folder / REMOTE, Place(url=url, sizes=dict(sizes)).model_dump())
    return folder / REMOTE


class ChunkCache:
    """Parts of objects in files of a folder, at most so many bytes; what does not fit is not kept.

    Nothing makes room for something newer: an epoch reads everything once in an order of its own, so that what is
    here is as likely to be wanted as what is not.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        wanted = os.environ.get(CACHE_MB, str(DEFAULT_CACHE_MB))
        if not wanted.isdecimal():
            raise DataError(f"{CACHE_MB}: wanted is a number of MiB (got {wanted!r})")
        self._used, self._since_scan = self._scan(), 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(folder).free
        except OSError:  # a disk that is only read
            free = 0
        self._most = min(int(wanted) * 2**20, self._used + free // 2)

    def read(self, name: str, start: int, stop: int) -> bytes:
        """What is kept of the half-open range; zeros, or less, where nothing is."""
        try:
            file = os.open(self._folder / name, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return b""
        try:
            return os.pread(file, stop - start, start)
        except OSError:
            return b""
        finally:
            os.close(file)

    def write(self, name: str, start: int, content: bytes) -> None:
        """Keep `content`, which begins at `start`, if there is room."""
        if self._since_scan > self._most // SCANS:
            self._used, self._since_scan = self._scan(), 0
        if self._used + len(content) > self._most:
            return
        try:
            file = os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                os.pwrite(file, content, start)
            finally:
                os.close(file)
        except OSError as error:
            logger.warning("%s: no more frames are kept here (%s)", self._folder, error.strerror)
            self._most = 0
        self._used += len(content)
        self._since_scan += len(content)

    def keep_only(self, names: Iterable[str]) -> None:
        """Remove what belongs to other objects."""
        wanted = set(names)
        for path in sorted(self._folder.glob(f"*{OBJECT_SUFFIX}")):
            if path.name not in wanted:
                path.unlink(missing_ok=True)

    def _scan(self) -> int:
        return sum(path.stat().st_blocks * 512 for path in self._folder.glob(f"*{OBJECT_SUFFIX}"))


class RemoteStore:
    """Where the chunks of a frame store are, what is kept of them here, and who fetches them."""

    def __init__(self, url: str, folder: Path) -> None:
        """Raises DataError where `url` is no address; `folder` is the frame store's."""
        self.objects = ObjectStorage(url)
        self.cache = ChunkCache(cache_folder(folder))
        self.pool = ThreadPoolExecutor(THREADS, thread_name_prefix="frames")
        self.ahead: dict[tuple[str, int, int], Future[bytes | bytearray]] = {}  # by object, first and last chunk
        self.ahead_bytes = 0
        self.lock = Lock()  # of both


def cache_folder(frames: Path) -> Path:
    """Beside the store, as what extraction remembers."""
    return frames.parent / f".{frames.name}" / "remote"


class RemoteFrames(ChunkedFrames):
    """What a file .chunks lists."""

    def __init__(self, path: Path, store: RemoteStore) -> None:
        """Raises OSError where `path` cannot be read, ValueError where it is no such file or is damaged."""
        try:
            index = RemoteIndex.model_validate_json(read_regular(path))
        except ValidationError as error:
            raise ValueError("is damaged, or no list of chunks") from error
        super().__init__(index)
        self._hashes, self._store, self._name = index.hashes, store, object_name(path)

    def fetch_ahead(self, start: int, stop: int) -> bool:
        """Fetch, in the background, the frames that `read` will be asked for; whether there is room for more."""
        size, store = self._chunk_frames, self._store
        first, last = start // size, -(-min(stop, len(self)) // size)
        key, num_bytes = (self._name, first, last), self._ends[last] - self._ends[first]
        with store.lock:
            if key not in store.ahead:
                if store.ahead_bytes + num_bytes > AHEAD_BYTES and store.ahead:
                    return False
                store.ahead[key] = store.pool.submit(self._checked, first, last)
                store.ahead_bytes += num_bytes
        return True

    def pieces(self, count: int) -> Iterator[NDArray[np.uint8]]:
        """All frames in order, `count` at a time; larger pieces are fetched, each while the one before it is used."""
        size = max(1, PIECE_BYTES // int(np.prod(self.shape[1:]))) // count * count or count
        for start in range(0, len(self), size):
            for begin in (start, start + size):
                if begin < len(self):
                    self.fetch_ahead(begin, begin + size)
            piece = self.read(start, min(start + size, len(self)))
            for first in range(0, len(piece), count):
                yield piece[first : first + count]

    def _content(self, first: int, last: int) -> bytes | bytearray:
        store = self._store
        with store.lock:
            fetched = store.ahead.pop((self._name, first, last), None)
            if fetched is not None:
                store.ahead_bytes -= self._ends[last] - self._ends[first]
        return self._checked(first, last) if fetched is None else fetched.result()

    def _checked(self, first: int, last: int) -> bytes | bytearray:
        """The chunks in the half-open range, with the right hashes: from the cache, or else from the storage."""
        begin, end = self._ends[first], self._ends[last]
        content = self._store.cache.read(self._name, begin, end)
        if not content:
            return self._fetched(first, last)
        missing = self._wrong(content, first, last)
        if not missing:
            return content
        mended = bytearray(content)
        mended += bytes(end - begin - len(content))
        for start, stop in _runs(missing):
            mended[self._ends[start] - begin : self._ends[stop] - begin] = self._fetched(start, stop)
        return mended

    def _fetched(self, first: int, last: int) -> bytes:
        """The chunks in the half-open range, with the right hashes, from the storage; the cache keeps them."""
        objects = self._store.objects
        for _ in range(2):  # what comes wrong once may have been damaged on its way
            content = objects.fetch(self._name, self._ends[first], self._ends[last])
            if not (wrong := self._wrong(content, first, last)):
                self._store.cache.write(self._name, self._ends[first], content)
                return content
        size = self._chunk_frames
        raise DataError(
            f"{objects.url}/{self._name}: frames {wrong[0] * size} to {(wrong[0] + 1) * size} are not those that were "
            "uploaded (another hash); remove the object and run `dvc repro --force extract`"
        )

    def _wrong(self, content: bytes | bytearray, first: int, last: int) -> list[int]:
        """The chunks in the half-open range whose hash is another in `content`, which begins with the first."""
        begin, view = self._ends[first], memoryview(content)
        return [
            number
            for number in range(first, last)
            if chunk_hash(view[self._ends[number] - begin : self._ends[number + 1] - begin]) != self._hashes[number]
        ]

    def _damaged(self, start: int, stop: int, reason: str) -> DataError:
        return DataError(f"{self._store.objects.url}/{self._name}: frames {start} to {stop} cannot be read ({reason})")


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """The half-open ranges of numbers that follow each other."""
    start = numbers[0]
    for number, following in zip(numbers, [*numbers[1:], -1], strict=True):
        if following != number + 1:
            yield start, number + 1
            start = following
