"""A disk that is full, on a real small file system, or read-only; and readers of our output that go away."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from random import Random

from tests.faults.commands import PYTHON, STAGES, Ran, Workspace, foreframe, stage
from tests.faults.fault import Fault, Skipped, Trial, differences, finished, refused, tracebacks
from tests.faults.ground import Ground
from tests.faults.kills import DATA, PREDICT, TRANSLATE

WRITES = {  # what the stage writes; what it is given stays
    "sample": ("data/sample",),
    "extract": ("data/frames",),
    "tensorize": ("data/clips",),
    "train": ("data/model", "data/training"),
    "evaluate": ("data/metrics",),
    "render": ("data/renders",),
}
FULL = ("no space", "disk is full", "disk full")
READ_ONLY = ("read-only",)
DVC_FULL = (*FULL, "disk i/o error")  # of SQLite, in which DVC keeps its notes
DVC_READ_ONLY = (*READ_ONLY, "readonly", "unable to open database file")


@contextmanager
def small_disk(ground: Ground, of: Workspace) -> Iterator[Workspace]:
    """A copy of a workspace on a tmpfs of its own."""
    number = next(ground.numbers)
    place = ground.folder / f"disk-{number}"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", place], capture_output=True)
    if mounted.returncode:
        raise Skipped(f"this machine mounts no tmpfs: {mounted.stderr.decode().strip()}")
    try:
        workspace = ground.copy(of, place)
        logs = ground.folder / f"disk-logs-{number}"  # what is said is not to be lost with the disk
        logs.mkdir()
        workspace.logs = logs
        yield workspace
        workspace.survivors(0)
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@contextmanager
def filled(workspace: Workspace, free: int) -> Iterator[None]:
    """The disk has only `free` bytes left."""
    ballast = workspace.folder.parent / "ballast"
    with ballast.open("wb") as file:
        status = os.statvfs(workspace.folder)
        os.posix_fallocate(file.fileno(), 0, max(1, status.f_bavail * status.f_frsize - free))
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def read_only(workspace: Workspace) -> Iterator[None]:
    """Nothing can be written to the disk."""
    place = workspace.folder.parent
    subprocess.run(["mount", "-o", "remount,ro", place], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", place], check=True)


def full(of: str, command: list[str], outs: tuple[str, ...]) -> Trial:
    """A trial on a disk that has less room than the outputs need, or none."""

    def trial(ground: Ground, random: Random) -> list[str]:
        with small_disk(ground, getattr(ground, of)) as workspace:
            if command == GENERATE:
                workspace.environment["PREFECT_API_URL"] = ground.api
            expected = _expected(ground, of, command, outs)
            size = _clear(workspace, command, outs)
            with filled(workspace, random.choice([0, random.randrange(size + 1)]) if size else 0):
                first = workspace.quick(command)
                lost = tracebacks(first) if first.code == 0 else refused(first, *FULL)
                if command != GENERATE:
                    present = workspace.hashes(*outs)  # the history of a training is written anew, whole, at each epoch
                    whole = {name: value for name, value in present.items() if not name.startswith("data/training")}
                    lost += [f"half: {what}" for what in differences(expected, whole, whole=False)]
            return lost + _once_more(workspace, workspace.quick(command), expected, outs)

    return trial


def locked_disk(of: str, command: list[str], outs: tuple[str, ...]) -> Trial:
    """A trial on a disk that is read-only for a while."""

    def trial(ground: Ground, random: Random) -> list[str]:
        with small_disk(ground, getattr(ground, of)) as workspace:
            if command == GENERATE:
                workspace.environment["PREFECT_API_URL"] = ground.api
            expected = _expected(ground, of, command, outs)
            _clear(workspace, command, outs)
            with read_only(workspace):
                first = workspace.quick(command)
            return refused(first, *READ_ONLY) + _once_more(workspace, workspace.quick(command), expected, outs)

    return trial


def forbidden(of: str, command: list[str], outs: tuple[str, ...]) -> Trial:
    """A trial of somebody who may read everything and write nothing."""

    def trial(ground: Ground, random: Random) -> list[str]:
        workspace = ground.copy(getattr(ground, of))
        expected = _expected(ground, of, command, outs)
        _clear(workspace, command, outs)
        workspace.powers = False
        subprocess.run(["chmod", "-R", "a-w", workspace.folder], check=True)
        first = workspace.quick(command)
        subprocess.run(["chmod", "-R", "u+w", workspace.folder], check=True)
        lost = refused(first, "permission denied") + _once_more(workspace, workspace.quick(command), expected, outs)
        workspace.remove()
        return lost

    return trial


def filled_at_random(workspace: Workspace, random: Random) -> AbstractContextManager[None]:
    """The disk has less room left than a stage of small parameters needs, or none."""
    return filled(workspace, random.choice([0, random.randrange(40_000)]))


def repro(
    program: list[str], disk: Callable[[Workspace, Random], AbstractContextManager[None]], words: tuple[str, ...]
) -> Trial:
    """A trial of `dvc repro`, or of the flow, on a disk that takes nothing more from some stage on."""

    def trial(ground: Ground, random: Random) -> list[str]:
        step = ground.step(random)
        command, expected = [*program, step.name], step.after.hashes(*DATA)
        with small_disk(ground, step.before) as workspace:
            if program == FLOW:
                workspace.environment["PREFECT_API_URL"] = ground.api
            with disk(workspace, random):
                first = workspace.quick(command)
            lost = tracebacks(first) if first.code == 0 else refused(first, *words)
            return lost + _once_more(workspace, workspace.quick(command), expected, DATA)

    return trial


def _expected(ground: Ground, of: str, command: list[str], outs: tuple[str, ...]) -> dict[str, str]:
    """What the outputs are: of a stage, they stand in the workspace already."""
    api = ground.api if command == GENERATE else ""
    return getattr(ground, of).hashes(*outs) or ground.undisturbed(of, command, *outs, api=api)[0]


def _clear(workspace: Workspace, command: list[str], outs: tuple[str, ...]) -> int:
    """Remove the outputs, as DVC does before a stage; returns how many bytes they had, or a guess."""
    size = 0
    for out in outs:
        path = workspace.folder / out
        size += sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        shutil.rmtree(path, ignore_errors=True)
    for kept in (".train", "data/.frames"):  # what would make it quick
        shutil.rmtree(workspace.folder / kept, ignore_errors=True)
    return size or 20_000


def _once_more(workspace: Workspace, again: Ran, expected: dict[str, str], outs: tuple[str, ...]) -> list[str]:
    return finished(again) + differences(expected, workspace.hashes(*outs)) + workspace.litter()


def closed_output(command: list[str]) -> Trial:
    """A trial whose reader has gone before the first line, as `… | head` does."""

    def trial(ground: Ground, random: Random) -> list[str]:
        workspace = ground.copy(ground.staged)
        reader, writer = os.pipe()
        os.close(reader)
        log = workspace.logs / "errors.log"
        with log.open("wb") as errors:
            done = subprocess.run(
                command, cwd=workspace.folder, env=workspace.environment, stdout=writer, stderr=errors
            )
        os.close(writer)
        said = log.read_text()
        workspace.remove()
        wrong = [f"says: {said.strip().splitlines()[-1]}"] if "Traceback" in said or "Exception ignored" in said else []
        return wrong + ([f"exit status {done.returncode}"] if done.returncode not in (0, 1, -13, 141) else [])

    return trial


REPRO = [PYTHON, "-m", "dvc", "repro"]
FLOW = [PYTHON, "-m", "flows.repro"]
SHORT = ("sample", "tensorize", "evaluate")
GENERATE = [PYTHON, "-m", "flows.generate"]


def _of_stages(kind: str, make: Callable[..., Trial], times: int) -> list[Fault]:
    return [
        Fault(kind, f"stage {name}", make("staged", stage(name), WRITES[name]), times, int(name in SHORT))
        for name in STAGES
    ]


FAULTS = [
    *_of_stages("disk full", full, 5),
    Fault("disk full", "`foreframe predict`", full("staged", PREDICT, ("out.mp4",)), 5, 1),
    Fault("disk full", "`foreframe translate`", full("staged", TRANSLATE, ("out.mp4",)), 5),
    Fault("disk full", "`dvc repro`", repro(REPRO, filled_at_random, DVC_FULL), 3),
    Fault("disk full", "`flows.repro`", repro(FLOW, filled_at_random, FULL), 3),
    Fault("disk full", "`flows.generate`", full("reproduced", GENERATE, ("generated",)), 2),
    *_of_stages("read-only", locked_disk, 1),
    Fault("read-only", "`foreframe predict`", locked_disk("staged", PREDICT, ("out.mp4",)), 1, 1),
    Fault("read-only", "`foreframe translate`", locked_disk("staged", TRANSLATE, ("out.mp4",)), 1),
    Fault("read-only", "`dvc repro`", repro(REPRO, lambda workspace, _: read_only(workspace), DVC_READ_ONLY), 2),
    Fault("read-only", "`flows.repro`", repro(FLOW, lambda workspace, _: read_only(workspace), READ_ONLY), 2),
    *_of_stages("no permission", forbidden, 1),
    Fault("no permission", "`foreframe predict`", forbidden("staged", PREDICT, ("out.mp4",)), 1, 1),
    Fault("closed output", "`foreframe info` of metrics", closed_output(foreframe("info", "data/metrics")), 3, 1),
    Fault("closed output", "`foreframe info` of a model", closed_output(foreframe("info", "data/model")), 3, 1),
    Fault("closed output", "`foreframe info` of a video", closed_output(foreframe("info", "in.mp4")), 3),
    Fault("closed output", "`foreframe --help`", closed_output(foreframe("--help")), 3),
]
