"""Commands in a workspace: started, killed, waited for, and what they leave behind."""

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
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from ruamel.yaml import YAML

from tests.faults.zygote import Forked, Zygote
from tests.workspace import ROOT

MARK = "FOREFRAME_TRIAL"  # an environment variable by which the processes of a trial are known, orphans among them
STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
UNFINISHED = re.compile(r"\..+\.part|\.\d+\..+|\.incoming-.+|.+\.tmp")
PYTHON = sys.executable


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
        self.powers = True  # of root, which heeds no permissions: whether forked commands have them
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
            where = (workspace.folder, workspace.environment, self.log, workspace.powers)
            self.process = Forked(workspace.zygote, command, *where)
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


def check(ran: Ran, name: str) -> Ran:
    """What must work before anything is broken."""
    assert ran.code == 0, f"{name}, undisturbed: {ran.output[-2000:]}"
    return ran


def free_port() -> int:
    """A port that nobody listens to."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether `condition` held before so many seconds were over; a server that does not answer is not there yet."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if condition():
                return True
        except httpx.HTTPError:
            pass
        time.sleep(0.3)
    return False
