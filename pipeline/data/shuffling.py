"""Clips in random order where frames are dear to read at random: from a disk, compressed, or more than memory holds.

An epoch visits the segments of all videos in random order and mixes the clips of those that are in memory: each clip
once, each segment read once. The order is drawn, not made by reading, so that it is the same after a kill and in any
number of processes. Streaming data sets shuffle alike, within a buffer over shards in random order (WebDataset; the
moving window is that of MosaicML Streaming's py1br).
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.remote_frames import RemoteFrames

SEGMENT_BYTES = 2**22  # at least: what a disk reads at once
SEGMENT_CLIPS = 8  # lengths of a clip in it, at least: it is read with those frames of the next that its clips need
# of the memory: clips are mixed over as much, the rest keeps segments a little longer that are not quite done
MIXED = 0.8


class Segments:
    """The clips of a data set by segment, their order in an epoch, and the segments that are in memory."""

    def __init__(
        self,
        clips: Sequence[tuple[str, int]],
        load: Callable[[str], Any],
        *,
        length: int,
        frame_bytes: int,
        shuffle_mb: int,
        videos_per_clip: int,
    ) -> None:
        """`clips`: video and first frame of each, of `length` frames; `load` returns the frames of a video.

        A clip of `videos_per_clip` videos has frames in as many. At most `shuffle_mb` MiB are kept, and one segment
        per video of a clip.
        """
        self._clips, self._load, self._length = clips, load, length
        self._size = max(SEGMENT_BYTES // frame_bytes, SEGMENT_CLIPS * length)  # frames between two segments' starts
        numbers: dict[tuple[str, int], int] = {}
        self.segment = np.array(
            [numbers.setdefault((video, start // self._size), len(numbers)) for video, start in clips], np.int64
        )
        starts = np.array([start for _, start in clips], np.int64)
        first, last = np.full(len(numbers), np.iinfo(np.int64).max), np.zeros(len(numbers), np.int64)
        np.minimum.at(first, self.segment, starts)
        np.maximum.at(last, self.segment, starts + length)
        self._frames = last - first  # of each segment, that its clips have
        self._most_bytes = shuffle_mb * 2**20
        # frames; a window touches one segment more than it is long
        longest = int(self._frames.max(initial=0))  # of short videos a segment is a whole one
        self._mixed = max(1.0, MIXED * self._most_bytes / (frame_bytes * videos_per_clip) - longest)
        self._kept: OrderedDict[tuple[str, int], NDArray[np.uint8]] = OrderedDict()
        self._kept_bytes = 0
        self.num_reads = 0

    def order(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """The clips of an epoch: all in any order, where their frames fit the memory, else from a moving window.

        Every segment has a place on a circle, drawn by `generator`, as long as it has frames; each of its clips comes
        up to a window later. So at any moment clips are drawn from all segments of a window, at the beginning too.
        """
        total = int(self._frames.sum())
        if self._all_fit():
            return generator.permutation(len(self.segment))
        drawn = generator.permutation(len(self._frames))
        places = np.empty(len(drawn))
        places[drawn] = np.cumsum(self._frames[drawn]) - self._frames[drawn]
        later = self._mixed * generator.random(len(self.segment))
        return np.argsort((places[self.segment] + later) % total, kind="stable")

    def _all_fit(self) -> bool:
        return int(self._frames.sum()) <= self._mixed

    def together(self, indices: NDArray) -> NDArray:
        """The clips of a batch, those of a segment side by side: so processes that share it read different ones.

        As they are, where all frames fit the memory: then a window changes nothing.
        """
        if self._all_fit():
            return indices
        return indices[np.argsort(self.segment[indices], kind="stable")]

    def read(self, video: str, start: int) -> NDArray[np.uint8]:
        """The frames of the clip of `video` that begins at `start`, uint8 (T, H, W, C), not to be written to."""
        number = start // self._size
        frames = self._kept.get((video, number))
        if frames is None:
            frames = self._read_segment(video, number)
        self._kept.move_to_end((video, number))
        first = start - number * self._size
        return frames[first : first + self._length]

    def fetch_ahead(self, indices: NDArray) -> None:
        """Have the segments fetched, in the background, that the clips at `indices` will be read from."""
        _, positions = np.unique(self.segment[indices], return_index=True)
        for position in np.sort(positions):
            video, start = self._clips[int(indices[position])]
            first = start // self._size * self._size
            if (video, start // self._size) in self._kept:
                continue
            frames = self._load(video)
            if not isinstance(frames, RemoteFrames) or not frames.fetch_ahead(first, self._stop(first)):
                return

    def _stop(self, start: int) -> int:
        """The end of the segment that begins at frame `start`, with what its clips have of the next."""
        return start + self._size + self._length - 1

    def _read_segment(self, video: str, number: int) -> NDArray[np.uint8]:
        start = number * self._size
        frames = np.array(self._load(video)[start : self._stop(start)])
        self._kept[video, number] = frames
        self._kept_bytes += frames.nbytes
        self.num_reads += 1
        while self._kept_bytes > self._most_bytes and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= dropped.nbytes
        return frames
