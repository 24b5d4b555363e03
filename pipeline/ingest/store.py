"""What is written down about each content: outcomes that are known already, rows of the index, names of arrays."""

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.data.compressed import LAYOUT
from pipeline.data.frames import HASHES, INDEX, SUFFIXES, read_hashes, sound_rows, write_hashes, write_index
from pipeline.ingest.cache import ContentCache
from pipeline.ingest.contents import Content
from pipeline.ingest.folder import Entry
from pipeline.ingest.video_job import DECODING_VERSION, Outcome
from pipeline.params import ExtractParams
from pipeline.sources.extras import installed_versions
from pipeline.video import versions
from pipeline.video.opencv_decoding import PICTURES_VERSION

logger = logging.getLogger(__name__)

# parameters that change no frame, whatever reads it; and those that concern one reader
NOT_IN_RECIPE = {"on_error", "executor", "timeout_seconds", "max_memory_mb", "camera", "array_axes"}
NOT_IN_RECIPE |= {"store", "store_url"}
OF_READERS = {"video": {"decoder"}, "array": {"array_range"}, "stack": {"array_range"}}
LIBRARIES = {"array": ("numpy",), "stack": ("tifffile", "imagecodecs", "pillow")}


@dataclass(frozen=True)
class Recipes:
    """Hashes of what decides the frames of a given video: parameters, and the versions of our code and the readers."""

    by_reader: Mapping[str, str]  # see Content.reader
    suffix: str  # of the files that hold the frames


def recipes_of(params: ExtractParams) -> Recipes:
    """The recipes that `params` ask for."""
    recipes = {}
    for reader, own in OF_READERS.items():
        others = set().union(*OF_READERS.values()) - own
        parts: list[Any] = [
            params.model_dump(mode="json", exclude=NOT_IN_RECIPE | others),
            DECODING_VERSION,
            versions(),
        ]
        if reader in LIBRARIES:
            parts += [reader, installed_versions(*LIBRARIES[reader])]
        if reader == "video" and params.decoder != "pyav":
            parts.append(PICTURES_VERSION)
        if params.store != "arrays":  # the recipes of arrays are older than this key
            parts += [params.store, LAYOUT]
        recipes[reader] = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    return Recipes(recipes, SUFFIXES["remote" if params.store_url else params.store])


def array_name(content: Content, recipes: Recipes) -> str:
    """The file in the store for the frames of this content."""
    return f"{content.content_hash[:32]}-{recipes.by_reader[content.reader]}{recipes.suffix}"


def recall_outcomes(contents: Iterable[Content], frames: Path, cache: ContentCache, recipes: Recipes) -> None:
    """Set the outcome of each content that the store in `frames`, or an interrupted run, has a sound one of.

    An array is sound if it has the content hash that was written down with it; it is read again only where its inode,
    size or times changed. What is not sound is left to be decoded again, and said.
    """
    known = _indexed_outcomes(frames)
    for recipe in recipes.by_reader.values():
        for content_hash, (values, array_hash) in cache.recorded(recipe).items():
            known[content_hash, recipe] = Outcome(**values), array_hash
    keys = {content.content_hash: (content.content_hash, recipes.by_reader[content.reader]) for content in contents}
    recalled = [(content, *known[key]) for content in contents if (key := keys[content.content_hash]) in known]
    arrays = {
        content.content_hash: frames / array_name(content, recipes)
        for content, outcome, _ in recalled
        if outcome.stored_frames
    }
    hashes = cache.hashes(list(arrays.values()), "arrays")
    for content, outcome, array_hash in recalled:
        array = arrays.get(content.content_hash)
        if array is not None and hashes[array] != array_hash:
            what = "is damaged (its content hash differs)" if hashes[array] else "cannot be read"
            logger.warning("%s: %s; decoding %s again", array, what, content.entries[0].name)
        else:
            content.outcome, content.array_hash = outcome, array_hash


def _indexed_outcomes(frames: Path) -> dict[tuple[str, str], tuple[Outcome, str]]:
    """The outcomes in the index of `frames` and their arrays' hashes, by content hash and recipe."""
    rows, hashes = sound_rows(frames), read_hashes(frames)
    if (frames / INDEX).is_file() and not hashes["rows"]:
        logger.warning("%s: is missing or damaged: every video is decoded again", frames / HASHES)
    elif damaged := len(hashes["rows"]) - len(rows):
        logger.warning("%s: %d of its rows are damaged: their videos are decoded again", frames / INDEX, damaged)
    return {
        (row["sha256"], row["recipe"]): (_outcome(row), hashes["arrays"].get(row["array"], ""))
        for row in rows
        if row["recipe"]
    }


def _outcome(row: dict[str, Any]) -> Outcome:
    return Outcome(**{name: row[name] for name in Outcome.__dataclass_fields__})


def write_store(
    frames: Path, rows: list[dict[str, Any]], contents: Iterable[Content], others: Mapping[str, str]
) -> None:
    """Write the index of `frames`, then the content hashes of all, and remove the files that nothing names.

    `others` are the content hashes of files that are there and that no row names, by file.
    """
    hashes = {content.content_hash: content.array_hash for content in contents}
    write_index(frames, rows)
    known = {row["array"]: hashes[row["sha256"]] for row in rows if row["array"]} | dict(others)
    write_hashes(frames, known)
    _remove_unused(frames, known)


def refusals(entries: Iterable[Entry], contents: Iterable[Content]) -> Iterator[tuple[str, str]]:
    """(name, reason) of each entry that has no frames or not all, and should; hidden files and copies need none."""
    outcomes = {content.entries[0].name: content.outcome for content in contents}
    copies = {entry.name for content in contents for entry in content.entries[1:]}
    for entry in entries:
        outcome = outcomes.get(entry.name) or Outcome("skipped", entry.reason or "cannot be read")
        if outcome.reason and not entry.is_hidden and entry.name not in copies:
            yield entry.name, outcome.reason


def index_rows(entries: Iterable[Entry], contents: Iterable[Content], recipes: Recipes) -> list[dict[str, Any]]:
    """One row per entry, in their order; of several entries with one content the first has the frames."""
    rows = {row["path"]: row for content in contents for row in _rows(content, recipes)}
    return [
        rows.get(entry.name) or _row(entry, "", Outcome("skipped", entry.reason or "cannot be read"))
        for entry in entries
    ]


def _rows(content: Content, recipes: Recipes) -> Iterator[dict[str, Any]]:
    outcome = content.outcome
    assert outcome is not None
    first, *copies = content.entries
    if content.lost_worker:
        yield from (_row(entry, content.content_hash, outcome) for entry in content.entries)
        return
    array = array_name(content, recipes) if outcome.stored_frames else ""
    yield _row(first, content.content_hash, outcome, array, recipes.by_reader[content.reader])
    for entry in copies:
        yield _row(entry, content.content_hash, Outcome("skipped", f"same content as {first.name}"))


def _row(entry: Entry, content_hash: str, outcome: Outcome, array: str = "", recipe: str = "") -> dict[str, Any]:
    return {
        "path": entry.name,
        "sha256": content_hash,
        **vars(outcome),
        "array": array,
        "recipe": recipe,
        "split": entry.split,
    }


def _remove_unused(frames: Path, used: Iterable[str]) -> None:
    """Remove the files in `frames` that are not `used`."""
    kept = {*used, INDEX, HASHES}
    with os.scandir(frames) as listing:
        others = sorted({item.name for item in listing} - kept)
    for name in others:
        (frames / name).unlink()
