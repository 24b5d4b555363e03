"""One video to one array of frames: the pure part of extraction, which runs in a worker process of its own."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pipeline.data.arrays import Frames, write_array
from pipeline.errors import DamagedVideo, VideoError
from pipeline.video.decoding import DecodedFrame, decode
from pipeline.video.pictures import FrameConverter
from pipeline.video.reading import Report, read_resized
from pipeline.video.sequences import decode_images
from pipeline.video.skipping import CannotSkip

MIN_FRAMES = 2  # one frame is a picture, not a video


@dataclass(frozen=True)
class Job:
    """A video and what is wanted of it."""

    paths: list[str]  # the file, or the images of a sequence in their order
    is_sequence: bool
    array: str  # where the frames go
    size: tuple[int, int]  # (height, width), pixels
    fit: str  # crop | pad | stretch
    color: str  # gray | rgb
    fps: float | None  # frames kept a second; None: all
    image_fps: float  # images of a sequence a second
    max_pixels: int
    max_seconds: float
    threads: int  # of the decoder


@dataclass(frozen=True)
class Outcome:
    """What became of a video; nothing in it depends on the name of a file."""

    status: str  # ok | damaged | skipped
    reason: str
    num_frames: int | None = None  # of the source
    fps: float | None = None
    height: int | None = None
    width: int | None = None
    duration_seconds: float | None = None
    codec: str = ""
    stored_frames: int = 0


def extract_video(job: Job, complaints: Callable[[], int]) -> Outcome:
    """Write the frames of one video as `job` says; `complaints` counts what the decoder has complained of so far.

    Damage is where one thread meets it, whatever the number of threads, so that the result is the same everywhere.
    """
    before = complaints()
    if job.fps is not None and not job.is_sequence:
        # fewer frames have to be decoded, if all is well
        try:
            outcome = _extract(job, job.threads, complaints, job.fps)
        except CannotSkip:
            pass
        else:
            if outcome.status == "ok" and complaints() == before:
                return outcome
    before = complaints()
    outcome = _extract(job, job.threads, complaints)
    if job.threads > 1 and (outcome.status != "ok" or complaints() > before):
        outcome = _extract(job, 1, complaints)
    return outcome


def _extract(job: Job, threads: int, complaints: Callable[[], int], wanted_fps: float | None = None) -> Outcome:
    report = Report()
    status, reason = "ok", ""
    look = FrameConverter(job.size, job.fit, job.color)
    array = Path(job.array)

    def images() -> Iterator[Frames]:
        nonlocal status, reason
        with closing(_frames(job, threads, complaints, wanted_fps)) as frames:
            try:
                yield from read_resized(frames, look, job.fps, report)
            except DamagedVideo as error:
                status, reason = "damaged", _without_folder(job, error)

    try:
        stored = write_array(array, images())
    except VideoError as error:
        return Outcome("skipped", _without_folder(job, error))
    if report.num_frames < MIN_FRAMES:
        array.unlink(missing_ok=True)
        return Outcome("skipped", reason or "too few frames: one picture is no video", report.num_frames)
    return Outcome(
        status,
        reason,
        report.num_frames,
        report.num_frames / report.duration_seconds if report.duration_seconds else None,
        report.height,
        report.width,
        report.duration_seconds,
        report.codec,
        stored,
    )


def _frames(job: Job, threads: int, complaints: Callable[[], int], wanted_fps: float | None) -> Generator[DecodedFrame]:
    if job.is_sequence:
        paths = [Path(path) for path in job.paths]
        return decode_images(paths, fps=job.image_fps, max_pixels=job.max_pixels)
    return decode(
        Path(job.paths[0]),
        threads=threads,
        max_pixels=job.max_pixels,
        max_seconds=job.max_seconds,
        complaints=complaints if threads == 1 else lambda: 0,
        wanted_fps=wanted_fps,
    )


def _without_folder(job: Job, error: VideoError) -> str:
    if job.is_sequence:
        return str(error).removeprefix(f"{Path(job.paths[0]).parent}/")
    return str(error).removeprefix(f"{job.paths[0]}: ")
