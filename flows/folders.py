"""Which folders a flow may be told to use: those in the workspace and under `data.roots` of params.yaml.

What a run's parameters ask for is held to that (who may reach Prefect's API at all: flows/server.py). What
params.yaml holds already is its owner's choice, which no run can widen: see `check_overrides`.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import ParamsError
from pipeline.params import GenerateParams, Params

# keys of params.yaml that name a folder, and whether flows write to it
FOLDERS = {"data.videos": False, "generate.videos": False, "generate.output": True, "compare.output": True}
OWNERS = ("data.roots", "generate.dask")  # keys that no run sets: which folders, and which scheduler sends it results
# folders of the workspace that hold code, data that DVC or the flows replace, or their state
NEVER_WRITTEN = ("data", "models", ".git", ".dvc", "flows", "pipeline", "tests", "docs")


def check_inside(key: str, folder: str, roots: Sequence[str]) -> None:
    """ParamsError if `folder`, its links and `..` followed, lies neither in the workspace nor under one of `roots`."""
    if "\0" in folder:
        raise ParamsError(f"{key}: is no name of a folder (got {folder!r})")
    if not any(_resolved(folder).is_relative_to(_resolved(root)) for root in (".", *roots)):
        raise ParamsError(
            f"{key}: {folder} is outside the workspace; flows use it where data.roots in params.yaml names it or a "
            "folder that holds it"
        )


def check_output(key: str, folder: str, sources: Iterable[str]) -> None:
    """ParamsError if results in `folder` would lie in a folder that has another purpose, or among `sources`."""
    target = _resolved(folder)
    for name in (*NEVER_WRITTEN, *sources):
        other = _resolved(name)
        if target.is_relative_to(other) or other.is_relative_to(target):
            raise ParamsError(f"{key}: {folder} and {name} lie one in the other; results need a folder of their own")


def for_generate(videos: str | None, output: str | None, params: Params) -> tuple[Path, Path]:
    """The folders that generate reads and writes: the arguments, or those of params.yaml where they are None or empty.

    Raises ParamsError where it must not.
    """
    settings: GenerateParams = params.generate
    for name, folder, own in (("videos", videos, settings.videos), ("output", output, settings.output)):
        if folder and folder != own:
            check_inside(f"generate.{name}", folder, params.data.roots)
    source, target = videos or settings.videos, output or settings.output
    check_output("generate.output", target, (source, params.data.videos))
    return Path(source), Path(target)


def check_overrides(before: dict[str, Any], after: Params) -> None:
    """ParamsError if a run would set what only the owner of params.yaml sets, or a folder that flows may not use.

    `before` is what params.yaml holds, `after` what it would hold. Folders that the run leaves as they are pass.
    """

    def new(key: str) -> Any:
        section, name = key.split(".")
        return getattr(getattr(after, section), name)

    def old(key: str) -> Any:
        section, name = key.split(".")
        return (before.get(section) or {}).get(name)

    for key in OWNERS:
        value = new(key)
        if (list(value) if isinstance(value, tuple) else value) != old(key):
            raise ParamsError(f"{key}: is set in params.yaml by its owner, never by a run")
    for key, is_written in FOLDERS.items():
        if new(key) != old(key):
            check_inside(key, new(key), after.data.roots)
            if is_written:
                check_output(key, new(key), (after.data.videos, after.generate.videos))


def _resolved(folder: str) -> Path:
    return Path(os.path.realpath(folder))
