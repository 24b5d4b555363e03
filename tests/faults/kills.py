"""Killed at a random moment: stages, commands, flows and the server; then the same command once more."""

import signal
import time
from dataclasses import dataclass
from random import Random

import httpx

from tests.faults.commands import PYTHON, Ran, Workspace, foreframe, free_port, until
from tests.faults.fault import Fault, Trial, differences, finished, tracebacks
from tests.faults.ground import Ground

DATA = tuple(f"data/{name}" for name in ("sample", "frames", "clips", "model", "training", "metrics", "renders"))
CHAMPION = ("models/champion/model.json", "models/champion/model.safetensors")
PREDICT = foreframe("predict", "in.mp4", "out.mp4", "--frames", "40", "--model", "data/model")
TRANSLATE = foreframe("translate", "in.mp4", "out.mp4", "--model", "translator")
LONG_PREDICT = foreframe("predict", "in.mp4", "out.mp4", "--frames", "300", "--model", "data/model")
LONG_TRANSLATE = foreframe("translate", "long.mp4", "out.mp4", "--model", "translator")
SERVER_SECONDS = 900.0
IMPORT_SECONDS = 10.0  # that DVC and a stage take before they begin
START_SECONDS = 10.0  # that a Prefect server takes
INT = signal.SIGINT
NOT_FORKED = 0.2  # share of tries that begin with Python's start and its imports, which take most of the time
OWN_SERVER = 0.5  # share of a flow's tries with a Prefect server of its own, which lives no longer than the flow


def killed(of: str, command: list[str], outs: tuple[str, ...], number: int) -> Trial:
    """A trial that sends signal `number` to a command in a copy of the workspace `of`, at a random moment.

    As a terminal does, SIGINT (Ctrl-C) goes to all that the command has started and has not taken out of its group.
    """

    def trial(ground: Ground, random: Random) -> list[str]:
        api = ground.api if command[2].startswith("flows.") else ""
        expected, seconds = ground.undisturbed(of, command, *outs, api=api)
        forked = random.random() > NOT_FORKED
        seconds += 0 if forked else IMPORT_SECONDS
        if api and random.random() < OWN_SERVER:
            api = ""
            seconds += START_SECONDS
        moment = random.uniform(0, seconds)
        kill = Kill(command, outs, number, group=number == INT, forked=forked, api=api)
        return _lost(kill, ground, getattr(ground, of), expected, moment)

    return trial


def killed_repro(number: int, *, group: bool = False) -> Trial:
    """A trial that sends signal `number` to `dvc repro` at a random moment, or to all that it started.

    The stages before that moment have run already, and those after it are left out.
    """

    def trial(ground: Ground, random: Random) -> list[str]:
        step = ground.step(random)
        forked = random.random() > NOT_FORKED
        moment = random.uniform(0, step.seconds if forked else step.seconds + IMPORT_SECONDS)
        kill = Kill([*DVC, step.name], DATA, number, group, forked=forked)
        return _lost(kill, ground, step.before, step.after.hashes(*DATA), moment)

    return trial


@dataclass(frozen=True)
class Kill:
    """A signal to a command, or to all that it started, and what the command would write."""

    command: list[str]
    outs: tuple[str, ...]
    number: int
    group: bool = False
    forked: bool = True
    api: str = ""  # of the Prefect server, for flows


def _lost(kill: Kill, ground: Ground, of: Workspace, expected: dict[str, str], moment: float) -> list[str]:
    """What is lost where a command is sent a signal after `moment` seconds and then run once more."""
    while True:
        workspace = ground.copy(of)
        if kill.api:
            workspace.environment["PREFECT_API_URL"] = kill.api
        running = workspace.start(kill.command, forked=kill.forked)
        time.sleep(moment)
        if running.process.poll() is None or moment < 0.1:
            break
        moment /= 2  # it was quicker than the one that was measured, so that there is nothing to kill any more
        workspace.remove()
    running.kill(kill.number, group=kill.group)
    lost = tracebacks(running.wait(300, killed=True)) + workspace.survivors()
    if kill.outs == ("out.mp4",):  # a stage's outputs are DVC's until the stage has ended; OUT is a person's
        lost += differences(expected, workspace.hashes(*kill.outs), whole=False)
    lost += finished(workspace.quick(kill.command, 1800)) + differences(expected, workspace.hashes(*kill.outs))
    lost += workspace.survivors() + workspace.litter()
    workspace.remove()
    return lost


def server(number: int, latest: float) -> Trial:
    """A trial that ends `flows.deploy` after up to `latest` seconds, and then starts it anew."""

    def trial(ground: Ground, random: Random) -> list[str]:
        workspace = ground.copy(ground.reproduced)
        workspace.set(schedules__retrain=None, schedules__generate=None, schedules__monitor=None)
        port = free_port()
        command = [PYTHON, "-m", "flows.deploy", "--port", str(port)]
        running = workspace.start(command)
        time.sleep(random.uniform(0, latest))
        running.kill(number, group=number == INT)
        lost = tracebacks(running.wait(300, killed=True)) + workspace.survivors(60)
        lost += _serves(workspace, command, f"http://127.0.0.1:{port}/api")
        workspace.remove()
        return lost

    return trial


def _serves(workspace: Workspace, command: list[str], api: str) -> list[str]:
    """Start the server; it must have its deployments, end at SIGTERM and leave nothing."""
    running = workspace.start(command)
    ready = until(lambda: httpx.get(f"{api}/deployments/name/generate/scheduled").is_success, SERVER_SECONDS)
    running.kill(signal.SIGTERM, group=False)
    ran = running.wait(300)
    ended = Ran(0 if ran.code in (0, -signal.SIGTERM, 143) else ran.code, ran.output)
    return ([] if ready else ["does not serve when started anew"]) + finished(ended) + workspace.survivors(60)


def flow_of(name: str, *arguments: str) -> list[str]:
    return [PYTHON, "-m", f"flows.{name}", *arguments]


DVC = [PYTHON, "-m", "dvc", "repro"]
RETRAIN = flow_of("retrain", "-S", "train.seed=1")
REPRO = flow_of("repro", "-S", "train.seed=1")
TERM, KILL = signal.SIGTERM, signal.SIGKILL
FAULTS = [
    Fault("killed", "`dvc repro`, SIGKILL to all", killed_repro(KILL, group=True), 15),
    Fault("killed", "`dvc repro`, SIGKILL to DVC alone", killed_repro(KILL), 15),
    Fault("killed", "`dvc repro`, SIGTERM to all", killed_repro(TERM, group=True), 10),
    Fault("killed", "`foreframe predict`, SIGKILL", killed("staged", LONG_PREDICT, ("out.mp4",), KILL), 8),
    Fault("killed", "`foreframe predict`, SIGTERM", killed("staged", LONG_PREDICT, ("out.mp4",), TERM), 8, 1),
    Fault("killed", "`foreframe translate`, SIGKILL", killed("staged", LONG_TRANSLATE, ("out.mp4",), KILL), 7),
    Fault("killed", "`foreframe translate`, SIGTERM", killed("staged", LONG_TRANSLATE, ("out.mp4",), TERM), 7),
    Fault("killed", "`flows.repro`, SIGKILL", killed("copying", REPRO, DATA, KILL), 4),
    Fault("killed", "`flows.repro`, SIGTERM", killed("copying", REPRO, DATA, TERM), 4),
    Fault("killed", "`flows.retrain`, SIGKILL", killed("copying", RETRAIN, (*DATA, *CHAMPION), KILL), 4),
    Fault("killed", "`flows.retrain`, SIGTERM", killed("copying", RETRAIN, (*DATA, *CHAMPION), TERM), 4),
    Fault("killed", "`flows.generate`, SIGKILL", killed("reproduced", flow_of("generate"), ("generated",), KILL), 3),
    Fault("killed", "`flows.generate`, SIGTERM", killed("reproduced", flow_of("generate"), ("generated",), TERM), 3),
    Fault("killed", "`flows.deploy`, SIGTERM in its first seconds", server(TERM, 8), 3),
    Fault("killed", "`flows.deploy`, SIGTERM", server(TERM, 60), 2),
    Fault("killed", "`flows.deploy`, SIGKILL", server(KILL, 60), 3),
    Fault("killed", "`dvc repro`, Ctrl-C", killed_repro(INT, group=True), 5),
    Fault("killed", "`foreframe predict`, Ctrl-C", killed("staged", LONG_PREDICT, ("out.mp4",), INT), 3, 1),
    Fault("killed", "`foreframe translate`, Ctrl-C", killed("staged", LONG_TRANSLATE, ("out.mp4",), INT), 3),
    Fault("killed", "`flows.repro`, Ctrl-C", killed("copying", REPRO, DATA, INT), 3),
    Fault("killed", "`flows.retrain`, Ctrl-C", killed("copying", RETRAIN, (*DATA, *CHAMPION), INT), 3),
    Fault("killed", "`flows.generate`, Ctrl-C", killed("reproduced", flow_of("generate"), ("generated",), INT), 3),
    Fault("killed", "`flows.deploy`, Ctrl-C", server(INT, 60), 2),
]
