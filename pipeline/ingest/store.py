"""What is written down about each content: outcomes that are known already, rows of the index, names of arrays."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.data.frames import COLUMNS, INDEX, array_is_whole, read_index
from pipeline.ingest.cache import ContentCache
from pipeline.ingest.contents import Content
from pipeline.ingest.folder import Entry
from pipeline.ingest.video_job import DECODING_VERSION, Outcome
from pipeline.params import ExtractParams
from pipeline.video import versions

NOT_IN_RECIPE = {"on_error", "executor", "timeout_seconds", "max_memory_mb"}  # parameters that change no frame


def recipe_of(params: ExtractParams) -> str:
    """A hash of what decides the frames of a given video: parameters, and the versions of our code and the decoders."""
    parts = [
        params.model_dump(mode="json", exclude=NOT_IN_RECIPE),
        DECODING_VERSION,
        versions(),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def array_name(content: Content, recipe: str) -> str:
    """The file in the store for the frames of this content."""
    return f"{content.content_hash[:32]}-{recipe}.npy"


def recall_outcomes(
    contents: Iterable[Content], frames: Path, cache: ContentCache, recipe: str, size: tuple[int, int]
) -> None:
    """Set the outcome of each content that the store in `frames`, or an interrupted run, has one of, with its array."""
    known = _indexed_outcomes(frames, recipe)
    known |= {content_hash: Outcome(**outcome) for content_hash, outcome in cache.recorded(recipe).items()}
    for content in contents:
        outcome = known.get(content.content_hash)
        if outcome is not None and (
            not outcome.stored_frames
            or array_is_whole(frames / array_name(content, recipe), outcome.stored_frames, size)
        ):
            content.outcome = outcome


def _indexed_outcomes(frames: Path, recipe: str) -> dict[str, Outcome]:
    """The outcomes in the index of `frames`, by content hash, as far as they were made by `recipe`."""
    if not (frames / INDEX).is_file():
        return {}
    try:
        index = read_index(frames)
    except ValueError:  # not ours
        return {}
    if not set(COLUMNS) <= set(index):  # of an earlier version
        return {}
    known = {}
    for row in index[index["recipe"] == recipe].to_dict("records"):
        values: dict[str, Any] = {name: row[name] for name in Outcome.__dataclass_fields__}
        values = {name: None if pd.isna(value) else value for name, value in values.items()}
        known[row["sha256"]] = Outcome(**values)
    return known


def refusals(entries: Iterable[Entry], contents: Iterable[Content]) -> Iterator[tuple[str, str]]:
    """(name, reason) of each entry that has no frames or not all, and should; hidden files and copies need none."""
    outcomes = {content.entries[0].name: content.outcome for content in contents}
    copies = {entry.name for content in contents for entry in content.entries[1:]}
    for entry in entries:
        outcome = outcomes.get(entry.name) or Outcome("skipped", entry.reason or "cannot be read")
        if outcome.reason and not entry.is_hidden and entry.name not in copies:
            yield entry.name, outcome.reason


def index_rows(entries: Iterable[Entry], contents: Iterable[Content], recipe: str) -> list[dict[str, Any]]:
    """One row per entry, in their order; of several entries with one content the first has the frames."""
    rows = {row["path"]: row for content in contents for row in _rows(content, recipe)}
    return [
        rows.get(entry.name) or _row(entry, "", Outcome("skipped", entry.reason or "cannot be read"))
        for entry in entries
    ]


def _rows(content: Content, recipe: str) -> Iterator[dict[str, Any]]:
    outcome = content.outcome
    assert outcome is not None
    first, *copies = content.entries
    if content.lost_worker:
        yield from (_row(entry, content.content_hash, outcome) for entry in content.entries)
        return
    array = array_name(content, recipe) if outcome.stored_frames else ""
    yield _row(first, content.content_hash, outcome, array, recipe)
    for entry in copies:
        yield _row(entry, content.content_hash, Outcome("skipped", f"same content as {first.name}"))


def _row(entry: Entry, content_hash: str, outcome: Outcome, array: str = "", recipe: str = "") -> dict[str, Any]:
    return {"path": entry.name, "sha256": content_hash, **asdict(outcome), "array": array, "recipe": recipe}


def remove_unused(frames: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Remove the files in `frames` that no row names."""
    kept = {row["array"] for row in rows} | {INDEX}
    for path in sorted(frames.iterdir()):
        if path.name not in kept:
            path.unlink()
