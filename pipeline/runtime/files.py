"""Files that are whole or not there: written beside their place under another name, then renamed."""

import errno
import json
import mmap
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """The temporary path to write to; renamed to `path` at the end, removed if anything goes wrong.

    Its name is the same for whoever writes `path`, so that what a killed process left behind is overwritten. `durable`
    has the kernel write content and name to the disk before this returns: for what a reader may follow even if the
    power fails. What the system refuses is an OSError that names `path`.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        if durable:
            sync(part)
        part.replace(path)
        if durable:
            sync(path.parent)
    except Exception as error:
        refused = _refusal(error, part)
        if refused is None:
            raise
        raise OSError(refused, os.strerror(refused), str(path)) from error
    finally:
        with suppress(OSError):  # a folder that cannot be written to holds nothing of ours
            part.unlink(missing_ok=True)


def _refusal(error: Exception, part: Path) -> int | None:
    """The system's number for why `part` could not be written; None where `error` is about something else."""
    if isinstance(error, OSError):
        # writing to a file that is open names no file; a library may name the temporary one
        about_part = error.filename is None or os.fspath(error.filename) == str(part)
        return error.errno if about_part else None
    if told_by_rust := re.search(r"\(os error (\d+)\)", str(error)):  # safetensors
        return int(told_by_rust[1])
    return errno.ENOSPC if isinstance(error, RuntimeError) and _is_full(part.parent) else None  # torch


def _is_full(folder: Path) -> bool:
    """Has the disk less than a page left?"""
    try:
        return shutil.disk_usage(folder).free < mmap.PAGESIZE
    except OSError:
        return False


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An OSError that names no file names `path`: for libraries that write there on their own."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def read_regular(path: Path, most_bytes: int | None = None) -> bytes:
    """The content of the file at `path`, or of the one that a link there leads to, if it is a regular one.

    Raises OSError where it is not (a pipe, a socket or a device is never opened, because that may wait for ever or have
    no end), and where it is larger than `most_bytes`.
    """
    _check_regular(path, path.stat())
    # it may have been exchanged since: then opening must not wait for somebody at the other end
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        _check_regular(path, os.fstat(file.fileno()))
        content = file.read() if most_bytes is None else file.read(most_bytes + 1)
    if most_bytes is not None and len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"larger than {most_bytes:,} bytes", str(path))
    return content


def read_json(path: Path, most_bytes: int = 1 << 26) -> Any:
    """The content of the JSON file at `path`; OSError as read_regular, ValueError where it is no JSON."""
    try:
        return json.loads(read_regular(path, most_bytes).decode())
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _check_regular(path: Path, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "is no regular file", str(path))


def write_bytes(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file that is whole or not there."""
    with replacing(path, durable=durable) as part:
        part.write_bytes(content)


def write_text(path: Path, content: str, *, durable: bool = True) -> None:
    """Write a text file, UTF-8, that is whole or not there."""
    write_bytes(path, content.encode(), durable=durable)


def write_json(path: Path, content: Any, *, durable: bool = True) -> None:
    """Write `content` as JSON with sorted keys; whole or not there."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True) + "\n", durable=durable)


def sync(path: Path) -> None:
    """Have the kernel write a file, or a directory's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
