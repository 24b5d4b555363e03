"""Killed at a random moment: stages, commands, flows and the server; then the same command once more."""

import signal
import time
from collections.abc import Callable
from random import Random

import httpx

from tests.faults.fault import Fault, Trial, differences, finished, tracebacks
from tests.faults.ground import PYTHON, Ground, Ran, Workspace, foreframe
from tests.flows.conftest import free_port

DATA = tuple(f"data/{name}" for name in ("sample", "frames", "clips", "model", "training", "metrics", "renders"))
CHAMPION = ("models/champion/model.json", "models/champion/model.safetensors")
PREDICT = foreframe("predict", "in.mp4", "out.mp4", "--frames", "40")
TRANSLATE = foreframe("translate", "in.mp4", "out.mp4", "--model", "translator")
LONG_PREDICT = foreframe("predict", "in.mp4", "out.mp4", "--frames", "1500")  # longer than Python's imports take
LONG_TRANSLATE = foreframe("translate", "long.mp4", "out.mp4", "--model", "translator")
SERVER_SECONDS = 300.0


def killed(of: str, command: list[str], outs: tuple[str, ...], number: int, *, group: bool = False) -> Trial:
    """A trial that sends signal `number` to a command in a copy of the workspace `of`, or to all that it started."""

    def trial(ground: Ground, random: Random) -> list[str]:
        expected, seconds = ground.undisturbed(of, command, *outs)
        workspace = ground.copy(getattr(ground, of))
        running = workspace.start(command)
        time.sleep(random.uniform(0, seconds))
        running.kill(number, group=group)
        first = running.wait(90, killed=True)
        lost = tracebacks(first)
        lost += workspace.survivors()
        if outs == ("out.mp4",):  # a stage's outputs are DVC's until the stage has ended; OUT is a person's
            lost += differences(expected, workspace.hashes(*outs), whole=False)
        again = workspace.run(command, 1800)
        lost += finished(again) + differences(expected, workspace.hashes(*outs))
        lost += workspace.survivors() + workspace.litter()
        workspace.remove()
        return lost

    return trial


def server(number: int, latest: float) -> Trial:
    """A trial that ends `flows.deploy` after up to `latest` seconds, and then starts it anew."""

    def trial(ground: Ground, random: Random) -> list[str]:
        workspace = ground.copy(ground.reproduced)
        workspace.set(schedules__retrain=None, schedules__generate=None, schedules__monitor=None)
        port = free_port()
        command = [PYTHON, "-m", "flows.deploy", "--port", str(port)]
        running = workspace.start(command)
        time.sleep(random.uniform(0, latest))
        running.kill(number, group=False)
        lost = tracebacks(running.wait(90, killed=True)) + workspace.survivors(30)
        lost += _serves(workspace, command, f"http://127.0.0.1:{port}/api")
        workspace.remove()
        return lost

    return trial


def _serves(workspace: Workspace, command: list[str], api: str) -> list[str]:
    """Start the server; it must have its deployments, end at SIGTERM and leave nothing."""
    running = workspace.start(command)
    ready = _until(lambda: httpx.get(f"{api}/deployments/name/generate/scheduled").is_success, SERVER_SECONDS)
    running.kill(signal.SIGTERM, group=False)
    ran = running.wait(90)
    ended = Ran(0 if ran.code in (0, -signal.SIGTERM, 143) else ran.code, ran.output)
    return ([] if ready else ["does not serve when started anew"]) + finished(ended) + workspace.survivors(30)


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if condition():
                return True
        except httpx.HTTPError:
            pass
        time.sleep(0.3)
    return False


def _flow(name: str, *arguments: str) -> list[str]:
    return [PYTHON, "-m", f"flows.{name}", *arguments]


DVC = [PYTHON, "-m", "dvc", "repro"]
RETRAIN = _flow("retrain", "-S", "train.seed=1")
TERM, KILL = signal.SIGTERM, signal.SIGKILL
FAULTS = [
    Fault("killed", "`dvc repro`, SIGKILL to all", killed("fresh", DVC, DATA, KILL, group=True), 15),
    Fault("killed", "`dvc repro`, SIGKILL to DVC alone", killed("fresh", DVC, DATA, KILL), 15),
    Fault("killed", "`dvc repro`, SIGTERM to all", killed("fresh", DVC, DATA, TERM, group=True), 10),
    Fault("killed", "`foreframe predict`, SIGKILL", killed("staged", LONG_PREDICT, ("out.mp4",), KILL), 8),
    Fault("killed", "`foreframe predict`, SIGTERM", killed("staged", LONG_PREDICT, ("out.mp4",), TERM), 8, 1),
    Fault("killed", "`foreframe translate`, SIGKILL", killed("staged", LONG_TRANSLATE, ("out.mp4",), KILL), 7),
    Fault("killed", "`foreframe translate`, SIGTERM", killed("staged", LONG_TRANSLATE, ("out.mp4",), TERM), 7),
    Fault("killed", "`flows.repro`, SIGKILL", killed("fresh", _flow("repro"), DATA, KILL), 4),
    Fault("killed", "`flows.repro`, SIGTERM", killed("fresh", _flow("repro"), DATA, TERM), 4),
    Fault("killed", "`flows.retrain`, SIGKILL", killed("reproduced", RETRAIN, (*DATA, *CHAMPION), KILL), 4),
    Fault("killed", "`flows.retrain`, SIGTERM", killed("reproduced", RETRAIN, (*DATA, *CHAMPION), TERM), 4),
    Fault("killed", "`flows.generate`, SIGKILL", killed("reproduced", _flow("generate"), ("generated",), KILL), 3),
    Fault("killed", "`flows.generate`, SIGTERM", killed("reproduced", _flow("generate"), ("generated",), TERM), 3),
    Fault("killed", "`flows.deploy`, SIGTERM in its first seconds", server(TERM, 8), 3),
    Fault("killed", "`flows.deploy`, SIGTERM", server(TERM, 60), 2),
    Fault("killed", "`flows.deploy`, SIGKILL", server(KILL, 60), 3),
]
