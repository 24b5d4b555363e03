"""Workspaces to break: copies of one that ran through undisturbed, and what is found in them afterwards."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from random import Random
from threading import RLock
from typing import Any

import httpx
from ruamel.yaml import YAML

from tests.faults.commands import PYTHON, STAGES, Workspace, check, foreframe, free_port, stage, until
from tests.faults.zygote import Zygote
from tests.workspace import ROOT, make_workspace

CHAMPION = """
from pathlib import Path
from pipeline import model_versions
for _ in range(2):
    model_versions.activate(model_versions.store(Path("data/model"), {"reason": "a trial", "videos": [], "scores": {}}))
"""
UNTIL_EOF = "FOREFRAME_UNTIL_EOF"  # see flows/__init__.py
PROMOTE = """
from pathlib import Path
from prefect import flow
from flows import promotion
facts = {"reason": "a trial", "videos": [], "scores": {}}
flow(lambda: promotion.promote(Path("data/model"), facts, ["dvc.lock", "params.yaml"], "Promote", commit=True))()
"""
UNUSED = (".github", ".ci", "docs", "tests", "findings")


@dataclass(frozen=True)
class Step:
    """A stage that `dvc repro` runs: the workspace before and after, and how long it took."""

    name: str
    before: Workspace
    after: Workspace
    seconds: float


class made_once(cached_property[Any]):
    """What a ground makes when it is first asked for; others who ask wait."""

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """The value, made if it is not there."""
        with instance.locks.setdefault(self.attrname, RLock()):
            return super().__get__(instance, owner)


class Ground:
    """Makes workspaces; what takes long is made once, when it is first asked for. Several threads may ask."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.measured: dict[str, tuple[dict[str, str], float]] = {}
        self.zygote = Zygote(ROOT)
        self.locks: dict[str, Any] = {}  # by what is made
        self.numbers = count(1)
        self.made: list[Workspace] = []
        self.server: subprocess.Popen[bytes] | None = None

    def close(self) -> None:
        """End what was started, by tries that were stopped too."""
        for workspace in self.made:
            if workspace.folder.exists():
                workspace.survivors(0)
        self.zygote.close()
        if self.server is not None:
            self.server.terminate()
            self.server.wait()

    @made_once
    def fresh(self) -> Workspace:
        """Code and small parameters; nothing was run."""
        folder = self.folder / "fresh"
        workspace = Workspace(folder, make_workspace(folder), self.zygote)
        for command in (["rm", "-qr", *UNUSED], ["commit", "-qam", "what a pipeline needs"]):  # quick to copy
            subprocess.run(["git", *command], cwd=folder, env=workspace.environment, check=True)
        workspace.set(generate__num_frames=4, generate__workers=1, generate__videos="inbox")
        return workspace

    @made_once
    def sampled(self) -> Workspace:
        """The same with the sample's videos."""
        workspace = self.copy(self.fresh)
        check(workspace.quick(stage("sample")), "sample")
        return workspace

    @made_once
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

    @made_once
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

    @made_once
    def reproduced(self) -> Workspace:
        """The same as `staged`, by `dvc repro`: with its cache and its lock file."""
        workspace = self.copy(list(self.steps.values())[-1].after)
        shutil.copytree(self.staged.folder / "translator", workspace.folder / "translator")
        return self._furnish(workspace, None)

    @made_once
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

    @made_once
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

    @made_once
    def api(self) -> str:
        """The API of a Prefect server, for trials that need not start their own; it ends when this process does."""
        address = f"http://127.0.0.1:{(port := free_port())}/api"
        with (self.folder / "server.log").open("w") as log:
            self.server = subprocess.Popen(
                [PYTHON, "-m", "flows.server", "--port", str(port)], cwd=ROOT, stdin=subprocess.PIPE, stdout=log,
                stderr=log, env={**os.environ, "PREFECT_HOME": str(self.folder / "prefect-home"), UNTIL_EOF: "1"},
            )  # fmt: skip
        assert until(lambda: httpx.get(f"{address}/health").is_success, 900), "the server does not start"
        return address

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
        folder = (parent or self.folder) / f"trial-{next(self.numbers)}"
        shutil.copytree(of.folder, folder, symlinks=True)
        workspace = Workspace(folder, of.environment, self.zygote)
        self.made.append(workspace)
        return workspace

    def undisturbed(self, of: str, command: list[str], *outs: str, api: str = "") -> tuple[dict[str, str], float]:
        """The hashes of `outs` and the seconds when nothing goes wrong, in a copy of the workspace called `of`."""
        key = " ".join([of, *command, *outs, api])
        with self.locks.setdefault(key, RLock()):
            if key not in self.measured:
                workspace = self.copy(getattr(self, of))
                if api:
                    workspace.environment["PREFECT_API_URL"] = api
                ran = check(workspace.quick(command, 1800), key)
                self.measured[key] = workspace.hashes(*outs), ran.seconds
                workspace.remove()
            return self.measured[key]


def _copy(source: Path, target: Path) -> None:
    """Copy a file or a folder; what is above it is made."""
    target.parent.mkdir(parents=True, exist_ok=True)
    (shutil.copytree if source.is_dir() else shutil.copy2)(source, target)
