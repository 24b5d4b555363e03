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


def work(job, complaints):
    match job.kind:
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "hang":
            time.sleep(1000)
        case "slow":  # but alive
            for _ in range(8):
                time.sleep(0.1)
                complaints()
        case "greedy":
            bytearray(8 * 2**30)
        case "bug":
            raise KeyError("a mistake of ours")
        case "disk":
            raise OSError(28, "No space left on device", "x.npy")
        case "complain":
            os.write(2, b"a complaint\n")
            return Outcome(complaints(), os.getpid())
    return Outcome(2 * job.number, os.getpid())
