"""All faults, and one try of one of them."""

import hashlib
import json
import re
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.faults import champions, disks, flips, generators, hostile, intrusion, kills, numbers, pairs
from tests.faults.fault import Fault, Skipped
from tests.faults.ground import Ground

MODULES = [kills, pairs, intrusion, champions, disks, flips, hostile, numbers, generators]
SUMMED = ("combination", "hostile input", "odd number", "name of a folder", "request", "parameter of a run")
BROKE = "the trial broke"  # what is said where nothing was learnt about the program
FAULTS: list[Fault] = [fault for module in MODULES for fault in module.FAULTS]


@dataclass
class Row:
    """What came of the tries of one fault."""

    fault: Fault
    times: int = 0
    lost: list[str] = field(default_factory=list)  # one line for each try that lost something
    broken: list[str] = field(default_factory=list)  # those of `lost` in which the trial itself broke
    seconds: float = 0.0

    @property
    def nothing_lost(self) -> int:
        """How many tries lost nothing."""
        return self.times - len(self.lost)


class Results:
    """What came of tries, in a file of JSON lines: those that lost nothing are not made again."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.known: dict[tuple[str, str, int], dict[str, Any]] = {}
        for line in path.read_text().splitlines() if path is not None and path.exists() else []:
            entry = json.loads(line)
            self.known[entry["kind"], entry["name"], entry["number"]] = entry

    def fine(self, fault: Fault, number: int) -> bool:
        """Whether this try was made and lost nothing."""
        entry = self.known.get((fault.kind, fault.name, number))
        return entry is not None and not entry["lost"]

    def row(self, fault: Fault) -> Row:
        """All that is known of a fault."""
        entries = [entry for (kind, name, _), entry in self.known.items() if (kind, name) == (fault.kind, fault.name)]
        lost = ["; ".join(entry["lost"]) for entry in entries if entry["lost"]]
        broken = [line for line in lost if line.startswith(BROKE)]
        return Row(fault, len(entries), lost, broken, sum(entry["seconds"] for entry in entries))

    def add(self, fault: Fault, number: int, lost: list[str], seconds: float) -> None:
        """Note a try; of one that was made before, the last counts."""
        entry = {"kind": fault.kind, "name": fault.name, "number": number, "lost": lost, "seconds": round(seconds, 1)}
        self.known[fault.kind, fault.name, number] = entry
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(f"{json.dumps(entry)}\n")


def attempt(fault: Fault, ground: Ground, number: int, results: Results) -> None:
    """Make try `number` of a fault, with a seed of its own, unless it is known to lose nothing.

    A trial that breaks has lost something, too. Skipped where this machine does not allow it.
    """
    if results.fine(fault, number):
        return
    begin = time.monotonic()
    seed = hashlib.sha256(f"{fault.kind} {fault.name} {number}".encode()).digest()
    try:
        lost = fault.trial(ground, Random(seed))
    except Skipped:
        raise
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        lost = [f"{BROKE} at {Path(where.filename).name}:{where.lineno}: {type(error).__name__}: {error}"[:400]]
    results.add(fault, number, lost, time.monotonic() - begin)


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
