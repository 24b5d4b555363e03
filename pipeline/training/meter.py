"""Says in the log, every few seconds, how training goes: loss, seconds per step, share of loading, time left."""

import logging
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from pipeline.training.progress import Progress

logger = logging.getLogger(__name__)
SECONDS_BETWEEN_LINES = 10.0
STEPS_OF_FIRST_LINE = 20  # after so many, at the latest, the first line says how long training will take
Loaded = TypeVar("Loaded")


class Meter:
    """Measures the steps after `step`."""

    def __init__(self, step: int) -> None:
        self.loading_seconds = 0.0  # spent waiting for data, since this meter began
        self._said = False  # whether a line was logged
        self._last_line = (time.monotonic(), step, 0.0)  # when it was logged; step and loading_seconds then

    def loading(self, items: Iterable[Loaded]) -> Iterator[Loaded]:
        """The same items; the time that each takes to come counts as loading."""
        iterator = iter(items)
        while True:
            begin = time.monotonic()
            item = next(iterator, None)
            self.loading_seconds += time.monotonic() - begin
            if item is None:
                return
            yield item

    def log(self, progress: Progress, num_steps: int, fraction_done: float) -> None:
        """Log a line after a step of `num_steps`, if the last line is old enough."""
        now = time.monotonic()
        line_time, line_step, line_loading = self._last_line
        is_early = not self._said and progress.step - line_step >= STEPS_OF_FIRST_LINE
        if now - line_time < SECONDS_BETWEEN_LINES and not is_early:
            return
        self._said = True
        seconds_left = progress.seconds * (1 / fraction_done - 1)
        logger.info(
            "step %d/%d: loss %.4g, %.3f s/step, loading %.1f %%, %d:%02d left",
            progress.step,
            num_steps,
            progress.mean_loss,
            (now - line_time) / (progress.step - line_step),
            100 * (self.loading_seconds - line_loading) / (now - line_time),
            *divmod(int(seconds_left), 60),
        )
        self._last_line = (now, progress.step, self.loading_seconds)
