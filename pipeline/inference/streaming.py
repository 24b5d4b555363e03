"""Frames in, frames out, in real time: what a generator makes of each frame, written before the next one comes."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import ModelError, PipelineError
from pipeline.inference.arrivals import Arrivals, Deadlines
from pipeline.inference.generation import load_model
from pipeline.inference.live import Live
from pipeline.inference.translation import plan, to_picture, to_source, translated
from pipeline.runtime.devices import autocast_dtype
from pipeline.video import Image as Picture
from pipeline.video import TimedFrame, write_timed_video
from pipeline.video.raw_frames import write_raw_frame


class Stream:
    """What the model in `model_dir` makes of each frame of `source`: what it expects later, or a translation."""

    def __init__(
        self,
        source: Iterator[Picture],
        model_dir: Path,
        *,
        size: tuple[int, int],
        fps: float,
        ahead: int = 1,
        side: int | None = None,
        seconds: float | None = None,
        newest: bool = False,
    ) -> None:
        """Frames have `size` (height, width) and come `fps` times per second; for `seconds`, or None: while any come.

        A model that continues videos says, at each frame, which one it expects `ahead` frames later, computed with
        frames whose shorter side is `side` pixels (None: as in training). With `newest`, frames that come while one is
        worked on are dropped but for the last. Everything is run once here, so that the first frame does not wait.
        Raises ModelError for a model that cannot be used on such frames.
        """
        self.arrivals, self.deadlines = Arrivals(source, newest=newest), Deadlines(fps)
        self.model, self.card, self.device = load_model(model_dir)
        self.fps, self.seconds, self.newest = fps, seconds, newest
        self.live: Live | None = None
        self.tile = 0
        if self.card.fps is not None and abs(self.card.fps - fps) > 0.01 * fps:
            raise ModelError(
                f"{model_dir}: was trained on {self.card.fps:g} frames a second, these are {fps:g}; "
                f"--rate {self.card.fps:g}, and have them come so (ffmpeg -r {self.card.fps:g})"
            )
        if self.card.made_for.feeds_back:
            self.live = Live(self.model, self.card, size, self.device, ahead=ahead, side=side)
            self.live.warm_up()
        else:
            shape = self._to_source(np.zeros((*size, 3), np.uint8), 0).shape
            self.tile = plan(self.model, shape, self.card.noise_channels, self.device).tile or 0
            black = (np.zeros((*size, 3), np.uint8) for _ in range(2))
            list(self._translated(black))

    def end(self) -> None:
        """Take no further frame; may be called by a signal's handler."""
        self.arrivals.end()

    def write(self, output: Path | None) -> dict[str, Any]:
        """Write all frames to the video `output`, None for raw frames on standard output; returns the deadlines' facts.

        Raises VideoError for an `output` that ends in no video's ending, PipelineError where nothing came.
        """
        if output is None:
            for frame in self._answers():
                write_raw_frame(sys.stdout.buffer, frame.image)
        else:
            write_timed_video(output, self._answers())
        if not self.deadlines.came:
            raise PipelineError("no frame came")
        return self.deadlines.facts(self.arrivals.dropped)

    def _answers(self) -> Iterator[TimedFrame]:
        """What is made of each frame; each is written when the next is asked for."""
        first = last = None

        def pictures() -> Iterator[Picture]:
            nonlocal first, last
            for arrival in self.arrivals:
                first, last = first or arrival, arrival
                if self.seconds is not None and last.seconds - first.seconds >= self.seconds:
                    return
                yield arrival.picture

        made = map(self.live.expect, pictures()) if self.live else self._translated(pictures())
        for number, picture in enumerate(made):
            assert first is not None
            assert last is not None
            start = last.seconds - first.seconds if self.newest else number / self.fps
            yield TimedFrame(start, start + 1 / self.fps, picture)
            self.deadlines.met(last)

    def _translated(self, pictures: Iterator[Picture]) -> Iterator[Picture]:
        sources = (self._to_source(picture, number) for number, picture in enumerate(pictures))
        dtype = autocast_dtype("auto", self.device)
        return map(to_picture, translated(self.model, self.card, sources, self.device, self.tile, dtype))

    def _to_source(self, picture: Picture, number: int) -> Any:
        return to_source(picture, self.card, degrade=False, number=number)
