"""Audio copied from one video to another, packet by packet, without decoding it."""

import logging
import math
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import av
from av.container import OutputContainer

from pipeline.video.containers import opened
from pipeline.video.decoding import decode
from pipeline.video.reading import MAX_PIXELS

logger = logging.getLogger(__name__)


class AudioTrack:
    """The first audio track of a video, written into another video along with that one's frames.

    `lead_seconds` is how long before the first frame it begins to be heard.
    """

    def __init__(self, path: Path, output: OutputContainer, stack: ExitStack) -> None:
        """Without a track, or with one that the format of `output` cannot hold, nothing is written; the log says so.

        `stack` closes the file. Raises VideoError if `path` is no video.
        """
        self.lead_seconds = 0.0
        self._packets: Iterator[av.Packet] = iter(())
        self._following: av.Packet | None = None
        container, _, _ = stack.enter_context(opened(path, MAX_PIXELS))
        if not container.streams.audio:
            return
        track = container.streams.audio[0]
        codec = track.codec_context.name
        if codec not in output.supported_codecs:
            logger.warning("%s: its audio (%s) cannot be stored in this format; left out", path, codec)
            return
        self._output, self._stream = output, output.add_stream_from_template(track)
        # a player shows the first frame at 0, whatever its time stamp
        self._start_seconds = _first_frame_seconds(path)
        self._packets = container.demux(track)
        self._following = next(self._packets, None)
        if self._following is not None and self._following.pts is not None:
            heard_seconds = max(0.0, float(self._following.pts * self._following.time_base))  # before 0 is priming
            self.lead_seconds = max(0.0, self._start_seconds - heard_seconds)

    def write_until(self, seconds: float) -> None:
        """Write the packets that are heard less than `seconds` after the first frame, from that frame on."""
        self._write(0.0, seconds, 0.0)

    def write_all_until(self, seconds: float = math.inf) -> None:
        """Write the packets that are heard less than `seconds` after the first frame, whose time is lead_seconds."""
        self._write(-math.inf, seconds, self.lead_seconds)

    def _write(self, from_seconds: float, to_seconds: float, lead_seconds: float) -> None:
        while self._following is not None and self._following.pts is not None:
            packet = self._following
            assert packet.pts is not None
            pts_seconds = float(packet.pts * packet.time_base) - self._start_seconds
            if pts_seconds >= to_seconds:
                return
            if pts_seconds >= from_seconds:
                packet.pts -= round((self._start_seconds - lead_seconds) / packet.time_base)
                packet.dts = packet.pts
                packet.stream = self._stream
                self._output.mux(packet)
            self._following = next(self._packets, None)


def _first_frame_seconds(path: Path) -> float:
    """The container's time of the first frame of a video; its header does not always know."""
    first = next(decode(path, threads=1, max_pixels=MAX_PIXELS, max_seconds=math.inf))
    return first.start_seconds
