"""What in data.videos would stop DVC or the stage, looked for before either meets it; nothing is opened.

DVC reads every file of a folder that a stage depends on: a broken link ends it with an errno, a pipe keeps it waiting
for ever, and a name that is not UTF-8 is an error that it does not expect.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import DataError
from pipeline.ingest.paths import allowed_folders, printable, why_not_followed


@dataclass
class _Findings:
    """Paths by what is wrong with them."""

    broken: list[Path] = field(default_factory=list)
    special: list[Path] = field(default_factory=list)
    unreadable_names: list[Path] = field(default_factory=list)
    leaving: list[Path] = field(default_factory=list)
    num_usable: int = 0


def check(videos: Path, roots: Sequence[str]) -> None:
    """Raises DataError, one line for each kind of fault, where DVC could not read the folder `videos`.

    Links that lead to no allowed folder are a fault only where nothing else is in it: the stage leaves single ones out.
    """
    found = _look(videos, roots)
    lines = list(_stopping(found))
    if not found.num_usable:
        lines += _leaving(videos, found)
    if lines:
        raise DataError("\n".join(lines))


def faults(videos: Path, roots: Sequence[str]) -> Iterator[str]:
    """One line for each kind of thing in `videos` that cannot be read, or is left out because of where a link leads."""
    found = _look(videos, roots)
    yield from _stopping(found)
    yield from _leaving(videos, found)


def _look(videos: Path, roots: Sequence[str]) -> _Findings:
    found = _Findings()
    allowed = allowed_folders(Path(os.path.realpath(videos)), roots)
    paths = [videos] if os.path.lexists(videos) and not videos.is_dir() else []
    for parent, folders, names in os.walk(videos):
        folders.sort()
        paths += [Path(parent, name) for name in sorted([*names, *folders])]
    for path in paths:
        try:
            os.fsencode(path).decode()
        except UnicodeDecodeError:
            found.unreadable_names.append(path)
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            try:
                mode = path.stat().st_mode
            except OSError:  # nothing is there, or links in a circle
                found.broken.append(path)
                continue
            if path != videos and not stat.S_ISDIR(mode) and why_not_followed(path, allowed):
                found.leaving.append(path)
                continue
        if stat.S_ISREG(mode):
            found.num_usable += 1
        elif not stat.S_ISDIR(mode):
            found.special.append(path)
    return found


def _stopping(found: _Findings) -> Iterator[str]:
    if found.broken:
        target = printable(Path(os.readlink(found.broken[0])))  # noqa: PTH115 -- a loop has no resolved path
        yield (
            f"{_first(found.broken)}: a link to nothing ({target}){_more(found.broken)}; fetch what it leads to "
            "(git annex get, dvc pull, a hub's download), or remove it"
        )
    if found.special:
        yield (
            f"{_first(found.special)}: a pipe, a device or a socket, not a file{_more(found.special)}; DVC would wait "
            "for it: move it out of data.videos"
        )
    if found.unreadable_names:
        yield (
            f"{_first(found.unreadable_names)}: its name is not UTF-8, which DVC needs{_more(found.unreadable_names)}; "
            "rename it (convmv -f latin1 -t utf8)"
        )


def _leaving(videos: Path, found: _Findings) -> Iterator[str]:
    if not found.leaving:
        return
    targets = [os.path.realpath(path.parent / path.readlink().parent) for path in found.leaving]
    yield (
        f"{_first(found.leaving)}: a link that leads out of {videos}{_more(found.leaving)}; if you trust what is "
        f"there, name its folder in data.roots of params.yaml: {printable(Path(os.path.commonpath(targets)))}"
    )


def _first(paths: Sequence[Path]) -> str:
    return printable(paths[0])


def _more(paths: Sequence[Path]) -> str:
    return f", as are {len(paths) - 1} more" if len(paths) > 1 else ""
