"""What the videos that extraction would read are, and their frames, looked at by this process."""

from collections.abc import Iterator
from dataclasses import replace

from pipeline.errors import PipelineError, VideoError
from pipeline.ingest.folder import Entry
from pipeline.sources import opening
from pipeline.sources.part import Part
from pipeline.video import TimedFrame, VideoInfo


def info_of(entry: Entry) -> VideoInfo:
    """What the video of `entry` says of itself; raises VideoError where it cannot be read, whatever the cause."""
    if not entry.paths:
        raise VideoError(f"{entry.name}: {entry.reason or 'cannot be read'}")
    try:
        return opening.info_of(_part(entry), entry.paths if entry.is_sequence else ())
    except (PipelineError, MemoryError):
        raise
    except Exception as error:  # nobody foresaw it; the other videos are to be looked at all the same
        text = " ".join(str(error).split())[:200]
        raise VideoError(f"{entry.source}: cannot be read ({type(error).__name__}: {text})") from error


def frames_of(entry: Entry) -> Iterator[TimedFrame]:
    """The frames of the video of `entry`; raises VideoError and DamagedVideo as opening.frames_of does."""
    return opening.frames_of(_part(entry), entry.paths if entry.is_sequence else ())


def reason_in(entry: Entry, error: VideoError) -> str:
    """The message of `error`, for a line that begins with the entry's name."""
    text = str(error)
    for name in (entry.name, *([entry.source] if entry.paths else [])):
        text = text.removeprefix(f"{name}: ")
    return text


def _part(entry: Entry) -> Part:
    part = entry.part or Part(reader="video", path=str(entry.source))
    return replace(part, start_seconds=entry.start_seconds, stop_seconds=entry.stop_seconds)
