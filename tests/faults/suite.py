"""All faults, and one try of one of them."""

import hashlib
import json
import re
import time
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
FAULTS: list[Fault] = [fault for module in MODULES for fault in module.FAULTS]


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


class Results:
    """What came of tries, in a file of JSON lines: those that lost nothing are not made again."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.known: dict[tuple[str, str, int], dict[str, Any]] = {}
        for line in path.read_text().splitlines() if path is not None and path.exists() else []:
            entry = json.loads(line)
            self.known[entry["kind"], entry["name"], entry["number"]] = entry

    def fine(self, fault: Fault, number: int) -> float | None:
        """The seconds that this try took, if it was made and lost nothing."""
        entry = self.known.get((fault.kind, fault.name, number))
        return float(entry["seconds"]) if entry is not None and not entry["lost"] else None

    def row(self, fault: Fault) -> Row:
        """All that is known of a fault."""
        entries = [entry for (kind, name, _), entry in self.known.items() if (kind, name) == (fault.kind, fault.name)]
        lost = ["; ".join(entry["lost"]) for entry in entries if entry["lost"]]
        return Row(fault, len(entries), lost=lost, seconds=sum(entry["seconds"] for entry in entries))

    def add(self, fault: Fault, number: int, lost: list[str], seconds: float) -> None:
        """Note a try; of one that was made before, the last counts."""
        entry = {"kind": fault.kind, "name": fault.name, "number": number, "lost": lost, "seconds": round(seconds, 1)}
        self.known[fault.kind, fault.name, number] = entry
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(f"{json.dumps(entry)}\n")


def tries(fault: Fault, ground: Ground, times: int, results: Results | None = None) -> Row:
    """Try a fault so many times, each with a seed of its own; a trial that breaks has lost something, too."""
    row, results = Row(fault), results or Results()
    for number in range(times):
        if (known := results.fine(fault, number)) is not None:
            row.times += 1
            row.seconds += known
            continue
        begin = time.monotonic()
        seed = hashlib.sha256(f"{fault.kind} {fault.name} {number}".encode()).digest()
        try:
            lost = fault.trial(ground, Random(seed))
        except Skipped as reason:
            row.skipped = str(reason)
            break
        except Exception as error:
            lost = [f"the trial broke: {type(error).__name__}: {error}"[:400]]
        seconds = time.monotonic() - begin
        results.add(fault, number, lost, seconds)
        row.times += 1
        row.seconds += seconds
        if lost:
            row.lost.append("; ".join(lost))
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
