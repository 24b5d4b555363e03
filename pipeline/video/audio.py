"""Audio copied from one video to another, packet by packet, without decoding it."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import av
from av.container import OutputContainer

from pipeline.video.decoding import opened
from pipeline.video.reading import MAX_PIXELS

logger = logging.getLogger(__name__)


class AudioTrack:
    """The first audio track of a video, written into another video along with that one's frames."""

    def __init__(self, path: Path, output: OutputContainer, stack: ExitStack) -> None:
        """Without a track, or with one that the format of `output` cannot hold, nothing is written; the log says so.

        `stack` closes the file. Raises VideoError if `path` is no video.
        """
        self._packets: Iterator[av.Packet] = iter(())
        self._following: av.Packet | None = None
        container, pictures, _ = stack.enter_context(opened(path, MAX_PIXELS))
        if not container.streams.audio:
            return
        track = container.streams.audio[0]
        codec = track.codec_context.name
        if codec not in output.supported_codecs:
            logger.warning("%s: its audio (%s) cannot be stored in this format; left out", path, codec)
            return
        self._output, self._stream = output, output.add_stream_from_template(track)
        # a player shows the first frame at 0, whatever its time stamp
        self._start_seconds = float((pictures.start_time or 0) * (pictures.time_base or 0))
        self._packets = container.demux(track)
        self._following = next(self._packets, None)

    def write_until(self, seconds: float) -> None:
        """Write the packets that are heard less than `seconds` after the first frame."""
        while self._following is not None and self._following.pts is not None:
            packet = self._following
            assert packet.time_base is not None
            assert packet.pts is not None
            pts_seconds = float(packet.pts * packet.time_base) - self._start_seconds
            if pts_seconds >= seconds:
                return
            if pts_seconds >= 0:
                packet.pts -= round(self._start_seconds / packet.time_base)
                packet.dts = packet.pts
                packet.stream = self._stream
                self._output.mux(packet)
            self._following = next(self._packets, None)
