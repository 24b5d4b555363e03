"""Every video that data.videos names: of its files and folders, of the arrays and data sets in it, of a list."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pipeline.ingest import inspection, workers
from pipeline.ingest.cache import ContentCache
from pipeline.ingest.folder import Entry, entries_at, list_folder
from pipeline.ingest.inspection import Found, Order
from pipeline.ingest.paths import allowed_folders, printable
from pipeline.params import ExtractParams
from pipeline.sources.levels import Range
from pipeline.sources.lists import Row, is_list, read_list
from pipeline.sources.part import Part

INSPECTORS = 2  # processes; a disk seldom feeds more
READ_BYTES = 2**28  # of an array that is read whole only to say what it is
SOURCE, TARGET = "source", "target"  # folders in the index of a list with targets


def list_videos(videos: Path, roots: Sequence[str], cache: ContentCache, params: ExtractParams) -> list[Entry]:
    """An entry for each video of the folder, file or list `videos`, and for each file that is none; sorted by name.

    Arrays and data sets are looked into, by worker processes; what was found is kept in `cache`. Raises DataError where
    `videos` is a list with a mistake.
    """
    return _sorted(_looked_into(_listed(videos, roots), cache, params))


def list_here(
    videos: Path,
    *,
    roots: Sequence[str] = (),
    axes: str | None = None,
    camera: str | None = None,
    levels: Range | None = None,
) -> list[Entry]:
    """As list_videos, by this process and at once: nothing is hashed or kept, of large arrays only some values read.

    `roots` is data.roots; `axes`, `camera` and `levels` are extract.array_axes, extract.camera and extract.array_range.
    """
    entries: list[Entry] = []
    for entry in _listed(videos, roots):
        if not entry.container:
            entries.append(entry)
            continue
        is_quick = entry.container == "lerobot" or sum(path.stat().st_size for path in entry.paths) > READ_BYTES
        order = _order(entry, axes, camera)
        entries += _parts(entry, asdict(inspection.inspect(replace(order, is_quick=is_quick), lambda: None, lambda: 0)))
    return _sorted(entries if levels is None else [_with_levels(entry, levels) for entry in entries])


def _with_levels(entry: Entry, levels: Range) -> Entry:
    """The entry, black and white of its pictures being `levels`, where its values do not say so."""
    part = entry.part
    if part is None or part.reader == "video" or (part.reader == "array" and not part.reason):
        return entry
    return replace(entry, part=replace(part, value_range=(levels[0], levels[1]), reason=""))


def _listed(videos: Path, roots: Sequence[str]) -> list[Entry]:
    return list_rows(videos, roots) if is_list(videos) and videos.is_file() else list_folder(videos, roots)


def _sorted(entries: Iterable[Entry]) -> list[Entry]:
    named = (replace(entry, name=f"{entry.name}{entry.fragment}") if entry.fragment else entry for entry in entries)
    return sorted(named, key=lambda entry: entry.name)


def list_rows(path: Path, roots: Sequence[str]) -> list[Entry]:
    """The entries of the list at `path`, each once: the files of its rows, the part of each that counts, its split.

    Of rows with targets those of the targets too, in folders of their own. Raises DataError as read_list does.
    """
    root = Path(os.path.realpath(path.parent))
    allowed = allowed_folders(root, roots)
    entries: dict[str, Entry] = {}
    for row in read_list(path):
        name = _name(row.path, root)
        pair = {SOURCE: row.path, TARGET: row.target} if row.target else {"": row.path}
        for folder, file in pair.items():
            for entry in _of_row(file, "/".join(filter(None, (folder, name))), row, root, allowed):
                entries.setdefault(f"{entry.name}{entry.fragment}", entry)
    return list(entries.values())


def _of_row(file: str, name: str, row: Row, root: Path, allowed: Sequence[Path]) -> Iterator[Entry]:
    """The entries of one file of a row; those of a folder lie below `name`."""
    path = Path(os.path.normpath(root / file))
    real = Path(os.path.realpath(path))
    if not any(real.is_relative_to(folder) for folder in allowed):
        yield Entry(name, (), reason="lies outside the list's folder, and nowhere under data.roots of params.yaml")
        return
    for entry in entries_at(path, path.parent, allowed):
        below = entry.name.removeprefix(printable(Path(path.name))).removeprefix("/")
        yield replace(
            entry,
            name="/".join(filter(None, (name, below))),
            fragment=_fragment(row.start_seconds, row.stop_seconds),
            start_seconds=row.start_seconds,
            stop_seconds=row.stop_seconds,
            split=row.split,
        )


def _name(path: str, root: Path) -> str:
    whole = Path(os.path.normpath(root / path))
    relative = whole.relative_to(root) if whole.is_relative_to(root) else whole.relative_to(whole.anchor)
    return printable(relative)


def _fragment(*seconds: float | None) -> str:
    """The part of a video from a second to another, as W3C's media fragments write it: #t=1.5,3."""
    start, stop = ("" if each is None else repr(each).removesuffix(".0") for each in seconds)
    return f"#t={start},{stop}".removesuffix(",") if start or stop else ""


def _looked_into(entries: Iterable[Entry], cache: ContentCache, params: ExtractParams) -> Iterator[Entry]:
    """`entries`, in place of each container those of the videos in it."""
    entries = list(entries)
    containers = {_key(entry, params): entry for entry in entries if entry.container}
    found = cache.remembered(
        {key: list(entry.paths) for key, entry in containers.items()},
        "parts",
        lambda keys: _inspected([containers[key] for key in keys], params),
        lambda result: bool(result["is_final"]),
    )
    for entry in entries:
        if entry.container:
            yield from _parts(entry, found.get(_key(entry, params)) or {"parts": [], "reason": "cannot be read"})
        else:
            yield entry


def _key(entry: Entry, params: ExtractParams) -> str:
    return f"{entry.container} {params.camera if entry.container == 'lerobot' else params.array_axes} {entry.source}"


def _inspected(containers: Sequence[Entry], params: ExtractParams) -> Iterator[dict[str, Any]]:
    task = workers.Task(
        inspection.__name__,
        inspection.inspect.__name__,
        Order.__name__,
        Found.__name__,
        params.timeout_seconds,
        params.max_memory_mb,
    )
    orders = [_order(entry, params.array_axes, params.camera) for entry in containers]
    results: dict[int, Found] = {}
    with workers.local(task, min(INSPECTORS, len(orders))) as run:
        for number, result in run(orders):
            results[number] = Found([], str(result), False) if isinstance(result, workers.WorkerDied) else result
    for number in range(len(orders)):
        yield asdict(results[number])


def _order(entry: Entry, axes: str | None, camera: str | None) -> Order:
    files = [str(path) for path in entry.paths] if entry.place else []
    return Order(entry.container, str(entry.source), files, axes, camera)


def _parts(entry: Entry, found: dict[str, Any]) -> Iterator[Entry]:
    """An entry for each video that was found in the container `entry`, and one for what could not be read of it."""
    if found["reason"]:
        yield replace(entry, paths=(), container="", place=None, reason=found["reason"])
    for values in found["parts"]:
        part = Part(**values)
        above = "" if entry.name == "." else entry.name
        named = replace(
            entry,
            name="/".join(filter(None, (above, part.name and printable(Path(part.name))))) or ".",
            container="",
            part=part,
            split=entry.split or part.split,
        )
        if part.reader == "video":
            named = replace(
                named,
                paths=() if part.reason else (Path(part.path),),
                place=None,
                reason=part.reason,
                start_seconds=part.start_seconds,
                stop_seconds=part.stop_seconds,
                fragment="",
            )
        yield named
