"""Tells in the log how far a long measurement is: rate, and time left."""

import logging
import time

EVERY_SECONDS = 10.0

logger = logging.getLogger(__name__)


class Progress:
    """Called with the number of things that are done; logs at most every 10 seconds, and nothing of what is short."""

    def __init__(self, total: int, unit: str) -> None:
        self.total, self.unit = total, unit
        self.begin = self.last = time.monotonic()

    def __call__(self, done: int) -> None:
        """`done` of `total` are done."""
        now = time.monotonic()
        if now - self.last < EVERY_SECONDS or done >= self.total:
            return
        self.last = now
        rate = done / (now - self.begin)
        left = (self.total - done) / rate
        logger.info(
            "%d of %d %s, %.3g per second, %s left",
            done,
            self.total,
            self.unit,
            rate,
            f"{left / 60:.0f} min" if left >= 100 else f"{left:.0f} s",
        )
