"""Lists a folder of videos: every file once, and why some are not to be opened."""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import VideoError
from pipeline.video.image_sequences import is_image, numbered

# DVC's cache may stand behind a symbolic link for each file of a folder that it keeps (cache.type symlink)
DVC_CACHE_OBJECT = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")


@dataclass(frozen=True)
class Entry:
    """A file, or a folder of numbered images, that has a row in the index."""

    name: str  # relative to the folder, forward slashes, printable; see printable()
    paths: tuple[Path, ...]  # the file, or the images in their order; none if refused
    is_sequence: bool = False
    reason: str = ""  # why it is refused
    is_hidden: bool = False  # refused as hidden, which is nobody's mistake


def list_folder(folder: Path, roots: Sequence[str] = ()) -> list[Entry]:
    """Every file under `folder`, a folder of numbered images as one entry, sorted by name.

    Links are followed to files in the folder or under `roots`. All others, pipes, devices and sockets are refused here,
    without opening them.
    """
    root = Path(os.path.realpath(folder))
    allowed = [root, *(Path(os.path.realpath(other)) for other in roots)]
    return sorted(_entries(root, root, allowed), key=lambda entry: entry.name)


def printable(path: Path) -> str:
    r"""`path` with forward slashes, in which bytes that are not UTF-8 and control characters are \xNN, and \ is \\."""
    text = os.fsencode(path).replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")
    return "".join(f"\\x{ord(c):02x}" if ord(c) < 32 or ord(c) == 127 else c for c in text)


def _entries(folder: Path, root: Path, allowed: Sequence[Path]) -> Iterator[Entry]:
    def refused(path: Path, reason: str, is_hidden: bool = False) -> Entry:
        return Entry(printable(path.relative_to(root)), (), reason=reason, is_hidden=is_hidden)

    try:
        with os.scandir(folder) as listing:
            paths = sorted(Path(item.path) for item in listing)
    except OSError as error:
        yield refused(folder, f"cannot be listed: {error.strerror}")
        return
    files = []
    for path in paths:
        try:
            mode = path.lstat().st_mode
            reason = _why_not_followed(path, allowed) if stat.S_ISLNK(mode) else ""
            if reason:
                yield refused(path, reason)
                continue
            if stat.S_ISLNK(mode):
                mode = path.stat().st_mode
        except OSError as error:
            yield refused(path, f"cannot be read: {error.strerror}")
            continue
        if stat.S_ISDIR(mode):
            yield from _entries(path, root, allowed)
        elif not stat.S_ISREG(mode):
            yield refused(path, "a pipe, a device or a socket, not a file")
        elif path.name.startswith("."):
            yield refused(path, "hidden file", is_hidden=True)
        else:
            files.append(path)
    name = printable(folder.relative_to(root))
    try:
        images = numbered(files)
    except VideoError as error:
        yield Entry(name, (), is_sequence=True, reason=str(error))
        images = [path for path in files if is_image(path)]
    else:
        if images:
            yield Entry(name, tuple(images), is_sequence=True)
    for path in files:
        if path not in images:
            yield Entry(printable(path.relative_to(root)), (path,))


def _why_not_followed(path: Path, allowed: Sequence[Path]) -> str:
    target = Path(os.path.realpath(path))
    if target.is_dir():
        return "a symbolic link to a folder"
    if any(target.is_relative_to(folder) for folder in allowed) or DVC_CACHE_OBJECT.search(str(target)):
        return ""
    return "a symbolic link that leaves the folder, to nowhere under data.roots of params.yaml"
