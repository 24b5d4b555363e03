"""A fault: something that goes wrong, how often it is tried, and what a try finds lost."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from tests.faults.commands import Ran
from tests.faults.ground import Ground

Trial = Callable[[Ground, Random], list[str]]  # returns what was lost, nothing at best
NOT_A_LINE = re.compile(r"Traceback \(most recent call last\)|Segmentation fault|core dumped|Fatal Python error")


@dataclass(frozen=True)
class Fault:
    """One row of the table."""

    kind: str
    name: str
    trial: Trial
    times: int  # in the long form
    short: int = 0  # in CI


class Skipped(Exception):
    """A trial that this machine refuses: no mount, say."""


def tracebacks(*runs: Ran) -> list[str]:
    """What no person should be shown."""
    found = []
    for ran in runs:
        if NOT_A_LINE.search(ran.output):
            found.append(f"a traceback: {ran.output.strip().splitlines()[-1][:200]}")
        elif ran.code < 0 and not ran.killed:
            found.append(f"died of signal {-ran.code}")
        elif ran.code == 124:
            found.append("did not end in time")
    return found


def differences(expected: Mapping[str, str], present: Mapping[str, str], *, whole: bool = True) -> list[str]:
    """The files that are not as in an undisturbed run; with `whole`, also those that are missing."""
    changed = [f"{name} has other bytes" for name in expected if name in present and present[name] != expected[name]]
    missing = [f"{name} is missing" for name in expected if whole and name not in present]
    more = [f"{name} is left" for name in present if name not in expected]
    return [*changed, *missing, *more]


def refused(ran: Ran, *words: str) -> list[str]:
    """What is wrong with a refusal: no error, a traceback, or none of the `words` in what it says."""
    wrong = tracebacks(ran)
    if ran.code == 0:
        wrong.append("was not refused")
    elif not wrong and words and not any(word.lower() in ran.output.lower() for word in words):
        wrong.append(f"the message names none of {', '.join(words)}: {ran.last_line}")
    return wrong


def finished(ran: Ran) -> list[str]:
    """What is wrong with a run that should end well."""
    return tracebacks(ran) or ([] if ran.code == 0 else [f"the same command then fails: {ran.last_line}"])
