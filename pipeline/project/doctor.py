"""Looks for what would stand in a project's way on this machine, and says what to do about it."""

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import psutil
from packaging.requirements import Requirement

from pipeline.errors import PipelineError
from pipeline.params import load_params
from pipeline.project import prefect_api, template
from pipeline.project.init import is_project
from pipeline.runtime.cores import core_limit

GIB = 2**30
LEAST_MEMORY = 4 * GIB
LEAST_DISK = 5 * GIB
BUSY = 1.5  # times the cores: from here on other work takes what training needs

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """What one check found: fine, slower or less than it could be, or in the way."""

    name: str
    state: State
    text: str
    remedy: str = ""  # what to do, where it is not ok


def examine(folder: Path) -> Iterator[Finding]:
    """Every check of this machine and of the project in `folder`, one after another; none raises."""
    for check in CHECKS:
        name = check.__name__.strip("_").replace("_", " ")
        try:
            yield from check(folder)
        except Exception as error:  # a doctor that falls ill helps nobody
            yield Finding(name, "fail", f"{type(error).__name__}: {' '.join(str(error).split())[:200]}", "report this")


def _versions(folder: Path) -> Iterator[Finding]:
    wrong = []
    for line in importlib.metadata.requires("foreframe") or []:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            wrong.append(f"{requirement.name} {installed} is not {requirement.specifier}")
    python = ".".join(map(str, sys.version_info[:3]))
    if wrong:
        yield Finding("versions", "fail", "; ".join(wrong), "install foreframe again, in an environment of its own")
    else:
        here = importlib.metadata.version("foreframe")
        yield Finding("versions", "ok", f"foreframe {here}, Python {python}, every dependency within its bounds")
    constraints = folder / "constraints.txt"
    if constraints.is_file():
        pins = dict(line.split("==") for line in constraints.read_text().split() if "==" in line)
        versions = {name: _version(name) for name in pins}
        differing = [
            f"{name} {found} for {pins[name]}" for name, found in versions.items() if found not in (None, pins[name])
        ]
        if differing:
            text = f"{len(differing)} packages differ from constraints.txt: {', '.join(differing[:3])}"
            yield Finding("constraints", "warn", text, "pip install -c constraints.txt -e .")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _videos(folder: Path) -> Iterator[Finding]:
    from pipeline.video import probe, write_video

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "test.mp4"
        write_video(path, iter([np.full((16, 16, 3), 40 * n, np.uint8) for n in range(4)]), 10.0)
        codec = probe(path).codec
    if codec == "h264":
        yield Finding("videos", "ok", "H.264 is written and read")
    else:
        yield Finding(
            "videos", "fail", f"what was written as H.264 is read as {codec}", "pip install --force-reinstall av"
        )


def _device(folder: Path) -> Iterator[Finding]:
    import torch

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        name = torch.cuda.get_device_name()
        yield Finding("GPU", "ok", f"{name}, {free / GIB:.1f} of {total / GIB:.1f} GiB free, torch {torch.__version__}")
    elif shutil.which("nvidia-smi"):
        text = (
            f"there is one, but torch {torch.__version__} cannot use it (CUDA {torch.version.cuda or 'is not in it'})"
        )
        yield Finding("GPU", "warn", text, "install the torch that fits the driver: https://pytorch.org/get-started")
    else:
        bf16 = torch.cpu.get_capabilities()
        fast = "with bfloat16" if bf16.get("avx512_bf16") or bf16.get("amx_bf16") else "in float32"
        yield Finding("GPU", "ok", f"none: training is on the processor, {fast}")


def _threads(folder: Path) -> Iterator[Finding]:
    cores, why = core_limit()
    try:
        asked = load_params(folder / "params.yaml").train.num_threads
    except PipelineError:
        asked = None
    if isinstance(asked, int) and asked > cores:
        text = f"train.num_threads is {asked}, usable are {cores:g} cores ({why}): threads wait for each other"
        yield Finding("threads", "warn", text, f"set train.num_threads to {max(1, int(cores))} in params.yaml")
    else:
        yield Finding("threads", "ok", f"{cores:g} cores ({why}), train.num_threads {asked or 'is not known here'}")
    load = os.getloadavg()[0]
    if load > BUSY * cores:
        text = f"{load:.1f} processes want {cores:g} cores: training may take {load / cores:.0f} times as long"
        yield Finding("load", "warn", text, "end other work, or lower train.num_threads to 1 meanwhile")


def _memory(folder: Path) -> Iterator[Finding]:
    import torch

    from pipeline.runtime import memory

    free, total = memory.available(torch.device("cpu")), psutil.virtual_memory().total
    text = f"{free / GIB:.1f} GiB are free of {total / GIB:.1f}"
    if free < LEAST_MEMORY:
        remedy = "end other programs; lower the recipe's batch_size or extract.size, or set train.recompute_steps"
        yield Finding("memory", "warn", text, remedy)
    else:
        yield Finding("memory", "ok", text)


def _disk(folder: Path) -> Iterator[Finding]:
    for name, place in (("disk", folder), ("temporary files", Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(place).free
        state: State = "ok" if free >= LEAST_DISK else "warn"
        remedy = "" if state == "ok" else "free some space: `dvc gc -w` removes what no current output needs"
        yield Finding(name, state, f"{free / GIB:.1f} GiB are free at {place.resolve()}", remedy)


def _project(folder: Path) -> Iterator[Finding]:
    if not (folder / "dvc.yaml").is_file():
        yield Finding(
            "project", "warn", f"{folder.resolve()} has no dvc.yaml", "go to a project, or make one: foreframe init"
        )
        return
    if is_project(folder) and not (folder / template.CODE).exists():
        yield Finding("project", "fail", f"{template.CODE} leads nowhere", f"foreframe init {folder}")
    try:
        videos = load_params(folder / "params.yaml").data.videos
    except PipelineError as error:
        yield Finding("project", "fail", str(error).splitlines()[0], "mend it; docs/parameters.md says what each is")
        return
    if not (folder / videos).is_dir() and videos != "data/sample":
        yield Finding("videos", "fail", f"{videos}: there is no such folder", "point data.videos at your videos")
    else:
        yield Finding("project", "ok", f"params.yaml is valid, videos are in {videos}")


def _git_and_dvc(folder: Path) -> Iterator[Finding]:
    if not (folder / "dvc.yaml").is_file():
        return
    if shutil.which("git") is None:
        yield Finding("git", "fail", "is not installed", "install git")
        return
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, check=False)
    if head.returncode:
        yield Finding("git", "fail", "there is no commit: nothing can be promoted", "git init; git add -A; git commit")
    else:
        yield Finding("git", "ok", "a repository with a commit")
    config = subprocess.run(
        [sys.executable, "-m", "dvc", "config", "--list"], cwd=folder, capture_output=True, text=True, check=False
    )
    if config.returncode:
        yield Finding("DVC", "fail", (config.stderr.strip().splitlines() or ["?"])[-1], "dvc init")
        return
    values = dict(line.split("=", 1) for line in config.stdout.splitlines() if "=" in line)
    remote = values.get("core.remote")
    url = values.get(f"remote.{remote}.url", "")
    if remote is None:
        text = "none: models and data are on this disk alone"
        yield Finding("DVC remote", "warn", text, "dvc remote add -d backup PATH-OR-s3://BUCKET")
    elif url.startswith("s3:") and importlib.util.find_spec("dvc_s3") is None:
        yield Finding("DVC remote", "fail", f"{remote} is {url}, and dvc-s3 is missing", "pip install 'foreframe[s3]'")
    elif "://" not in url and not Path(folder / ".dvc" / url).is_dir():
        yield Finding(
            "DVC remote", "fail", f"{remote} is {url}, which is not there", "mount it, or name another folder"
        )
    else:
        yield Finding("DVC remote", "ok", f"{remote} ({url}); not asked whether it answers: `dvc status -c` does")


def _prefect(folder: Path) -> Iterator[Finding]:
    url = prefect_api.api_url()
    if prefect_api.answers(url):
        yield Finding("Prefect's API", "ok", f"{url} answers")
    elif "PREFECT_API_URL" in os.environ:
        remedy = "start that server, or unset PREFECT_API_URL: then flows start one of their own"
        yield Finding("Prefect's API", "fail", f"{url} (PREFECT_API_URL) does not answer", remedy)
    else:
        yield Finding("Prefect's API", "ok", f"{url} is off, which is fine: `python -m flows.deploy` starts it")


CHECKS: list[Callable[[Path], Iterator[Finding]]] = [
    _versions, _videos, _device, _threads, _memory, _disk, _project, _git_and_dvc, _prefect,
]  # fmt: skip
