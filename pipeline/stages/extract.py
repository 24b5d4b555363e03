"""Decodes every video into resized frames, chosen by their presentation times; what is known already is not redone."""

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from pipeline import stage
from pipeline.data.frames import COLUMNS, INDEX, array_is_whole, read_index, write_index
from pipeline.errors import PipelineError, VideoError
from pipeline.ingest import job, workers
from pipeline.ingest.cache import ContentCache
from pipeline.ingest.folder import Entry, scan
from pipeline.ingest.job import Job, Outcome
from pipeline.params import ExtractParams
from pipeline.video import content_hash, versions

logger = logging.getLogger(__name__)

# To be changed when the same file and parameters give other frames: every video is then decoded anew. Its first value
# is the hash that the code had until here, so that stores made before stay valid.
DECODING_VERSION = "08ff7ad137dabd731e8776e4b1509a21abcea62b0c804458a28faac618554ef6"
NOT_IN_RECIPE = {"on_error", "executor", "timeout_seconds", "max_memory_mb"}
MOST_REASONS = 5  # that one message tells
EXPECTED = ("hidden file", "same content as ")  # reasons that are nobody's mistake


def extract(videos: Path, frames: Path, *, extract: ExtractParams) -> None:
    """Decode every video in VIDEOS into resized frames under FRAMES."""
    if not videos.is_dir():
        raise PipelineError(f"{videos}: no such folder; data.videos in params.yaml names the folder of videos")
    frames.mkdir(parents=True, exist_ok=True)
    ledger = ContentCache(frames.parent / f".{frames.name}")
    with ledger.held():
        entries = scan(videos)
        if not entries:
            raise PipelineError(
                f"{videos}: holds no file; put videos there, or name another folder as data.videos in params.yaml"
            )
        hashes = content_hashes(entries, ledger)
        recipe = recipe_of(extract)
        outcomes = {
            sha256: outcome
            for sha256, outcome in (known_outcomes(frames, recipe) | journalled(ledger, recipe)).items()
            if not outcome.stored_frames
            or array_is_whole(frames / array_name(sha256, recipe), outcome.stored_frames, extract.size)
        }
        todo = {hashes[entry.name]: entry for entry in reversed(entries) if hashes[entry.name] not in outcomes}
        todo.pop("", None)
        logger.info("%d files under %s: %d to decode", len(entries), videos, len(todo))
        lost: dict[str, str] = {}
        # closed at once when the stage is to stop, so that no worker goes on
        with closing(decoded(todo, ledger, extract)) as results:
            for sha256, result in results:
                if isinstance(result, workers.WorkerDied):
                    lost[sha256] = str(result)
                else:
                    if result.stored_frames:
                        (ledger.parts / f"{sha256}.npy").replace(frames / array_name(sha256, recipe))
                    ledger.note(recipe, sha256, asdict(result))
                    outcomes[sha256] = result
                problem = lost.get(sha256) or outcomes[sha256].reason
                _stop_if_asked(videos, todo[sha256].name, problem, extract)
        rows = list(index_rows(entries, hashes, outcomes, lost, recipe))
        for row in rows:
            _stop_if_asked(videos, row["path"], row["reason"], extract)
        write_index(frames, rows)
        kept = {row["array"] for row in rows} | {INDEX}
        for path in sorted(frames.iterdir()):
            if path.name not in kept:
                path.unlink()
        ledger.forget()
    _stop_without_videos(videos, rows)
    counts = {name: sum(row["status"] == name for row in rows) for name in ("ok", "damaged", "skipped")}
    logger.info("%d videos, %d damaged, %d files skipped; %s says why", *counts.values(), frames / INDEX)


def content_hashes(entries: list[Entry], ledger: ContentCache) -> dict[str, str]:
    """The sha256 of each entry's content, by name; "" for one that is refused or cannot be read."""
    files = ledger.hashes([path for entry in entries for path in entry.paths])
    hashes = {}
    for entry in entries:
        own = [files[path] for path in entry.paths]
        if not own or not all(own):
            hashes[entry.name] = ""
        else:
            hashes[entry.name] = content_hash(entry.paths, own) if entry.is_sequence else own[0]
    return hashes


def recipe_of(params: ExtractParams) -> str:
    """A hash of what decides the frames of a given video: parameters, and the versions of ours and of the decoders."""
    parts = [
        params.model_dump(mode="json", exclude=NOT_IN_RECIPE),
        DECODING_VERSION,
        versions(),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def array_name(sha256: str, recipe: str) -> str:
    """The file in the store for the frames of the video with this content."""
    return f"{sha256[:32]}-{recipe}.npy"


def known_outcomes(frames: Path, recipe: str) -> dict[str, Outcome]:
    """What the index in `frames` knows of each content, as far as it was made by `recipe`."""
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


def journalled(ledger: ContentCache, recipe: str) -> dict[str, Outcome]:
    """What an interrupted run has found out."""
    return {sha256: Outcome(**outcome) for sha256, outcome in ledger.outcomes(recipe).items()}


def decoded(
    todo: dict[str, Entry], ledger: ContentCache, params: ExtractParams
) -> Generator[tuple[str, Outcome | workers.WorkerDied]]:
    """The outcome for each content in `todo`, as they are done; arrays are in the ledger's parts."""
    if not todo:
        return
    cores = len(os.sched_getaffinity(0))
    # where there are videos enough, processes of one thread each are the fastest; else twice as many threads as their
    # share of the cores, so that these have work while a picture is made
    threads = 1 if len(todo) >= cores else 2 * cores // len(todo)
    # the longest first, so that no worker is left alone with it at the end
    order = sorted(todo, key=lambda sha256: -sum(path.stat().st_size for path in todo[sha256].paths))
    jobs = [
        Job(
            paths=[str(path) for path in todo[sha256].paths],
            is_sequence=todo[sha256].is_sequence,
            array=str((ledger.parts / f"{sha256}.npy").absolute()),
            size=params.size,
            fit=params.fit,
            color=params.color,
            fps=params.fps,
            image_fps=params.image_fps,
            max_pixels=params.max_pixels,
            max_seconds=params.max_seconds,
            threads=threads,
        )
        for sha256 in order
    ]
    task = workers.Task(
        job.__name__,
        job.extract_video.__name__,
        Job.__name__,
        Outcome.__name__,
        params.timeout_seconds,
        params.max_memory_mb,
    )
    pool = workers.dask(task) if params.executor == "dask" else workers.local(task, min(cores, len(jobs)))
    with pool as run, tqdm(total=len(jobs), desc="extract", unit="video") as progress:
        for number, result in run(jobs):
            progress.update()
            yield order[number], result


def index_rows(
    entries: Iterable[Entry], hashes: dict[str, str], outcomes: dict[str, Outcome], lost: dict[str, str], recipe: str
) -> Iterator[dict[str, Any]]:
    """The rows of the index; of several entries with one content the first has the frames."""
    first: dict[str, str] = {}
    for entry in entries:
        sha256 = hashes[entry.name]
        row: dict[str, Any] = {"path": entry.name, "sha256": sha256, "array": "", "recipe": ""}
        if not sha256:
            row |= asdict(Outcome("skipped", entry.reason or "cannot be read"))
        elif sha256 in first:
            row |= asdict(Outcome("skipped", f"same content as {first[sha256]}"))
        elif sha256 in lost:
            # not kept for the next run: it may have been this machine's fault
            row |= asdict(Outcome("skipped", lost[sha256]))
        else:
            first[sha256] = entry.name
            outcome = outcomes[sha256]
            array = array_name(sha256, recipe) if outcome.stored_frames else ""
            row |= asdict(outcome) | {"array": array, "recipe": recipe}
        yield row


def _stop_without_videos(videos: Path, rows: list[dict[str, Any]]) -> None:
    if any(row["stored_frames"] for row in rows):
        return
    reasons = Counter(row["reason"] for row in rows).most_common()
    said = "; ".join(f"{count} x {reason}" for reason, count in reasons[:MOST_REASONS])
    more = "; …" if len(reasons) > MOST_REASONS else ""
    raise VideoError(
        f"{videos}: none of its {len(rows)} files is a video that can be read ({said}{more}); put videos there, "
        "or name another folder as data.videos in params.yaml"
    )


def _stop_if_asked(videos: Path, name: str, problem: str, params: ExtractParams) -> None:
    if problem and params.on_error == "fail" and not problem.startswith(EXPECTED):
        raise VideoError(f"{videos / name}: {problem}; remove it, or set extract.on_error to skip")


if __name__ == "__main__":
    stage.run(extract)
