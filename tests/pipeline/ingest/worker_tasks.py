"""What workers are told to do in their tests; a module, because a worker imports it by name."""

import os
import signal
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Job:
    kind: str
    number: int = 0


@dataclass(frozen=True)
class Outcome:
    doubled: int
    process: int


def work(job, heartbeat, count_errors):
    match job.kind:
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "hang":
            time.sleep(1000)
        case "slow":  # but alive
            for _ in range(8):
                time.sleep(0.1)
                heartbeat()
        case "greedy":
            bytearray(8 * 2**30)
        case "bug":
            raise KeyError("a mistake of ours")
        case "disk":
            raise OSError(28, "No space left on device", "x.npy")
        case "counting":  # which is no sign of life
            for _ in range(50):
                time.sleep(0.1)
                count_errors()
        case "error":
            os.write(2, b"an error of the decoder\n")
            return Outcome(count_errors(), os.getpid())
    return Outcome(2 * job.number, os.getpid())
