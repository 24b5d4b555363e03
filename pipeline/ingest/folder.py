"""Lists a folder of videos: every file once, and why some are not to be opened."""

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import VideoError
from pipeline.ingest.paths import allowed_folders, printable, why_not_followed
from pipeline.sources import arrays, lerobot
from pipeline.sources.part import Part
from pipeline.sources.stacks import holds_several, is_stack
from pipeline.video.image_sequences import is_image, numbered


@dataclass(frozen=True)
class Entry:
    """A file, or a folder of numbered images, that has a row in the index; or what holds several videos."""

    name: str  # relative to the folder, forward slashes, printable; see printable()
    paths: tuple[Path, ...]  # the file, the images in their order, or the files of a folder; none if refused
    is_sequence: bool = False
    reason: str = ""  # why it is refused
    is_hidden: bool = False  # refused as hidden, which is nobody's mistake
    container: str = ""  # array | lerobot: it is to be inspected for the videos in it
    place: Path | None = None  # the folder, where it is one
    part: Part | None = None  # which of the videos in `place` or the file, or how the file is read
    start_seconds: float | None = None  # what of the video counts; a half-open range
    stop_seconds: float | None = None
    fragment: str = ""  # of its name, which says so in a list of videos
    split: str = ""  # train | val | test, where something says so

    @property
    def source(self) -> Path:
        """The file or the folder."""
        return self.place or self.paths[0]


def list_folder(folder: Path, roots: Sequence[str] = ()) -> list[Entry]:
    """Every file under `folder`, a folder of numbered images as one entry, sorted by name.

    A file in place of a folder is itself the only entry. Links are followed to files in the folder or under `roots`.
    All others, pipes, devices and sockets are refused here, without opening them.
    """
    if folder.is_dir():
        root = Path(os.path.realpath(folder))
        return sorted(_entries(root, root, allowed_folders(root, roots)), key=lambda entry: entry.name)
    root = Path(os.path.realpath(folder.parent))
    return list(entries_at(root / folder.name, root, allowed_folders(root, roots)))


def entries_at(path: Path, root: Path, allowed: Sequence[Path]) -> Iterator[Entry]:
    """The entries of the file or folder at `path`, named from `root` on."""
    if path.is_dir() and not path.is_symlink():
        yield from _entries(path, root, allowed)
    else:
        files, others = _sorted_out([path], root, allowed)
        yield from others
        for file in files:
            yield _file_entry(file, printable(file.relative_to(root)))


def _entries(folder: Path, root: Path, allowed: Sequence[Path]) -> Iterator[Entry]:
    name = printable(folder.relative_to(root))
    try:
        with os.scandir(folder) as listing:
            items = sorted(listing, key=lambda item: item.name)
    except OSError as error:
        yield Entry(name, (), reason=f"cannot be listed: {error.strerror}")
        return
    container = ""
    if any(item.name in arrays.ZARR for item in items):
        container = "array"
    elif any(item.name == lerobot.INFO.parts[0] for item in items) and lerobot.is_dataset(folder):
        container = "lerobot"
    if container:
        files, refused = _all_files(folder, root, allowed)
        yield from refused
        yield Entry(name, tuple(files), container=container, place=folder)
        return
    files = [Path(item.path) for item in items if _is_plain(item)]
    linked, others = _sorted_out([Path(item.path) for item in items if not _is_plain(item)], root, allowed)
    files += linked
    for other in others:
        if other.place is not None:  # a folder in this one
            yield from _entries(other.place, root, allowed)
        else:
            yield other
    stills = [path for path in files if is_image(path) and not holds_several(path)]
    try:
        images = numbered(stills)
    except VideoError as error:
        yield Entry(name, (), is_sequence=True, reason=str(error))
        images = stills
    else:
        if images:
            yield Entry(name, tuple(images), is_sequence=True, place=folder)
    in_sequence = set(images)
    above = "" if folder == root else f"{name}/"
    for path in files:
        if path not in in_sequence:
            yield _file_entry(path, f"{above}{printable(path.name)}")


def _is_plain(item: os.DirEntry[str]) -> bool:
    """Whether the listing itself says that this is a file to be opened, as it does of most."""
    try:
        return item.is_file(follow_symlinks=False) and not item.name.startswith(".")
    except OSError:  # the listing does not say so, and the file does not
        return False


def _file_entry(path: Path, name: str) -> Entry:
    if path.suffix.lower() in arrays.FILES:
        return Entry(name, (path,), container="array")
    return Entry(name, (path,), part=Part(reader="stack", path=str(path)) if is_stack(path) else None)


def _sorted_out(paths: Iterable[Path], root: Path, allowed: Sequence[Path]) -> tuple[list[Path], list[Entry]]:
    """The files among `paths` that may be opened; and entries for all else, folders with `place`."""
    files, others = [], []

    def refuse(path: Path, reason: str, is_hidden: bool = False) -> None:
        others.append(Entry(printable(path.relative_to(root)), (), reason=reason, is_hidden=is_hidden))

    for path in paths:
        try:
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                if reason := why_not_followed(path, allowed):
                    refuse(path, reason)
                    continue
                mode = path.stat().st_mode
        except OSError as error:
            refuse(path, f"cannot be read: {error.strerror}")
            continue
        if stat.S_ISDIR(mode):
            if path.name.startswith("."):  # of git, git-annex and data set hubs: copies of what is beside it
                refuse(path, "hidden folder", is_hidden=True)
            else:
                others.append(Entry(printable(path.relative_to(root)), (), place=path))
        elif not stat.S_ISREG(mode):
            refuse(path, "a pipe, a device or a socket, not a file")
        elif path.name.startswith("."):
            refuse(path, "hidden file", is_hidden=True)
        else:
            files.append(path)
    return files, others


def _all_files(folder: Path, root: Path, allowed: Sequence[Path]) -> tuple[list[Path], list[Entry]]:
    """Every file under a folder that is read as a whole, hidden ones too, and an entry for each that is refused."""
    files, refused = [], []
    for parent, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            path = Path(parent, name)
            reason = why_not_followed(path, allowed) if path.is_symlink() else ""
            if reason:
                refused.append(Entry(printable(path.relative_to(root)), (), reason=reason))
            elif path.is_file():
                files.append(path)
    return files, refused
