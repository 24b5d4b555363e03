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
from pipeline.sources.lists import Row, is_list, read_list
from pipeline.sources.part import Part

INSPECTORS = 2  # processes; a disk seldom feeds more
SOURCE, TARGET = "source", "target"  # folders in the index of a list with targets


def list_videos(videos: Path, roots: Sequence[str], cache: ContentCache, params: ExtractParams) -> list[Entry]:
    """An entry for each video of the folder, file or list `videos`, and for each file that is none; sorted by name.

    Arrays and data sets are looked into, by worker processes; what was found is kept in `cache`. Raises DataError where
    `videos` is a list with a mistake.
    """
    listed = list_rows(videos, roots) if is_list(videos) else list_folder(videos, roots)
    named = (replace(entry, name=f"{entry.name}{entry.fragment}") for entry in _looked_into(listed, cache, params))
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
    orders = [
        Order(
            entry.container,
            str(entry.source),
            [str(path) for path in entry.paths] if entry.place else [],
            params.array_axes,
            params.camera,
        )
        for entry in containers
    ]
    results: dict[int, Found] = {}
    with workers.local(task, min(INSPECTORS, len(orders))) as run:
        for number, result in run(orders):
            results[number] = Found([], str(result), False) if isinstance(result, workers.WorkerDied) else result
    for number in range(len(orders)):
        yield asdict(results[number])


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
