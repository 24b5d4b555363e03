"""Workspaces to break: copies of one that ran through undisturbed, and what is found in them afterwards."""

import hashlib
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

import psutil
from ruamel.yaml import YAML

from tests.faults.zygote import Forked, Zygote
from tests.workspace import ROOT, make_workspace

MARK = "FOREFRAME_TRIAL"  # an environment variable by which the processes of a trial are known, orphans among them
STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
UNFINISHED = re.compile(r"\..+\.part|\.\d+\..+|\.incoming-.+|.+\.tmp")
CHAMPION = """
from pathlib import Path
from pipeline import model_versions
for _ in range(2):
    model_versions.activate(model_versions.store(Path("data/model"), {"reason": "a trial", "videos": [], "scores": {}}))
"""
PROMOTE = """
from pathlib import Path
from prefect import flow
from flows import promotion
facts = {"reason": "a trial", "videos": [], "scores": {}}
flow(lambda: promotion.promote(Path("data/model"), facts, ["dvc.lock", "params.yaml"], "Promote", commit=True))()
"""
PYTHON = sys.executable
UNUSED = (".github", ".ci", "docs", "tests", "findings")


def stage(name: str) -> list[str]:
    """The command line of a stage in dvc.yaml."""
    words = shlex.split(STAGES[name]["cmd"].replace("${data.videos}", "data/sample"))
    return [PYTHON, *words[1:]]


def foreframe(*arguments: str) -> list[str]:
    """The command line of `foreframe …`."""
    return [PYTHON, "-m", "pipeline.cli", *arguments]


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    code: int  # 124: it did not end in time
    output: str  # both streams
    seconds: float = 0.0
    killed: bool = False  # by us

    @property
    def last_line(self) -> str:
        """The end of what it said."""
        return (self.output.strip().splitlines() or ["(nothing)"])[-1][:300]


class Workspace:
    """A folder with the pipeline in it, in which one trial takes place."""

    def __init__(self, folder: Path, environment: dict[str, str], zygote: Zygote) -> None:
        self.folder, self.zygote = folder, zygote
        self.mark = uuid.uuid4().hex
        self.sessions: set[int] = set()  # of forks, whose environment is known to nobody else
        state = folder.parent / f"{folder.name}-state"
        self.environment = {
            **environment,
            MARK: self.mark,
            "DVC_SITE_CACHE_DIR": str(state / "dvc"),
            "PREFECT_HOME": str(state / "prefect"),
            "OMP_NUM_THREADS": "1",
            "NO_COLOR": "1",
        }
        self.environment.pop("PREFECT_API_URL", None)
        self.logs = state / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)

    def start(self, command: list[str], *, forked: bool = False) -> "Running":
        """Start a command in a session of its own; `forked`: from a process that has imported all that it needs."""
        return Running(self, command, forked)

    def run(self, command: list[str], seconds: float = 900) -> Ran:
        """Run a command to its end in a process of its own, or kill it after so many seconds."""
        return self.start(command).wait(seconds)

    def quick(self, command: list[str], seconds: float = 300) -> Ran:
        """The same, forked."""
        return self.start(command, forked=True).wait(seconds)

    def set(self, **values: object) -> None:
        """Change keys of params.yaml: section__key=value."""
        yaml = YAML()
        yaml.width = 1000
        params = yaml.load(self.folder / "params.yaml")
        for name, value in values.items():
            *sections, key = name.split("__")
            section = params
            for part in sections:
                section = section[part]
            section[key] = value
        yaml.dump(params, self.folder / "params.yaml")

    def hashes(self, *outs: str) -> dict[str, str]:
        """SHA-256 of every file in `outs` (files or folders) but for hidden ones, which may differ."""
        found = {}
        for out in outs:
            path = self.folder / out
            for file in [path] if path.is_file() else sorted(path.rglob("*")):
                name = str(file.relative_to(self.folder))
                if file.is_file() and not any(part.startswith(".") for part in Path(name).parts):
                    found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
        return found

    def litter(self) -> list[str]:
        """Unfinished files that were left."""
        found = []
        for folder, folders, files in os.walk(self.folder):
            folders[:] = [name for name in folders if name not in (".git", ".dvc", "prefect-home", "__pycache__")]
            where = Path(folder).relative_to(self.folder)
            found += [f"{where / name} is left" for name in [*folders, *files] if UNFINISHED.fullmatch(name)]
        return sorted(found)

    def processes(self) -> list[psutil.Process]:
        """Every live process that a command of this workspace has started, however far down."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, ProcessLookupError):
                ours = process.environ().get(MARK) == self.mark or os.getsid(process.pid) in self.sessions
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def survivors(self, seconds: float = 20) -> list[str]:
        """The processes that are still there after so many seconds; they are ended then."""
        deadline = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.3)
        names = []
        for process in left:
            with suppress(psutil.Error):
                names.append(f"lives on: {' '.join(process.cmdline()[1:])[:80]}")
                process.kill()
        return names

    def remove(self) -> None:
        """End what is left, and delete the folder."""
        self.survivors(0)
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.logs.parent, ignore_errors=True)


class Running:
    """A command that was started."""

    def __init__(self, workspace: Workspace, command: list[str], forked: bool) -> None:
        self.log = workspace.logs / f"{uuid.uuid4().hex}.log"
        self.begin = time.monotonic()
        self.process: subprocess.Popen[bytes] | Forked
        if forked:
            self.process = Forked(workspace.zygote, command, workspace.folder, workspace.environment, self.log)
            workspace.sessions.add(self.process.pid)
            return
        with self.log.open("wb") as file:
            self.process = subprocess.Popen(
                command, cwd=workspace.folder, env=workspace.environment, stdin=subprocess.DEVNULL,
                stdout=file, stderr=file, start_new_session=True,
            )  # fmt: skip

    def kill(self, number: int, *, group: bool) -> None:
        """Send a signal to the command alone, or to its session's whole group."""
        with suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.process.pid, number)

    def wait(self, seconds: float = 900, *, killed: bool = False) -> Ran:
        """Until it has ended; killed, with code 124, if that takes longer."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, 9)
            self.process.wait()
            code = 124
        return Ran(code, self.log.read_text(errors="replace"), time.monotonic() - self.begin, killed)


@dataclass(frozen=True)
class Step:
    """A stage that `dvc repro` runs: the workspace before and after, and how long it took."""

    name: str
    before: Workspace
    after: Workspace
    seconds: float


class Ground:
    """Makes workspaces; what takes long is made once, when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.measured: dict[str, tuple[dict[str, str], float]] = {}
        self.zygote = Zygote(ROOT)
        self.count = 0
        self.server: subprocess.Popen[bytes] | None = None

    def close(self) -> None:
        """End what was started."""
        self.zygote.close()
        if self.server is not None:
            self.server.terminate()
            self.server.wait()

    @cached_property
    def fresh(self) -> Workspace:
        """Code and small parameters; nothing was run."""
        folder = self.folder / "fresh"
        workspace = Workspace(folder, make_workspace(folder), self.zygote)
        for command in (["rm", "-qr", *UNUSED], ["commit", "-qam", "what a pipeline needs"]):  # quick to copy
            subprocess.run(["git", *command], cwd=folder, env=workspace.environment, check=True)
        workspace.set(generate__num_frames=4, generate__workers=1, generate__videos="inbox")
        return workspace

    @cached_property
    def sampled(self) -> Workspace:
        """The same with the sample's videos."""
        workspace = self.copy(self.fresh)
        check(workspace.quick(stage("sample")), "sample")
        return workspace

    @cached_property
    def staged(self) -> Workspace:
        """Every stage was run once, without DVC; two versions are stored, and there is a model that translates."""
        translator = self.copy(self.fresh)
        translator.set(task="translate")
        workspace = self.copy(self.fresh)
        for name in (".git", ".dvc"):
            shutil.rmtree(workspace.folder / name)
        for name in STAGES:
            check(workspace.quick(stage(name), 300), name)
            if name in ("sample", "extract"):
                shutil.copytree(workspace.folder / "data", translator.folder / "data", dirs_exist_ok=True)
            elif name in ("tensorize", "train"):
                check(translator.quick(stage(name), 300), name)
        check(workspace.quick(stage("extract"), 300), "extract once more")  # it notes hashes of files of some age
        return self._furnish(workspace, translator)

    @cached_property
    def steps(self) -> dict[str, Step]:
        """What `dvc repro` does to a fresh workspace, stage by stage."""
        steps, before = {}, self.fresh
        for name in STAGES:
            after = self.copy(before)
            ran = check(after.quick([PYTHON, "-m", "dvc", "repro", name], 1800), f"dvc repro {name}")
            steps[name] = Step(name, before, after, ran.seconds)
            before = after
        return steps

    def step(self, random: Random) -> Step:
        """A step, those that take longer more often: what a random moment of `dvc repro` falls into."""
        steps = list(self.steps.values())
        return random.choices(steps, [step.seconds for step in steps])[0]

    @cached_property
    def reproduced(self) -> Workspace:
        """The same as `staged`, by `dvc repro`: with its cache and its lock file."""
        workspace = self.copy(list(self.steps.values())[-1].after)
        shutil.copytree(self.staged.folder / "translator", workspace.folder / "translator")
        return self._furnish(workspace, None)

    @cached_property
    def copying(self) -> Workspace:
        """The same as `reproduced`, but a stage waits a second and copies what it wrote before, or by another seed.

        For what is about flows, DVC and git: a stage then takes no seconds of imports.
        """
        workspace, other = self.copy(self.reproduced), self.copy(self.staged)
        other.set(train__seed=1)
        for name in ("train", "evaluate", "render"):
            check(other.quick(stage(name), 300), f"{name} with another seed")
        yaml = YAML()
        yaml.width = 1000
        pipeline = yaml.load(workspace.folder / "dvc.yaml")
        written = self._keep(workspace, pipeline["stages"])
        for name, content in pipeline["stages"].items():
            content["cmd"] = f"sleep 1 && mkdir -p data && cp -r prepared/{name}/data/. data"
        yaml.dump(pipeline, workspace.folder / "dvc.yaml")
        check(workspace.quick([PYTHON, "-m", "dvc", "repro", "--quiet"], 1800), "dvc repro that copies")
        for name in ("train", "evaluate", "render"):
            shutil.rmtree(workspace.folder / "prepared" / name)
            for out in written[name]:
                _copy(other.folder / out, workspace.folder / "prepared" / name / out)
        other.remove()
        return workspace

    @cached_property
    def promoted(self) -> Workspace:
        """The same as `copying`, but its two versions were promoted by flows, with tags and a remote."""
        workspace = self.copy(self.copying)
        workspace.environment["PREFECT_API_URL"] = self.api
        shutil.rmtree(workspace.folder / "models")
        remote = [PYTHON, "-m", "dvc", "remote", "add", "--default", "beside", str(self.folder / "remote")]
        check(workspace.quick(remote), "a remote")
        check(workspace.run([PYTHON, "-c", PROMOTE]), "a promotion")
        check(workspace.quick([PYTHON, "-m", "flows.repro", "-S", "train.seed=1"]), "another model")
        check(workspace.run([PYTHON, "-c", PROMOTE]), "another promotion")
        return workspace

    @staticmethod
    def _keep(workspace: Workspace, stages: dict[str, Any]) -> dict[str, list[str]]:
        """Copy what each stage wrote to prepared/STAGE; returns their outputs' paths."""
        written = {}
        for name, content in stages.items():
            entries = [*content.get("outs", []), *content.get("metrics", []), *content.get("plots", [])]
            written[name] = [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]
            for out in written[name]:
                _copy(workspace.folder / out, workspace.folder / "prepared" / name / out)
        return written

    @cached_property
    def api(self) -> str:
        """The API of a Prefect server, for trials that need not start their own."""
        from tests.flows.conftest import start_server  # it imports Prefect, which takes seconds

        port = free_port()
        self.server = start_server(self.folder / "prefect-home", port)
        return f"http://127.0.0.1:{port}/api"

    def _furnish(self, workspace: Workspace, translator: Workspace | None) -> Workspace:
        if translator is not None:
            shutil.copytree(translator.folder / "data/model", workspace.folder / "translator")
            translator.remove()
        (workspace.folder / "inbox").mkdir()
        for video in sorted((workspace.folder / "data/sample/test").glob("*.mp4"))[:2]:
            shutil.copy(video, workspace.folder / "inbox")
        shutil.copy(workspace.folder / "data/sample/test" / video.name, workspace.folder / "in.mp4")
        check(workspace.run([PYTHON, "-c", CHAMPION]), "two promotions")
        longer = foreframe("predict", "in.mp4", "long.mp4", "--frames", "1000")
        check(workspace.quick(longer, 300), "a longer video")
        return workspace

    def copy(self, of: Workspace, parent: Path | None = None) -> Workspace:
        """A copy of a workspace for one trial, under `parent` if that is not this ground's folder."""
        self.count += 1
        folder = (parent or self.folder) / f"trial-{self.count}"
        shutil.copytree(of.folder, folder, symlinks=True)
        return Workspace(folder, of.environment, self.zygote)

    def undisturbed(self, of: str, command: list[str], *outs: str, api: str = "") -> tuple[dict[str, str], float]:
        """The hashes of `outs` and the seconds when nothing goes wrong, in a copy of the workspace called `of`."""
        key = " ".join([of, *command, *outs, api])
        if key not in self.measured:
            workspace = self.copy(getattr(self, of))
            if api:
                workspace.environment["PREFECT_API_URL"] = api
            ran = check(workspace.quick(command, 1800), key)
            self.measured[key] = workspace.hashes(*outs), ran.seconds
            workspace.remove()
        return self.measured[key]


def free_port() -> int:
    """A port that nobody listens to."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _copy(source: Path, target: Path) -> None:
    """Copy a file or a folder; what is above it is made."""
    target.parent.mkdir(parents=True, exist_ok=True)
    (shutil.copytree if source.is_dir() else shutil.copy2)(source, target)


def check(ran: Ran, name: str) -> Ran:
    """What must work before anything is broken."""
    assert ran.code == 0, f"{name}, undisturbed: {ran.output[-2000:]}"
    return ran
