"""How many threads a training step takes, where that is left to the machine: fewer while other work takes its cores."""

import logging
import time
from typing import Literal

from pipeline.runtime.devices import use_threads

logger = logging.getLogger(__name__)
WINDOW_SECONDS = 10.0  # of steps that are judged together
CROWDED = 2.0  # times the processor's seconds that steps take where others want the cores
FREE = 1.3  # at most, where they do not
WINDOWS_BEFORE_ANOTHER_TRY = 12  # where fewer threads were found to be no faster


class ThreadCount:
    """Sets torch's number of threads, step by step: `threads`, or, for "auto", what is best now of up to all cores.

    Threads that share cores with other processes wait for each other at every one of a step's thousand barriers, each
    time until the system wakes the last of them; a single one waits for nobody. Whether others want the cores is seen
    from how much longer steps take than the processor works for them: where that is 2 times, half as many threads are
    tried, and kept if they are faster, until the cores are free again. A number of threads changes the last bits of
    sums; so a run with "auto" has the bits of any other where the machine was not crowded in either.
    """

    def __init__(self, threads: int | Literal["auto"]) -> None:
        self.adapts = threads == "auto"
        self.most = use_threads(threads)
        self.threads = self.most
        self._windows_to_wait = 0
        self._before_try: tuple[int, float] | None = None  # threads, and seconds per step with them, during a try
        self._begin_window()

    def begin_step(self) -> None:
        """To be called before a step."""
        self._began = time.monotonic(), time.thread_time()

    def end_step(self) -> None:
        """To be called after a step; the next one may take another number of threads."""
        self.count(time.monotonic() - self._began[0], time.thread_time() - self._began[1])

    def count(self, seconds: float, processor_seconds: float) -> None:
        """Count a step that took so many `seconds`, in which the processor worked so many for its first thread."""
        self._steps += 1
        self._seconds += seconds
        self._processor_seconds += processor_seconds
        if self.adapts and self.most > 1 and self._seconds >= WINDOW_SECONDS:
            self._judge(self._seconds / self._steps, self._seconds / max(self._processor_seconds, 1e-9))
            self._begin_window()

    def _judge(self, seconds_per_step: float, crowding: float) -> None:
        if self._before_try is not None:
            threads, seconds_before = self._before_try
            self._before_try = None
            if seconds_per_step < seconds_before:
                logger.info("other work wants the cores: going on with %d of %d threads", self.threads, self.most)
            else:
                self._windows_to_wait = WINDOWS_BEFORE_ANOTHER_TRY
                self._set(threads)
        elif crowding >= CROWDED and self.threads > 1 and self._windows_to_wait == 0:
            self._before_try = self.threads, seconds_per_step
            self._set(self.threads // 2)
        elif crowding <= FREE and self.threads < self.most:
            logger.info("the cores are free again: going on with %d threads", self.most)
            self._set(self.most)
        else:
            self._windows_to_wait = max(0, self._windows_to_wait - 1)

    def _set(self, threads: int) -> None:
        self.threads = use_threads(threads)

    def _begin_window(self) -> None:
        self._steps, self._seconds, self._processor_seconds = 0, 0.0, 0.0
