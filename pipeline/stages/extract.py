"""Decodes every video into resized frames, chosen by their presentation times; what is known already is not redone."""

import gc
import logging
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from pipeline import stage
from pipeline.data import compressed
from pipeline.data.frames import INDEX
from pipeline.errors import PipelineError, VideoError
from pipeline.ingest import workers
from pipeline.ingest.cache import ContentCache
from pipeline.ingest.contents import content_hashes, group_by_content
from pipeline.ingest.listing import list_videos
from pipeline.ingest.placing import LocalFrames, UploadedFrames
from pipeline.ingest.pool import decode_all
from pipeline.ingest.store import index_rows, recall_outcomes, recipes_of, refusals, write_store
from pipeline.ingest.video_job import Outcome
from pipeline.ingest.workers import WorkerDied
from pipeline.params import DataParams, ExtractParams

logger = logging.getLogger(__name__)

MOST_REASONS = 5  # that one message lists


def extract(frames: Path, *, data: DataParams, extract: ExtractParams) -> None:
    """Decode every video that data.videos of params.yaml names into resized frames under FRAMES."""
    videos = Path(data.videos)
    if not (videos.is_dir() or videos.is_file()):
        raise PipelineError(f"{videos}: no such folder; data.videos in params.yaml names the folder of videos")
    if extract.store == "compressed":
        compressed.codec()  # its package is asked for before any work
    frames.mkdir(parents=True, exist_ok=True)
    cache = ContentCache(frames.parent / f".{frames.name}")
    recipes = recipes_of(extract)
    place = LocalFrames(frames, cache, recipes)
    with cache.lock():
        if extract.store_url is not None:
            place = UploadedFrames(extract.store_url, frames, cache, recipes)
        entries = list_videos(videos, data.roots, cache, extract)
        if not entries:
            raise PipelineError(
                f"{videos}: holds no file; put videos there, or name another folder as data.videos in params.yaml"
            )
        hashes = content_hashes(entries, cache)
        contents = group_by_content(entries, hashes)
        recall_outcomes(contents, frames, cache, recipes)
        place.check(contents)
        to_decode = [content for content in contents if content.outcome is None]
        logger.info("%d files under %s: %d to decode", len(entries), videos, len(to_decode))

        # closed at once when the stage is to stop, so that no worker goes on
        with closing(decode_all(to_decode, cache, extract)) as results, closing(place.placed(results)) as placed:
            for content, result in placed:
                if isinstance(result, WorkerDied):
                    content.outcome, content.lost_worker = Outcome("skipped", str(result)), True
                else:
                    recipe = recipes.by_reader[content.reader]
                    cache.record(recipe, content.content_hash, vars(result), content.array_hash)
                    content.outcome = result
                _stop_if_asked(videos / content.entries[0].name, content.outcome.reason, extract)
        for name, reason in refusals(entries, contents):
            _stop_if_asked(videos / name, reason, extract)

        rows = index_rows(entries, contents, recipes)
        write_store(frames, rows, contents, place.finish(row["array"] for row in rows if row["array"]))
        cache.clear_records()
    _stop_without_videos(videos, rows)
    counts = {name: sum(row["status"] == name for row in rows) for name in ("ok", "damaged", "skipped")}
    logger.info("%d videos, %d damaged, %d files skipped; %s says why", *counts.values(), frames / INDEX)


def _stop_if_asked(path: Path, reason: str, params: ExtractParams) -> None:
    if reason and params.on_error == "fail":
        raise VideoError(f"{path}: {reason}; remove it, or set extract.on_error to skip")


def _stop_without_videos(videos: Path, rows: list[dict[str, Any]]) -> None:
    if any(row["stored_frames"] for row in rows):
        return
    reasons = Counter(row["reason"] for row in rows).most_common()
    listed = "; ".join(f"{count} x {reason}" for reason, count in reasons[:MOST_REASONS])
    more = "; …" if len(reasons) > MOST_REASONS else ""
    raise VideoError(
        f"{videos}: none of its {len(rows)} files is a video that can be read ({listed}{more}); put videos there, "
        "or name another folder as data.videos in params.yaml"
    )


if __name__ == "__main__":
    gc.disable()  # it would look again and again through what is known of ten thousands of videos, and find nothing
    with workers.spare():
        stage.run(extract)
