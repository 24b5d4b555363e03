"""Opens a file of video by its content alone, and finds the stream in it that a player shows."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from pipeline.errors import VideoError
from pipeline.video.broken_files import is_encrypted, is_lone_image, why_no_video

# demuxers of video containers and streams; left out are those that open other files (hls, dash, concat, image2, sdp),
# that read stills, and that take text for a picture (tty)
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,h261,h263,h264,hevc,vvc,av1,obu,ivf,m4v,flv,"
    "live_flv,asf,ogg,gif,apng,mjpeg,vc1,vc1test,cavsvideo,dirac,dnxhd,nut,mxf,gxf,dv,rm,wtv,yuv4mpegpipe,nsv,nuv,"
    "flic,jpegxl_anim,wav,flac,mp3"
)
# dispositions of streams that are no video of their own: a cover, pictures for seeking, a tile or layer, a still
NOT_SHOWN = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.dependent | Disposition.still_image


@contextmanager
def opened(path: Path, max_pixels: int) -> Iterator[tuple[InputContainer, VideoStream, int]]:
    """The container at `path`, its video stream and the file's descriptor; raises VideoError if there is no video."""
    try:
        # a FIFO would block on opening, a device on reading
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise VideoError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise VideoError(f"{path}: not a regular file")
        options = {"fd": str(file), "protocol_whitelist": "fd", "format_whitelist": FORMATS}
        try:
            container = av.open("fd:", options=options | {"max_pixels": str(max_pixels)}, metadata_errors="replace")
        except (av.FFmpegError, ValueError, OSError) as error:
            raise VideoError(f"{path}: {why_no_video(file)}") from error
        with container:
            yield container, _video_stream(container, path, file, max_pixels), file
    finally:
        os.close(file)


def _video_stream(container: InputContainer, path: Path, file: int, max_pixels: int) -> VideoStream:
    stream = shown(container.streams.video)
    if stream is None:
        raise VideoError(f"{path}: {'audio only' if container.streams.audio else why_no_video(file)}")
    if is_lone_image(file):
        raise VideoError(f"{path}: {why_no_video(file)}")
    if is_encrypted(file):
        raise VideoError(f"{path}: encrypted (DRM): it cannot be decoded without its key")
    if stream.codec_context is None:
        raise VideoError(f"{path}: unsupported codec: no decoder for it")
    if stream.width * stream.height > max_pixels:
        size = f"{stream.width} x {stream.height} pixels"
        raise VideoError(f"{path}: {size} is more than extract.max_pixels ({max_pixels})")
    return stream


def shown(streams: Sequence[VideoStream]) -> VideoStream | None:
    """The stream that a player shows: none that is a cover, thumbnails, a tile or a still; None if no other is there.

    Of several: one flagged as default; of these that of the largest picture, of the most frames, with colours, of the
    highest bit rate, the first.
    """

    def rank(stream: VideoStream) -> tuple[bool, int, int, bool, int]:
        is_default = bool(int(stream.disposition) & int(Disposition.default))
        context: av.VideoCodecContext | None = stream.codec_context
        if context is None:  # no decoder
            return is_default, 0, 0, False, 0
        has_colors = not (context.pix_fmt or "").startswith("gray")  # alpha of AVIF is a grey stream of its own
        return is_default, context.width * context.height, stream.frames, has_colors, stream.bit_rate or 0

    candidates = [stream for stream in streams if not int(stream.disposition) & int(NOT_SHOWN)]
    return max(candidates, key=rank, default=None)
