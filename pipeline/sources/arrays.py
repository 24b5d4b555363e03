"""Opens arrays without loading them: .npy and .npz, HDF5, Zarr. Nothing is ever unpickled."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from pipeline.errors import VideoError
from pipeline.sources.extras import MissingPackage, imported
from pipeline.sources.levels import check_numbers

HDF5 = {".h5", ".hdf5", ".hdf", ".he5"}
FILES = {".npy", ".npz"} | HDF5
ZARR = {"zarr.json", ".zarray", ".zgroup"}  # in the folder of an array or a group
LOCAL_HEADER = 30  # bytes of a zip member's own header before its name


class Array(Protocol):
    """What numpy, h5py and zarr have in common."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> Any: ...
    def __getitem__(self, index: Any) -> Any: ...


class Clipped(np.ndarray):
    """A memory-mapped array whose file breaks off: the part of it that is there."""

    missing = ""


def keys(path: Path) -> list[str]:
    """The names of the arrays in the file or folder at `path`, sorted; "" stands for the only one of a file.

    Raises VideoError where it cannot be opened.
    """
    with _told(path):
        if path.suffix.lower() == ".npy":
            return [""]
        if path.suffix.lower() == ".npz":
            with zipfile.ZipFile(path) as members:
                return sorted(name.removesuffix(".npy") for name in members.namelist() if name.endswith(".npy"))
        if path.is_dir():
            opened = imported("zarr").open(store=str(path), mode="r")
            return sorted(_zarr_keys(opened))
        with imported("h5py").File(path, "r") as file:
            found: list[str] = []
            file.visititems(lambda name, item: found.append(name) if hasattr(item, "dtype") else None)
            return sorted(found)


def open_array(path: Path, key: str) -> Array:
    """The array `key` of the file at `path`; raises VideoError where it cannot be opened, or holds no numbers.

    It stays open for the next call in this process, unless the file changes.
    """
    return _opened(path, key, state_of(path))


def state_of(path: Path) -> tuple[int, ...]:
    """Numbers that are others after the file, or the array in the folder, at `path` was written anew."""
    files = [path, *(path / name for name in sorted(ZARR) if path.is_dir())]
    states = [file.stat() for file in files if file.exists()]
    return tuple(number for state in states for number in (state.st_ino, state.st_size, state.st_mtime_ns))


@lru_cache(maxsize=2)
def _opened(path: Path, key: str, _state: tuple[int, ...]) -> Array:
    with _told(path):
        array: Any
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                array = _mapped(path, file, 0, path.stat().st_size)
        elif path.suffix.lower() == ".npz":
            array = _member(path, f"{key}.npy")
        elif path.is_dir():
            opened = imported("zarr").open(store=str(path), mode="r")
            array = opened[key] if key else opened
        else:
            array = imported("h5py").File(path, "r")[key]
        check_numbers(np.dtype(array.dtype))
        return array


def _zarr_keys(opened: Any) -> Iterator[str]:
    if hasattr(opened, "dtype"):
        yield ""
        return
    for name, _ in opened.arrays():
        yield name
    for name, group in opened.groups():
        yield from (f"{name}/{key}" for key in _zarr_keys(group))


def _member(path: Path, name: str) -> NDArray:
    """A member of a .npz: memory-mapped where it is stored as it is, else loaded."""
    with zipfile.ZipFile(path) as members:
        info = members.getinfo(name)
        if info.compress_type == zipfile.ZIP_STORED:
            with path.open("rb") as file:
                file.seek(info.header_offset)
                header = file.read(LOCAL_HEADER)
                start = info.header_offset + LOCAL_HEADER
                start += int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
                return _mapped(path, file, start, info.file_size)
        with members.open(info) as packed:
            array: NDArray = npy.read_array(packed, allow_pickle=False)
            packed.read()  # to the end, where its checksum is compared
            return array


def _mapped(path: Path, file: BinaryIO, start: int, size: int) -> NDArray:
    """The array in `size` bytes of an open file from `start` on, memory-mapped; as many rows of it as are there."""
    file.seek(start)
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise VideoError(f".npy of version {version[0]}.{version[1]} is not for plain numbers")
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, is_fortran, dtype = read_header(file)
    check_numbers(dtype)
    offset = file.tell()
    there = (size - (offset - start)) // dtype.itemsize
    wanted = int(np.prod(shape, dtype=np.int64))
    if there >= wanted and wanted > 0:
        return np.memmap(path, dtype, "r", offset, shape, "F" if is_fortran else "C")
    row = int(np.prod(shape[1:], dtype=np.int64))
    rows = there // row if row and not is_fortran else 0
    if not rows:
        raise VideoError(f"{'breaks off: ' if wanted else ''}holds no whole frame (shape {shape})")
    clipped = np.memmap(path, dtype, "r", offset, (rows, *shape[1:])).view(Clipped)
    clipped.missing = f"breaks off: {rows} of {shape[0]} along its first axis are there"
    return clipped


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What a library says of a file that it cannot read becomes a VideoError in one line."""
    try:
        yield
    except MissingPackage as error:
        raise MissingPackage(f"{path}: {error}") from error
    except VideoError as error:
        raise VideoError(f"{path}: {error}") from error
    except MemoryError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:200] or type(error).__name__
        raise VideoError(f"{path}: cannot be read as an array ({text})") from error
