"""Compressed frames: those of a video in one file, in chunks that are read one by one; a half to a quarter of an array.

A chunk holds some frames: the first as it is, of the others the difference to the one before (modulo 256), in Zstandard
with its checksum. After the chunks comes their index, as JSON, then its length in bytes and the format's name, 8 bytes
each. No value is lost.
"""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.data.arrays import Frames
from pipeline.errors import DataError
from pipeline.runtime.files import replacing

SUFFIX = ".frames"
MAGIC = b"FRAMES01"
# frames per chunk: as few as make any clip cheap to read (all of a chunk is decoded, the most of what a clip costs), as
# many as compress well: 64 of 64 x 64 pixels instead of 16 save a tenth to a sixth, and clips take twice as long
CHUNK_BYTES, FEWEST, MOST = 2**16, 8, 64
LEVEL = 1  # of Zstandard; higher ones take longer and save little here
LAYOUT = (CHUNK_BYTES, FEWEST, MOST, LEVEL)  # what decides a file's bytes beside its frames
MOST_BYTES = 2**31  # of a decoded chunk: more is damage

Count = Annotated[int, Field(gt=0)]


class Index(BaseModel):
    """What stands at the end of a file."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    shape: tuple[Count, Count, Count, Count]  # (T, H, W, C)
    chunk_frames: Count  # in every chunk but the last
    ends: list[Count]  # of the chunks, bytes from the file's beginning

    @model_validator(mode="after")
    def _says_one_thing(self) -> "Index":
        num_frames, *frame = self.shape
        ascending = all(one < other for one, other in zip([0, *self.ends], self.ends, strict=False))
        if len(self.ends) != -(-num_frames // self.chunk_frames) or not ascending:
            raise ValueError("the chunks are not those of the frames")
        if self.chunk_frames * int(np.prod(frame, dtype=object)) > MOST_BYTES:
            raise ValueError("the chunks are too large")
        return self


@cache
def codec() -> Any:
    """Zstandard; raises DataError where the package is not installed that has it."""
    try:
        from numcodecs.zstd import Zstd
    except ModuleNotFoundError as error:
        raise DataError(
            "extract.store: compressed frames need the package numcodecs; pip install 'foreframe[formats]'"
        ) from error
    return Zstd(level=LEVEL, checksum=True)


def write_compressed(path: Path, frames: Iterable[Frames]) -> int:
    """Write `frames`, each uint8 (H, W, C), to `path`; returns how many they were.

    The file appears when it is whole; without frames there is none. One chunk is in memory at a time.
    """
    images = iter(frames)
    first = next(images, None)
    if first is None:
        return 0
    images = chain([first], images)
    chunk = np.empty((min(MOST, max(FEWEST, CHUNK_BYTES // first.size)), *first.shape), np.uint8)
    num_frames, ends = 0, []
    with replacing(path, durable=False) as part, part.open("wb") as file:
        while count := _fill(chunk, images):
            difference = chunk[:count].copy()
            np.subtract(chunk[1:count], chunk[: count - 1], out=difference[1:])
            file.write(codec().encode(difference))
            ends.append(file.tell())
            num_frames += count
        index = Index(shape=(num_frames, *first.shape), chunk_frames=len(chunk), ends=ends)
        content = json.dumps(index.model_dump(), sort_keys=True).encode()
        file.write(content + len(content).to_bytes(8, "little") + MAGIC)
    return num_frames


def _fill(chunk: Frames, images: Iterator[Frames]) -> int:
    """Copies the next images into `chunk`; how many there were."""
    count = 0
    for image in islice(images, len(chunk)):
        assert image.shape == chunk.shape[1:]
        chunk[count] = image
        count += 1
    return count


class ChunkedFrames(ABC):
    """Frames in chunks, as an array uint8 (T, H, W, C) that is decoded where it is indexed."""

    ndim = 4
    dtype = np.dtype(np.uint8)

    def __init__(self, index: Index) -> None:
        self.shape: tuple[int, int, int, int] = index.shape
        self._chunk_frames = index.chunk_frames
        self._ends = [0, *index.ends]

    @abstractmethod
    def _content(self, first: int, last: int) -> bytes | bytearray:
        """The bytes of the chunks in the half-open range, which follow each other; raises OSError or DataError."""

    @abstractmethod
    def _damaged(self, start: int, stop: int, reason: str) -> DataError:
        """The error of frames that cannot be read or decoded."""

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        for start in range(0, len(self), self._chunk_frames):
            yield from self.read(start, min(start + self._chunk_frames, len(self)))

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        """As of an array; slices of the first axis are without a step."""
        first, *rest = key if isinstance(key, tuple) else (key,)
        if not isinstance(first, slice):
            number = range(len(self))[first]
            return self.read(number, number + 1)[0, *rest]
        start, stop, step = first.indices(len(self))
        assert step == 1, "frames that follow each other are read"
        return self.read(start, max(start, stop))[:, *rest]

    def read(self, start: int, stop: int) -> NDArray[np.uint8]:
        """The frames in the half-open range, decoded; raises DataError where they are damaged."""
        size = self._chunk_frames
        first, last = start // size, -(-stop // size)  # half-open, of the chunks
        decoded = np.empty((min(last * size, len(self)) - first * size, *self.shape[1:]), np.uint8)
        begin = self._ends[first]
        try:
            content = memoryview(self._content(first, last))
            for number in range(first, last):
                chunk = decoded[(number - first) * size : (number - first + 1) * size]
                codec().decode(content[self._ends[number] - begin : self._ends[number + 1] - begin], out=chunk)
                wanted = chunk[: stop - number * size]
                for image, previous in zip(wanted[1:], wanted, strict=False):
                    np.add(image, previous, out=image)
        except (OSError, RuntimeError, ValueError) as error:
            raise self._damaged(start, stop, " ".join(str(error).split())[:200]) from error
        return decoded[start - first * size : stop - first * size]


class CompressedFrames(ChunkedFrames):
    """What write_compressed wrote."""

    def __init__(self, path: Path) -> None:
        """Raises OSError where `path` cannot be read, ValueError where it is no such file or is cut off."""
        self._path = path
        self._file = path.open("rb")  # closed with the object
        self.index = _read_index(self._file.fileno())
        super().__init__(self.index)

    def chunks(self) -> Iterator[bytes]:
        """The bytes of each chunk."""
        for number in range(len(self.index.ends)):
            yield self._content(number, number + 1)

    def _content(self, first: int, last: int) -> bytes:
        begin, end = self._ends[first], self._ends[last]
        return os.pread(self._file.fileno(), end - begin, begin)

    def _damaged(self, start: int, stop: int, reason: str) -> DataError:
        return DataError(
            f"{self._path}: frames {start} to {stop} cannot be read ({reason}); remove it and run `dvc repro extract`"
        )


def _read_index(file: int) -> Index:
    size = os.fstat(file).st_size
    tail = os.pread(file, 16, max(0, size - 16))
    length = int.from_bytes(tail[:8], "little")
    if len(tail) < 16 or tail[8:] != MAGIC or length > size - 16:
        raise ValueError("is cut off, or no file of compressed frames")
    try:
        index = Index.model_validate_json(os.pread(file, length, size - 16 - length))
    except ValidationError as error:
        raise ValueError("its index is damaged") from error
    if index.ends[-1:] != [size - 16 - length]:
        raise ValueError("its index is damaged")
    return index
