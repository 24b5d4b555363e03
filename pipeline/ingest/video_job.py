"""One video to one array of frames, in a worker process; all code that decides a frame is imported from here."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data.arrays import Frames, write_array
from pipeline.errors import DamagedVideo, VideoError
from pipeline.sources.part import Part, TimedPicture
from pipeline.video.decoding import decode
from pipeline.video.frame_conversion import PictureFormat
from pipeline.video.image_sequences import decode_images
from pipeline.video.opencv_decoding import NotByOpenCV, decode_with_opencv
from pipeline.video.presentation_times import DecodedFrame, StampsGoBack
from pipeline.video.reading import Report, read_resized
from pipeline.video.segments import between
from pipeline.video.subsampling import CannotSkip

# To be changed when the same file and parameters may result in other frames: every video is then decoded anew. The
# first value is the hash that the code had when this constant was introduced; changing it only costs that decoding.
DECODING_VERSION = "59a10168ac93bcae73e54f3aa04ac7b9e6103af56e9fa6923e09b13aa0435b19"
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
    fps: float | None  # frames kept per second; None: all
    image_fps: float  # images of a sequence per second
    max_pixels: int
    max_seconds: float
    threads: int  # of the decoder
    part: Part | None = None  # which of the videos in the file; how it is read, if not as a video
    array_range: tuple[float, float] | None = None  # black and white of arrays; None: as their values suggest
    decoder: str = "pyav"  # auto | opencv | pyav
    start_seconds: float | None = None  # what of the video counts; a half-open range
    stop_seconds: float | None = None
    store: str = "arrays"  # arrays | compressed

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))  # a job comes to a worker as JSON, which makes it a list
        values: Any = self.part
        if isinstance(values, dict):
            object.__setattr__(self, "part", Part(**values))

    @property
    def is_array(self) -> bool:
        """Whether it is read by pipeline.sources."""
        return self.part is not None and self.part.reader != "video"

    @property
    def is_whole(self) -> bool:
        """Whether all of a video counts."""
        return self.start_seconds is None and self.stop_seconds is None


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
    hdr: str = ""  # how HDR was mapped to SDR, if it was
    decoder: str = ""  # opencv | pyav, and why PyAV where OpenCV was wanted
    stored_frames: int = 0


def extract_video(job: Job, heartbeat: Callable[[], None], count_errors: Callable[[], int]) -> Outcome:
    """Write the frames of one video as `job` says.

    `heartbeat` is called at every packet or image; `count_errors` returns how many errors the decoder has logged so
    far. Damage is where one thread meets it, whatever the number of threads, so that the result is the same everywhere.
    """
    reason = ""
    if job.decoder != "pyav" and not job.is_sequence and not job.is_array:
        try:
            return _extract_with_opencv(job, heartbeat, count_errors)
        except NotByOpenCV as error:
            reason = f": {error}"
    try:
        outcome = _extract_as_stamped(job, heartbeat, count_errors)
    except StampsGoBack:
        outcome = _extract_with_fewest_threads(job, heartbeat, count_errors, in_output_order=True)
    return outcome if job.is_array or outcome.status == "skipped" else replace(outcome, decoder=f"pyav{reason}")


def frames_between(job: Job, start: int, stop: int) -> Frames:
    """Of the frames that PyAV has for `job` those from number `start` to `stop`, uint8 (stop - start, H, W, C).

    Raises VideoError where it has fewer.
    """
    for in_output_order in (False, True):
        frames = None if job.is_array else _frames(job, job.threads, _nothing, lambda: 0, None, in_output_order)
        try:
            chosen = list(islice(_resized(job, frames, _nothing, Report()), start, stop))
        except StampsGoBack:
            continue
        if len(chosen) == stop - start:
            return np.stack(chosen)
        break
    raise VideoError(f"{job.paths[0]}: has no frames {start} to {stop}")


def _nothing() -> None:
    """The heartbeat of a job that nobody watches."""


def _extract_with_opencv(job: Job, heartbeat: Callable[[], None], count_errors: Callable[[], int]) -> Outcome:
    """The frames of a sound video by OpenCV; raises NotByOpenCV where PyAV is to have it."""
    if not job.is_whole:
        raise NotByOpenCV("a part of a video")
    if job.decoder == "auto" and job.fps is not None:
        raise NotByOpenCV("it need not decode all frames for extract.fps")
    frames = decode_with_opencv(
        Path(job.paths[0]),
        wanted=PictureFormat(job.size, job.fit, job.color),
        wanted_fps=job.fps,
        threads=job.threads,
        max_pixels=job.max_pixels,
        max_seconds=job.max_seconds,
        is_cautious=job.decoder == "auto",
        heartbeat=heartbeat,
        count_errors=count_errors,
    )
    outcome = _stored(job, frames, heartbeat)
    if outcome.status == "damaged":
        raise NotByOpenCV("damaged")
    return outcome if outcome.status == "skipped" else replace(outcome, decoder="opencv")


def _extract_as_stamped(job: Job, heartbeat: Callable[[], None], count_errors: Callable[[], int]) -> Outcome:
    errors_before = count_errors()
    if job.fps is not None and not job.is_sequence and not job.is_array and job.is_whole:
        # fewer frames have to be decoded, if all is well
        try:
            outcome = _extract(job, job.threads, heartbeat, count_errors, job.fps)
        except CannotSkip:
            pass
        else:
            if outcome.status == "ok" and count_errors() == errors_before:
                return outcome
    return _extract_with_fewest_threads(job, heartbeat, count_errors)


def _extract_with_fewest_threads(
    job: Job, heartbeat: Callable[[], None], count_errors: Callable[[], int], *, in_output_order: bool = False
) -> Outcome:
    """With the threads of the job, or with one if that meets any error."""
    errors_before = count_errors()
    outcome = _extract(job, job.threads, heartbeat, count_errors, in_output_order=in_output_order)
    if job.threads > 1 and not job.is_array and (outcome.status != "ok" or count_errors() > errors_before):
        outcome = _extract(job, 1, heartbeat, count_errors, in_output_order=in_output_order)
    return outcome


def _extract(
    job: Job,
    threads: int,
    heartbeat: Callable[[], None],
    count_errors: Callable[[], int],
    wanted_fps: float | None = None,
    *,
    in_output_order: bool = False,
) -> Outcome:
    frames = None if job.is_array else _frames(job, threads, heartbeat, count_errors, wanted_fps, in_output_order)
    return _stored(job, frames, heartbeat)


def _stored(job: Job, frames: Generator[DecodedFrame] | None, heartbeat: Callable[[], None]) -> Outcome:
    """What comes of `frames`, None for those of an array, and of the job's part of them; they are closed."""
    report = Report()
    status, reason = "ok", ""
    array = Path(job.array)

    def images() -> Iterator[Frames]:
        nonlocal status, reason
        try:
            yield from _resized(job, frames, heartbeat, report)
        except DamagedVideo as error:
            status, reason = "damaged", _without_folder(job, error)

    try:
        if job.store == "compressed":
            from pipeline.data.compressed import write_compressed  # likewise

            stored = write_compressed(array, images())
        else:
            stored = write_array(array, images())
    except VideoError as error:
        return Outcome("skipped", _without_folder(job, error))
    if report.num_frames < MIN_FRAMES:
        array.unlink(missing_ok=True)
        return Outcome("skipped", reason or "too few frames: one picture is no video", report.num_frames)
    if job.part and job.part.num_frames not in (None, report.num_frames) and status == "ok":
        status, reason = "damaged", f"has {report.num_frames} of the {job.part.num_frames} frames that it should have"
    return Outcome(
        status,
        reason,
        report.num_frames,
        report.num_frames / report.duration_seconds if report.duration_seconds else None,
        report.height,
        report.width,
        report.duration_seconds,
        report.codec,
        report.hdr,
        stored_frames=stored,
    )


def _resized(
    job: Job, frames: Generator[DecodedFrame] | None, heartbeat: Callable[[], None], report: Report
) -> Iterator[Frames]:
    """The job's part of `frames`, None for those of an array, as they are to be stored, (H, W, C); they are closed."""
    wanted = PictureFormat(job.size, job.fit, job.color)
    if frames is None:
        from pipeline.sources import reading as sources  # whose libraries take longer to load than all others

        yield from sources.read_resized(_pictures(job, heartbeat), wanted, job.fps, report)
        return
    with closing(frames):
        counted = frames if job.is_whole else between(frames, job.start_seconds, job.stop_seconds)
        yield from read_resized(counted, wanted, job.fps, report)


def _frames(
    job: Job,
    threads: int,
    heartbeat: Callable[[], None],
    count_errors: Callable[[], int],
    wanted_fps: float | None,
    in_output_order: bool,
) -> Generator[DecodedFrame]:
    if job.is_sequence:
        paths = [Path(path) for path in job.paths]
        return decode_images(paths, fps=job.image_fps, max_pixels=job.max_pixels, heartbeat=heartbeat)
    return decode(
        Path(job.paths[0]),
        threads=threads,
        max_pixels=job.max_pixels,
        # of a part of a video only that part counts
        max_seconds=job.max_seconds if job.is_whole else float("inf"),
        start_seconds=job.start_seconds or 0.0,
        heartbeat=heartbeat,
        # several threads log errors at another packet than the one that they belong to
        count_errors=count_errors if threads == 1 else lambda: 0,
        wanted_fps=wanted_fps,
        in_output_order=in_output_order,
    )


def _pictures(job: Job, heartbeat: Callable[[], None]) -> Iterator[TimedPicture]:
    from pipeline.sources import reading as sources

    assert job.part is not None
    pictures = sources.read_part(
        job.part,
        fps=job.image_fps,
        stated_range=job.array_range and (job.array_range[0], job.array_range[1]),
        max_pixels=job.max_pixels,
        max_seconds=job.max_seconds,
        heartbeat=heartbeat,
    )
    return pictures if job.is_whole else between(pictures, job.start_seconds, job.stop_seconds)


def _without_folder(job: Job, error: VideoError) -> str:
    if job.is_sequence:
        return str(error).removeprefix(f"{Path(job.paths[0]).parent}/")
    return str(error).removeprefix(f"{job.paths[0]}: ")
