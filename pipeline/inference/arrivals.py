"""Frames that come in their own time: read by a thread of their own, and what became of their deadlines."""

import threading
import time
from array import array
from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

import numpy as np

from pipeline.video import Image as Picture

WAITING = 4  # frames that have come and are not taken yet, at most
AT_ONCE = 0.5  # of the time between two frames: what comes so soon after another had waited in the pipe
CATCHING_UP = 0.9  # of that time: what comes so soon, while others wait, comes as fast as frames are taken


class Arrival(NamedTuple):
    """A frame, and when it was there."""

    seconds: float  # of time.perf_counter
    picture: Picture
    had_room: bool  # whether it was read as soon as it came; else it may have waited in the pipe


class Arrivals:
    """The frames of `source`, each with the time at which it came, until the source ends or `end` is called.

    The source is read by a thread, so that a frame that comes while another is worked on has its own time. Where
    WAITING frames wait, the source waits too, as a pipe can. With `newest` only the newest waits: a camera goes on,
    and frames that nobody took are dropped and counted.
    """

    def __init__(self, source: Iterator[Picture], *, newest: bool = False) -> None:
        self.source, self.newest, self.dropped = source, newest, 0
        self._queue: SimpleQueue[Any] = SimpleQueue()  # the one that may be put to in a signal's handler
        self._room = threading.Semaphore(WAITING)
        self._ending = False

    def end(self) -> None:
        """Let no further frame come; may be called by a signal's handler."""
        self._ending = True
        self._queue.put(None)

    def __iter__(self) -> Iterator[Arrival]:
        threading.Thread(target=self._read, daemon=True).start()
        while (arrival := self._queue.get()) is not None and not self._ending:
            self._room.release()
            if isinstance(arrival, BaseException):
                raise arrival
            yield arrival

    def _read(self) -> None:
        try:
            while not self._ending:
                had_room = self.newest or self._room.acquire(blocking=False)
                if not had_room:
                    self._room.acquire()
                if (picture := next(self.source, None)) is None:
                    break
                if self.newest:
                    self._drop_waiting()
                self._queue.put(Arrival(time.perf_counter(), picture, had_room))
        except BaseException as error:  # raised where the frames are taken
            self._queue.put(error)
        self._queue.put(None)

    def _drop_waiting(self) -> None:
        with suppress(Empty):
            while True:
                self._queue.get_nowait()
                self.dropped += 1


class Deadlines:
    """How long after it came each frame was answered; the answer is due when the next frame is."""

    def __init__(self, fps: float) -> None:
        self.fps = fps
        self.came = array("d")  # seconds, as latencies
        self.latencies = array("d")
        self.had_room = bytearray()

    def met(self, arrival: Arrival) -> None:
        """Its answer has been written, just now."""
        self.came.append(arrival.seconds)
        self.had_room.append(arrival.had_room)
        self.latencies.append(time.perf_counter() - arrival.seconds)

    def facts(self, dropped: int = 0) -> dict[str, Any]:
        """Frames, seconds, frames per second, latencies in milliseconds, and how many of the deadlines were missed.

        A frame that was dropped missed its own. One that had waited in the pipe and is caught up on has none, for when
        it was there is not known; nor has any where most had waited, as those of a file. The latencies are those of
        frames that have a deadline, or of all where none has.
        """
        came, latencies = np.array(self.came), np.array(self.latencies)
        since = np.diff(came, prepend=-np.inf) * self.fps
        is_due = since > np.where(np.array(self.had_room, bool), AT_ONCE, CATCHING_UP)
        is_due &= is_due.mean() > 0.5
        if is_due.any():
            latencies = latencies[is_due]
        seconds, num_due = float(came[-1] - came[0]), int(is_due.sum())
        return {
            "frames": len(came),
            "dropped": dropped,
            "seconds": round(seconds, 3),
            "fps": round((len(came) - 1 + dropped) / seconds, 2) if seconds else None,
            "latency_ms": {f"p{p}": round(1000 * float(np.percentile(latencies, p)), 2) for p in (50, 95, 99, 100)},
            "deadline_ms": round(1000 / self.fps, 2),
            "deadlines": num_due + dropped,
            "missed": dropped + (int((latencies > 1 / self.fps).sum()) if num_due else 0),
        }


def told(facts: dict[str, Any]) -> str:
    """The facts of Deadlines in one line."""
    p50, p95, p99, most = (f"{value:.1f}" for value in facts["latency_ms"].values())
    dropped = f", {facts['dropped']} dropped" if facts["dropped"] else ""
    text = (
        f"{facts['frames']} frames in {facts['seconds']:.1f} s{dropped}; latency p50 {p50} ms, p95 {p95}, p99 {p99}, "
        f"most {most}"
    )
    if not facts["deadlines"]:
        return f"{text}; most frames had waited in the pipe, so none was due (ffmpeg -re reads a file in its own time)"
    waited = facts["frames"] + facts["dropped"] - facts["deadlines"]
    waiting = f"; {waited} frames had waited in the pipe" if waited else ""
    missed = f"{facts['missed']} of {facts['deadlines']} deadlines missed"
    return f"{text}; {missed} ({facts['deadline_ms']:.1f} ms){waiting}"
