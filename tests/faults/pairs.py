"""Two of anything at once, in all pairs: both end well, and who waits or is refused says who holds the lock."""

import re
import time
from itertools import combinations_with_replacement
from random import Random

from tests.faults.commands import PYTHON, foreframe
from tests.faults.fault import Fault, Trial, differences, tracebacks
from tests.faults.ground import Ground
from tests.faults.kills import CHAMPION, DATA, REPRO, RETRAIN

COMMANDS = {
    "repro": (REPRO, DATA),
    "retrain": (RETRAIN, (*DATA, *CHAMPION)),
    "generate": ([PYTHON, "-m", "flows.generate"], ("generated",)),
    "predict": (foreframe("predict", "in.mp4", "out.mp4", "--frames", "40", "--model", "models/v1.0.0"), ("out.mp4",)),
}
SAME_LOCK = ({"repro", "retrain"}, {"repro"}, {"retrain"}, {"generate"})  # one of these waits for the other
LATER_SECONDS = 2.0  # at most, that the second starts after the first
PREVIOUS = "data/metrics/previous.json"  # written by a retrain that has something to do: who is second may have nothing
HOLDER = re.compile(r"(process|pid)\D{0,12}\d+", re.IGNORECASE)


def together(one: str, other: str) -> Trial:
    """A trial of two commands, the second a moment after the first."""

    def trial(ground: Ground, random: Random) -> list[str]:
        expected: dict[str, str] = {}
        for name in {one, other}:
            command, outs = COMMANDS[name]
            expected |= ground.undisturbed("copying", command, *outs, api=ground.api)[0]
        # what is generated beside a retrain has the name of the champion of the moment
        uncertain = ("generated", PREVIOUS) if "retrain" in (one, other) else (PREVIOUS,)
        workspace = ground.copy(ground.copying)
        workspace.environment["PREFECT_API_URL"] = ground.api
        first = workspace.start(COMMANDS[one][0], forked=True)
        time.sleep(random.uniform(0, LATER_SECONDS))
        second = workspace.start(COMMANDS[other][0], forked=True)
        ended = [first.wait(1800), second.wait(1800)]
        lost = tracebacks(*ended)
        told = [bool(HOLDER.search(ran.output)) for ran in ended]
        if {one, other} in SAME_LOCK and not any(told):
            lost.append("nobody says who holds the lock")
        lost += [f"fails: {ran.last_line}" for ran, said in zip(ended, told, strict=True) if ran.code and not said]
        present = workspace.hashes(*(out for name in {one, other} for out in COMMANDS[name][1]))
        expected, present = (
            {name: value for name, value in files.items() if not name.startswith(uncertain)}
            for files in (expected, present)
        )
        lost += differences(expected, present) + workspace.litter() + workspace.survivors()
        workspace.remove()
        return lost

    return trial


FAULTS = [
    Fault("two at once", f"{one}, {other}", together(one, other), 5)
    for one, other in combinations_with_replacement(COMMANDS, 2)
]
