"""Sound carried from one video to another, packet by packet, without decoding it."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import av
from av.container import OutputContainer

from pipeline.video.decoding import opened
from pipeline.video.reading import MAX_PIXELS

logger = logging.getLogger(__name__)


class Sound:
    """The first sound track of a video, written into another as that one's pictures go along."""

    def __init__(self, path: Path, output: OutputContainer, stack: ExitStack) -> None:
        """Without a track, or with one that the format of `output` cannot hold, nothing is written; the log says so.

        `stack` closes the file. Raises VideoError if `path` is no video.
        """
        self.packets: Iterator[av.Packet] = iter(())
        self.waiting: av.Packet | None = None
        container, pictures, _ = stack.enter_context(opened(path, MAX_PIXELS))
        if not container.streams.audio:
            return
        track = container.streams.audio[0]
        if track.codec_context.name not in output.supported_codecs:
            logger.warning("%s: its sound (%s) does not go into this format; left out", path, track.codec_context.name)
            return
        self.output, self.stream = output, output.add_stream_from_template(track)
        # a player shows the first frame at 0, whatever its time stamp
        self.start_seconds = float((pictures.start_time or 0) * (pictures.time_base or 0))
        self.packets = container.demux(track)
        self.waiting = next(self.packets, None)

    def write_until(self, seconds: float) -> None:
        """Write what is heard before `seconds` from the first frame on."""
        while self.waiting is not None and self.waiting.pts is not None:
            packet = self.waiting
            assert packet.time_base is not None
            assert packet.pts is not None
            time = float(packet.pts * packet.time_base) - self.start_seconds
            if time >= seconds:
                return
            if time >= 0:
                shift = round(self.start_seconds / packet.time_base)
                packet.pts -= shift
                packet.dts = packet.pts
                packet.stream = self.stream
                self.output.mux(packet)
            self.waiting = next(self.packets, None)
