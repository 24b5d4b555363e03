"""Puts decoded frames where they belong: into the frame store, or as an object at extract.store_url."""

import logging
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from pipeline.data.compressed import CompressedFrames
from pipeline.data.object_storage import ObjectStorage
from pipeline.data.remote_frames import (
    ChunkCache,
    cache_folder,
    object_name,
    read_place,
    write_place,
    write_remote_index,
)
from pipeline.ingest.cache import ContentCache
from pipeline.ingest.contents import Content
from pipeline.ingest.store import Recipes, array_name
from pipeline.ingest.video_job import Outcome
from pipeline.ingest.workers import WorkerDied
from pipeline.runtime.hashing import file_content_hash

logger = logging.getLogger(__name__)

UPLOADS = 8  # at a time
Result = tuple[Content, Outcome | WorkerDied]
Results = Generator[Result]


class LocalFrames:
    """The frame store holds the frames themselves."""

    def __init__(self, frames: Path, cache: ContentCache, recipes: Recipes) -> None:
        self._frames, self._cache, self._recipes = frames, cache, recipes

    def check(self, contents: Iterable[Content]) -> None:
        """What is known has been checked already."""

    def placed(self, results: Results) -> Results:
        """The results of decoding, each when its frames are in their place."""
        for content, result in results:
            if isinstance(result, Outcome) and result.stored_frames:
                part = self._cache.part(content.content_hash)
                content.array_hash = file_content_hash(part)
                part.replace(self._frames / array_name(content, self._recipes))
            yield content, result

    def finish(self, arrays: Iterable[str]) -> dict[str, str]:
        """Content hashes of the files that belong to the store beside `arrays` and its index: none."""
        return {}


class UploadedFrames(LocalFrames):
    """The frames are objects, and the frame store has the index of their chunks."""

    def __init__(self, url: str, frames: Path, cache: ContentCache, recipes: Recipes) -> None:
        """Raises DataError where `url` is no address or cannot be reached."""
        super().__init__(frames, cache, recipes)
        self._objects = ObjectStorage(url)
        self._sizes = self._objects.sizes()

    def check(self, contents: Iterable[Content]) -> None:
        """Forget what is known of contents whose objects are missing, or of another size."""
        place = read_place(self._frames)
        known = place.sizes if place else {}
        lost = 0
        for content in contents:
            if content.outcome is None or not content.outcome.stored_frames:
                continue
            name = object_name(Path(array_name(content, self._recipes)))
            if name not in self._sizes or known.get(name, self._sizes[name]) != self._sizes[name]:
                content.outcome, lost = None, lost + 1
        if lost:
            logger.warning("%s: lacks the frames of %d videos that were there; decoding them", self._objects.url, lost)

    def placed(self, results: Results) -> Results:
        """The results of decoding, each when its frames have been uploaded; some are uploaded at a time."""
        pending: deque[tuple[Result, Future[None] | None]] = deque()
        executor = ThreadPoolExecutor(UPLOADS)
        try:
            for content, result in results:
                has_frames = isinstance(result, Outcome) and result.stored_frames
                upload = executor.submit(self._upload, content) if has_frames else None
                pending.append(((content, result), upload))
                while len(pending) > 2 * UPLOADS or _is_done(pending[0][1]):
                    yield _first(pending)
                    if not pending:
                        break
            while pending:
                yield _first(pending)
        finally:
            executor.shutdown(cancel_futures=True)

    def _upload(self, content: Content) -> None:
        part, chunks = self._cache.part(content.content_hash), self._frames / array_name(content, self._recipes)
        name = object_name(chunks)
        self._objects.upload(part, name)
        self._sizes[name] = part.stat().st_size
        write_remote_index(chunks, CompressedFrames(part))
        content.array_hash = file_content_hash(chunks)
        part.unlink()

    def finish(self, arrays: Iterable[str]) -> dict[str, str]:
        """Write remote.json for the frames of `arrays`; returns its content hash."""
        names = [object_name(Path(name)) for name in arrays]
        path = write_place(self._frames, self._objects.url, {name: self._sizes[name] for name in names})
        ChunkCache(cache_folder(self._frames)).keep_only(names)
        return {path.name: file_content_hash(path)}


def _is_done(upload: Future[None] | None) -> bool:
    return upload is None or upload.done()


def _first(
    pending: deque[tuple[Result, Future[None] | None]],
) -> Result:
    result, upload = pending.popleft()
    if upload is not None:
        upload.result()
    return result
