"""The frame store: one uint8 array (T, H, W, C) per video, maybe compressed, and index.csv with one row per file.

Compressed frames may be elsewhere: then the store has, per video, the index of their chunks (remote_frames.py).

An array is named after its video's content hash, so that equal content is stored once and a renamed file keeps its
array; index.csv says which file has which. Files are written under a temporary name and renamed: none is ever partial.
hashes.json holds the content hashes of all, so that a bit that flipped on the disk does not become the truth; it lies
in the store, so that a checkout or a copy can be checked as well.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from json.encoder import encode_basestring_ascii
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.data import compressed, remote_frames
from pipeline.data.arrays import Frames, write_array
from pipeline.data.compressed import ChunkedFrames, CompressedFrames
from pipeline.data.object_storage import ObjectStorage
from pipeline.data.remote_frames import REMOTE, RemoteFrames, RemoteStore, read_place
from pipeline.errors import DataError
from pipeline.runtime.files import replacing, write_json
from pipeline.runtime.hashing import content_hash, file_content_hash

if TYPE_CHECKING:
    import pandas as pd  # most of a second, which only those who read an index need

__all__ = [
    "COLUMNS",
    "HASHES",
    "INDEX",
    "FrameStore",
    "StoredFrames",
    "faults",
    "pieces",
    "read_hashes",
    "read_index",
    "sound_rows",
    "write_array",
    "write_hashes",
    "write_index",
]

StoredFrames = Frames | ChunkedFrames

INDEX, HASHES = "index.csv", "hashes.json"
# of a video's file, by extract.store, and where extract.store_url is an address
SUFFIXES = {"arrays": ".npy", "compressed": compressed.SUFFIX, "remote": remote_frames.SUFFIX}
REPAIR = "remove it and run `dvc repro extract`"
# the types are given on reading, because a column without a value in any row would otherwise become text
COLUMNS = {
    "path": "str",  # relative to the folder of videos, with forward slashes
    "status": "str",  # ok | damaged (its good frames are stored) | skipped
    "reason": "str",  # why not ok
    "sha256": "str",  # content hash
    "num_frames": "Int64",  # of the source
    "fps": "Float64",  # of the source, on average
    "height": "Int64",  # of the source, pixels
    "width": "Int64",
    "duration_seconds": "Float64",  # of the source
    "codec": "str",  # of the source
    "hdr": "str",  # how HDR was mapped to SDR, if it was
    "decoder": "str",  # opencv | pyav, and why PyAV where extract.decoder asks for OpenCV
    "stored_frames": "Int64",
    "array": "str",  # file in the store
    "recipe": "str",  # hash of the parameters and versions that made it
    "split": "str",  # train | val | test, where a list, an array's name or a data set says so
}
NEEDED = ("path", "sha256", "stored_frames", "array")  # without these an index is none
ROW = f"{{{', '.join(f'{json.dumps(name)}: %s' for name in COLUMNS)}}}"  # as JSON, each %s a text in quotes


class FrameStore:
    """Reads a folder of frames."""

    def __init__(self, folder: Path) -> None:
        """Raises DataError if `folder` holds no index."""
        self.folder = folder
        if not (folder / INDEX).is_file():
            raise DataError(f"{folder / INDEX}: no such file; run the extract stage first")

    @cached_property
    def index(self) -> "pd.DataFrame":
        """Every file that was found, sorted by path, with COLUMNS. Absent text is "", absent numbers are NA."""
        index = read_index(self.folder)
        return index.set_index("path", drop=False, verify_integrity=True).rename_axis(None)

    @cached_property
    def remote(self) -> RemoteStore | None:
        """Where the frames are, if not here; raises DataError where the address is none."""
        place = read_place(self.folder)
        return RemoteStore(place.url, self.folder) if place else None

    @cached_property
    def videos(self) -> list[str]:
        """The paths of the videos that have frames, sorted; damaged ones among them."""
        return self.index["path"][self.index["stored_frames"].fillna(0) > 0].tolist()

    @cached_property
    def frame_shape(self) -> tuple[int, int, int]:
        """(C, H, W), the same for every video; raises DataError if there is no video."""
        if not self.videos:
            raise DataError(f"{self.folder}: holds no video; {self.folder / INDEX} says why not")
        height, width, channels = self.load(self.videos[0]).shape[1:]
        return channels, height, width

    def load(self, video: str) -> StoredFrames:
        """The frames of `video` (a path of the index), uint8 (T, H, W, C), read-only, and read where indexed."""
        name = self.index.loc[video, "array"]
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise DataError(f"{self.folder / INDEX}: the array of {video} lies outside the store ({name}); {REPAIR}")
        path = self.folder / name
        try:
            frames = self._opened(path)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path}: cannot be read ({_one_line(error)}); {REPAIR}") from error
        if frames.ndim != 4 or len(frames) != self.index.loc[video, "stored_frames"]:
            told = self.index.loc[video, "stored_frames"]
            raise DataError(f"{path}: is an array {frames.shape}, not of the {told} frames of {INDEX}; {REPAIR}")
        return frames

    def _opened(self, path: Path) -> StoredFrames:
        if path.suffix == remote_frames.SUFFIX:
            if self.remote is None:
                raise DataError(
                    f"{self.folder / REMOTE}: no such file, so that nothing says where the frames are; {REPAIR}"
                )
            return RemoteFrames(path, self.remote)
        if path.suffix == compressed.SUFFIX:
            return CompressedFrames(path)
        mapped: Frames = np.load(path, mmap_mode="r")
        return mapped


def pieces(frames: StoredFrames, count: int) -> Iterator[Frames]:
    """All `frames` in order, `count` at a time, each read once."""
    if isinstance(frames, RemoteFrames):
        yield from frames.pieces(count)
        return
    for start in range(0, len(frames), count):
        yield frames[start : start + count]


def read_index(folder: Path) -> "pd.DataFrame":
    """index.csv in `folder`; absent text is "", absent numbers are NA. Raises DataError where it is none."""
    import pandas as pd

    # a video may be called "NA" or "null", which pandas would take for absent
    absent = {name: [""] for name, kind in COLUMNS.items() if kind != "str"}
    try:
        index = pd.read_csv(
            folder / INDEX,
            dtype=COLUMNS,
            keep_default_na=False,
            na_values=absent,
            float_precision="round_trip",
        )
    except (ValueError, TypeError) as error:  # a field that is no number, bytes that are no text, ragged rows
        raise DataError(f"{folder / INDEX}: is damaged ({_one_line(error)}); {REPAIR}") from error
    if missing := [name for name in NEEDED if name not in index]:
        raise DataError(f"{folder / INDEX}: is damaged (no column {missing[0]}); {REPAIR}")
    return index


def write_index(folder: Path, rows: Iterable[dict[str, object]]) -> None:
    """Write index.csv, sorted by path; each row has a value or None for each of COLUMNS."""
    with replacing(folder / INDEX) as part, part.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(COLUMNS)
        for row in sorted(rows, key=lambda row: str(row["path"])):
            lines.writerow([_text(row.get(name), kind) for name, kind in COLUMNS.items()])


def write_hashes(folder: Path, arrays: Mapping[str, str]) -> None:
    """Write hashes.json: the content hashes of `arrays` (by file), of index.csv, and of each of its rows."""
    write_json(folder / HASHES, _hashes((folder / INDEX).read_bytes(), arrays))


def _hashes(index: bytes, arrays: Mapping[str, str]) -> dict[str, Any]:
    rows = {fields[0]: _row_hash(fields) for fields in _rows(index)}
    return {"arrays": dict(arrays), "index": content_hash(index), "rows": rows}


def read_hashes(folder: Path) -> dict[str, Any]:
    """What write_hashes wrote; empty where there is none or it is damaged beyond reading."""
    empty = {"arrays": {}, "index": "", "rows": {}}
    try:
        known = json.loads((folder / HASHES).read_bytes())
    except (OSError, ValueError, RecursionError):
        return empty
    if not isinstance(known, dict):
        return empty
    return {name: known[name] if isinstance(known.get(name), type(value)) else value for name, value in empty.items()}


def sound_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of index.csv that are as they were written, numbers as numbers; damage costs only its own row."""
    try:
        content = (folder / INDEX).read_bytes()
    except OSError:
        return []
    known = read_hashes(folder)["rows"]
    sound = [fields for fields in _rows(content) if known.get(fields[0]) == _row_hash(fields)]
    kinds = COLUMNS.items()
    return [
        {name: text if kind == "str" else _value(text, kind) for (name, kind), text in zip(kinds, fields, strict=True)}
        for fields in sound
    ]


def _rows(content: bytes) -> Iterator[list[str]]:
    """The rows of an index as text; those that have not as many fields as there are COLUMNS are left out."""
    lines = csv.reader(io.StringIO(content.decode(errors="replace"), newline=""))
    next(lines, None)
    while True:
        try:
            fields = next(lines, None)
        except csv.Error:  # a field without an end, say
            continue
        if fields is None:
            return
        if len(fields) == len(COLUMNS):
            yield fields


def _row_hash(fields: list[str]) -> str:
    return content_hash((ROW % tuple(map(encode_basestring_ascii, fields))).encode())


def _text(value: Any, kind: str) -> str:
    if value is None:
        return ""
    return str(value) if kind == "str" else str(int(value)) if kind == "Int64" else repr(float(value))


def _value(text: str, kind: str) -> int | float | None:
    return None if not text else int(text) if kind == "Int64" else float(text)


def faults(folder: Path) -> Iterator[str]:
    """Reads the whole store: one line for each file that is not what hashes.json says, with what to do."""
    if not (folder / HASHES).is_file():
        yield f"{folder / HASHES}: no such file, so that nothing can be checked; `dvc repro --force extract` writes it"
        return
    known = read_hashes(folder)
    expected = {INDEX: known["index"], **known["arrays"]}
    named = {row["array"] for row in sound_rows(folder) if row["array"]}
    arrays, sound = {}, True
    for name in sorted(expected.keys() | named):
        path = folder / name
        try:
            arrays[name] = file_content_hash(path)
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
        else:
            problem = f"is damaged (its content hash differs from the one in {HASHES})"
        if arrays.get(name) != expected.get(name):
            yield f"{path}: {problem}; {REPAIR}"
            sound = False
    if unknown := sorted({path.name for path in folder.iterdir()} - expected.keys() - named - {HASHES}):
        yield f"{folder / unknown[0]}: belongs to no row of {INDEX} ({len(unknown)} such files); {REPAIR}"
    elif sound:
        yield from _remote_faults(folder)
        del arrays[INDEX]
        text = json.dumps(_hashes((folder / INDEX).read_bytes(), arrays), indent=2, sort_keys=True) + "\n"
        if (folder / HASHES).read_bytes() != text.encode():
            yield f"{folder / HASHES}: is damaged; {REPAIR}"


def _remote_faults(folder: Path) -> Iterator[str]:
    """One line for each object that is not where remote.json says, or of another size; they are not read."""
    place = read_place(folder)
    if place is None:
        return
    try:
        sizes = ObjectStorage(place.url).sizes()
    except DataError as error:
        yield str(error)
        return
    for name, size in place.sizes.items():
        if sizes.get(name) != size:
            problem = "is not there" if name not in sizes else f"has {sizes[name]} bytes, not {size}"
            yield f"{place.url}/{name}: {problem}; `dvc repro --force extract` uploads it again"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
