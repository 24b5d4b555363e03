"""All faults, and one try of one of them."""

import hashlib
import importlib
import importlib.util
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from random import Random

from tests.faults import combinations, disks, flips, hostile, kills, numbers, pairs
from tests.faults.fault import Fault, Skipped
from tests.faults.ground import Ground

MODULES = [combinations, kills, disks, flips, pairs, hostile, numbers]
if importlib.util.find_spec("tests.faults.soak"):  # many cycles, whose growth is measured
    MODULES.append(importlib.import_module("tests.faults.soak"))
SUMMED = ("combination", "hostile input", "odd number")
FAULTS: list[Fault] = [fault for module in MODULES for fault in getattr(module, "FAULTS", [])]


@dataclass
class Row:
    """What came of the tries of one fault."""

    fault: Fault
    times: int = 0
    skipped: str = ""
    lost: list[str] = field(default_factory=list)  # one line for each try that lost something
    seconds: float = 0.0

    @property
    def nothing_lost(self) -> int:
        """How many tries lost nothing."""
        return self.times - len(self.lost)


def tries(fault: Fault, ground: Ground, times: int) -> Row:
    """Try a fault so many times, each with a seed of its own; a trial that breaks has lost something, too."""
    row = Row(fault)
    begin = time.monotonic()
    for number in range(times):
        seed = hashlib.sha256(f"{fault.kind} {fault.name} {number}".encode()).digest()
        try:
            lost = fault.trial(ground, Random(seed))
        except Skipped as reason:
            row.skipped = str(reason)
            break
        except Exception as error:
            lost = [f"the trial broke: {type(error).__name__}: {error}"[:400]]
        row.times += 1
        if lost:
            row.lost.append("; ".join(lost))
    row.seconds = time.monotonic() - begin
    return row


def chosen(words: Iterable[str]) -> Iterator[Fault]:
    """The faults whose kind or name has one of `words` in it; all, where there are none."""
    words = [word.lower() for word in words]
    for fault in FAULTS:
        if not words or any(word in f"{fault.kind} {fault.name}".lower() for word in words):
            yield fault


def table(rows: Iterable[Row], earlier: str = "") -> str:
    """The rows as Markdown; what stands in the table `earlier` and was not tried again stays.

    Kinds whose faults are tried once each are one row.
    """
    lines = dict(re.findall(r"^\| (\w.*?) (\| \d+ \| \d+ \|)$", earlier, flags=re.MULTILINE))
    sums: Counter[tuple[str, str]] = Counter()
    for row in rows:
        name = row.fault.kind if row.fault.kind in SUMMED else f"{row.fault.kind}: {row.fault.name}"
        sums[name, "tried"] += row.times
        sums[name, "fine"] += row.nothing_lost
    for name in dict.fromkeys(name for name, _ in sums):
        lines[name] = f"| {sums[name, 'tried']} | {sums[name, 'fine']} |"
    body = [f"| {name} {counts}" for name, counts in sorted(lines.items())]
    return "\n".join(["| fault | times tried | times nothing lost |", "| --- | --- | --- |", *body, ""])
