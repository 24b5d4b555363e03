"""Tells how far a long work is: a bar on a terminal, and in a log or a pipe a line now and then, with the time left."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

EVERY_SECONDS = 10.0

logger = logging.getLogger(__name__)
Item = TypeVar("Item")


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


def watched(items: Iterable[Item], total: int, name: str, unit: str) -> Iterator[Item]:
    """`items`, of which there are `total`, one after another, while standard error or the log says how far they are.

    A bar called `name` where standard error is a terminal, else lines such as `40 of 100 videos`, `unit` in the plural.
    """
    if sys.stderr.isatty():
        from tqdm import tqdm  # a twentieth of a second that only people need

        yield from tqdm(items, desc=name, total=total, unit=unit.removesuffix("s"), mininterval=1)
        return
    tell = Progress(total, unit)
    for done, item in enumerate(items, start=1):
        tell(done)
        yield item
