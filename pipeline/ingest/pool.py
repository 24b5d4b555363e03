"""Which videos are decoded when, and with how many threads, by the local processes or a Dask cluster."""

from collections.abc import Generator, Sequence
from pathlib import Path

from pipeline.ingest import video_job, workers
from pipeline.ingest.cache import ContentCache
from pipeline.ingest.contents import Content
from pipeline.ingest.folder import Entry
from pipeline.ingest.video_job import Job, Outcome
from pipeline.params import ExtractParams
from pipeline.runtime.cores import usable_cores
from pipeline.runtime.progress import watched


def decode_all(
    contents: Sequence[Content], cache: ContentCache, params: ExtractParams
) -> Generator[tuple[Content, Outcome | workers.WorkerDied]]:
    """Each content with its outcome, as they are done; the arrays are in the cache, see `part`."""
    if not contents:
        return
    cores = usable_cores()
    # where there are videos enough, processes of one thread each are the fastest; else twice as many threads as their
    # share of the cores, so that these have work while a picture is converted
    threads = 1 if len(contents) >= cores else 2 * cores // len(contents)
    # the longest first, so that no worker is left alone with it at the end
    order = sorted(contents, key=lambda content: -_size(content))
    jobs = [
        job_for(content.entries[0], params, array=cache.part(content.content_hash).absolute(), threads=threads)
        for content in order
    ]
    task = workers.Task(
        video_job.__name__,
        video_job.extract_video.__name__,
        Job.__name__,
        Outcome.__name__,
        params.timeout_seconds,
        params.max_memory_mb,
    )
    pool = workers.dask(task) if params.executor == "dask" else workers.local(task, min(cores, len(jobs)))
    with pool as run:
        for number, result in watched(run(jobs), len(jobs), "extract", "videos"):
            yield order[number], result


def _size(content: Content) -> int:
    part = content.entries[0].part
    if part and part.number is not None:
        return 0  # one of many of a kind: the file's size says nothing of it
    return sum(path.stat().st_size for path in content.paths)


def job_for(entry: Entry, params: ExtractParams, *, array: Path, threads: int) -> Job:
    """To decode the video of `entry` into `array`, as `params` say."""
    is_video = entry.part is None or entry.part.reader == "video"
    return Job(
        paths=[str(path) for path in entry.paths] if is_video else [str(entry.source)],
        is_sequence=entry.is_sequence,
        array=str(array),
        size=params.size,
        fit=params.fit,
        color=params.color,
        decoder=params.decoder,
        fps=params.fps,
        image_fps=params.image_fps,
        max_pixels=params.max_pixels,
        max_seconds=params.max_seconds,
        threads=threads,
        part=entry.part,
        array_range=params.array_range,
        start_seconds=entry.start_seconds,
        stop_seconds=entry.stop_seconds,
        store=params.store,
    )
