"""Makes a project for somebody's own videos: a folder of its own, which needs no clone of foreframe."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.errors import ParamsError, PipelineError
from pipeline.params import parse_params
from pipeline.project import template
from pipeline.project.survey import Choice, choose, survey
from pipeline.runtime.files import write_text
from pipeline.runtime.yaml_file import parse_yaml

FILES = ("dvc.yaml", "params.yaml", "prefect.toml", ".gitignore", ".dvcignore")
UNFINISHED = template.CODE.with_name("unfinished")  # is there while a project is being made
IDENTITY = ("foreframe", "foreframe@localhost")  # signs the first commit where git knows nobody
OF_SURVEY = {"axes": "extract.array_axes", "camera": "extract.camera", "levels": "extract.array_range"}
SIDES = (16, 1024)  # pixels, as of --side: fewer show nothing, more take days to learn
MINUTES = 15.0  # of training, where a person does not say


@dataclass(frozen=True)
class Made:
    """What a project was made with."""

    folder: Path
    choice: Choice
    unreadable: list[str]
    num_files: int


def make_project(
    folder: Path,
    videos: Path,
    *,
    side: int | None = None,
    minutes: float | None = MINUTES,
    vcs: bool = True,
    settings: Sequence[str] = (),
) -> Made:
    """Make `folder` a project for the videos in the folder or file `videos`: its files, then git and DVC if `vcs`.

    `side` is the shorter side of a frame in pixels, `minutes` bounds training (None: the recipe's epochs do),
    `settings` are written into params.yaml last, as KEY=VALUE. Raises PipelineError where `folder` is a project
    already, `videos` holds none, or git is missing; then nothing is written. What a call that was stopped has left is
    completed.
    """
    unfinished = folder / UNFINISHED
    if (present := [name for name in FILES if (folder / name).exists()]) and not unfinished.exists():
        raise PipelineError(f"{folder / present[0]}: is there already; name a new folder")
    if vcs and shutil.which("git") is None:
        raise PipelineError(
            "git: is not installed; install it, or use --no-vcs and run `git init` and `dvc init` later"
        )
    if vcs and _is_ignored(folder):
        raise PipelineError(f"{folder}: git ignores this folder; name another one, or use --no-vcs")
    stated = parsed(settings)
    if "data.videos" in stated:
        raise ParamsError("--set data.videos: is what --videos says")
    _params(stated)  # told before any work
    if not all(SIDES[0] <= pixels <= SIDES[1] for pixels in stated.get("extract.size", ())):
        raise ParamsError(
            f"--set extract.size: height and width should be {SIDES[0]} to {SIDES[1]} pixels "
            f"(got {list(stated['extract.size'])}); the videos keep their own size in what `foreframe predict` writes"
        )
    found = survey(videos, **{name: stated[key] for name, key in OF_SURVEY.items() if stated.get(key)})
    choice = choose(found, side, _batch_size(), stated)
    inside = videos.resolve().is_relative_to(folder.resolve())
    named = videos.resolve().relative_to(folder.resolve()) if inside else videos.resolve()
    texts = {
        "dvc.yaml": template.dvc_yaml(),
        "params.yaml": _params(_values(choice, named.as_posix(), minutes) | stated),
        "prefect.toml": template.prefect_toml(),
        ".gitignore": template.IGNORED_BY_GIT + (f"# the videos\n/{named}{'/' * videos.is_dir()}\n" if inside else ""),
        ".dvcignore": template.IGNORED_BY_DVC,
    }
    for name in present:  # never over what somebody has written since
        if (folder / name).read_bytes() != texts[name].encode():
            raise PipelineError(
                f"{folder / name}: is there already, and other than this would write it; remove it first"
            )
    write_text(unfinished, "foreframe init has not ended yet\n")
    for name, text in texts.items():
        write_text(folder / name, text)
    link_code(folder)
    if vcs:
        _version(folder)
    unfinished.unlink()
    return Made(folder, choice, found.unreadable, found.num_files)


def parsed(settings: Sequence[str]) -> dict[str, Any]:
    """KEY=VALUE, the value as YAML has it, by key; raises ParamsError where one is not so."""
    values = {}
    for setting in settings:
        key, sign, text = setting.partition("=")
        if not sign or not key.strip():
            raise ParamsError(f"--set {setting}: should be KEY=VALUE, such as extract.camera=top")
        values[key.strip()] = parse_yaml(text, f"--set {key}")
    return values


def _params(values: Mapping[str, Any]) -> str:
    """The text of params.yaml with `values`; raises ParamsError where they are not as they should be."""
    try:
        text = template.params_yaml(values)
    except KeyError as error:
        raise ParamsError(f"--set {error.args[0]}: params.yaml has no such key") from error
    parse_params(parse_yaml(text, "params.yaml"), Path("params.yaml"))
    return text


def link_code(folder: Path) -> bool:
    """Make the project's link lead to the foreframe that runs now; returns whether it did not before.

    A project that was cloned has none, and one whose environment was made anew has a broken one.
    """
    link = folder / template.CODE
    if link.is_symlink() and link.resolve() == template.PACKAGE.resolve():
        return False
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(f".{link.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(template.PACKAGE.resolve())
    fresh.replace(link)
    return True


def add_plots(folder: Path) -> bool:
    """Put what `dvc plots show` draws with into the project's .dvc, if there is one; returns whether it lacked it."""
    missing = [name for name in template.PLOTS if not (folder / name).exists()]
    if not (folder / ".dvc").is_dir() or not missing:
        return False
    for name in missing:
        write_text(folder / name, template.read(name))
    ignored = folder / ".dvc/.gitignore"
    known = ignored.read_text(encoding="utf-8") if ignored.exists() else ""
    if template.OFFLINE not in known.splitlines():
        write_text(ignored, f"{known.rstrip()}\n{template.OFFLINE}\n".lstrip())
    page = Path(template.PLOTS[1]).relative_to(".dvc").as_posix()
    _run(folder, [sys.executable, "-m", "dvc", "config", "plots.html_template", page])
    return True


def is_project(folder: Path) -> bool:
    """Whether `folder` is what make_project made, here or in a clone of it."""
    try:
        return f"{template.CODE}/" in (folder / "dvc.yaml").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False


def _batch_size() -> int:
    shipped = YAML(typ="safe").load(template.read("params.yaml"))["model"]
    return shipped[shipped["name"]]["recipe"]["batch_size"]


def _values(choice: Choice, videos: str, minutes: float | None) -> dict[str, Any]:
    models = YAML(typ="safe").load(template.read("params.yaml"))["model"]
    name = models["name"]
    # weights that have seen motion of many kinds, or those in use once there are such: where one's own videos are too
    # few to better them, they are kept; a clip that moves little counts as much as one that moves all over
    begin = {
        "model.foreframe.start": "champion",
        "model.foreframe.measured_motion": True,
        f"model.{name}.recipe.loss": models[name]["recipe"]["loss"] | {"log": True},
        f"model.{name}.recipe.curriculum": 0.5,
    }
    return begin | {
        "data.videos": videos if Path(videos).is_absolute() else f"./{videos}",
        "extract.fps": choice.fps,
        "extract.size": list(choice.size),
        "extract.color": choice.color,
        "tensorize.context": choice.steps,
        "tensorize.horizon": choice.steps,
        "tensorize.stride": choice.stride,
        f"model.{name}.recipe.epochs": choice.epochs,
        "train.max_minutes": minutes,
        "render.scale": choice.scale,
        "render.long_horizon": 5 * choice.steps,
    }


def _version(folder: Path) -> None:
    """Begin the project's history with git and DVC; inside a git repository of somebody's it is a part of that."""
    if _git(folder, "rev-parse", "--show-toplevel", check=False) is None:
        _git(folder, "init", "--quiet", "--initial-branch", "main")
    top = Path(_git(folder, "rev-parse", "--show-toplevel") or "")
    dvc = [sys.executable, "-m", "dvc"]
    if not (folder / ".dvc/.gitignore").exists():  # the last that `dvc init` writes
        half = ["--force"] if (folder / ".dvc").is_dir() and not (folder / ".dvc/cache").exists() else []
        _run(folder, [*dvc, "init", "--quiet", *half, *([] if top.resolve() == folder.resolve() else ["--subdir"])])
    for key, value in (("core.analytics", "false"), ("core.check_update", "false")):
        _run(folder, [*dvc, "config", key, value])
    add_plots(folder)
    _git(folder, "add", "--", *FILES, ".dvc")
    if _git(folder, "diff", "--cached", "--quiet", "--", *FILES, ".dvc", check=False) is None:  # something is new
        _git(folder, "commit", "--quiet", "-m", "foreframe: a project for these videos", "--", *FILES, ".dvc")


def _is_ignored(folder: Path) -> bool:
    """Whether a git repository that `folder` would be a part of ignores it."""
    path = folder.absolute()
    place = next(parent for parent in (path, *path.parents) if parent.is_dir())
    return _git(place, "check-ignore", "--quiet", "--", str(path / FILES[0]), check=False) is not None


def _git(folder: Path, *arguments: str, check: bool = True) -> str | None:
    return _run(folder, ["git", *arguments], check=check)


def _run(folder: Path, command: list[str], *, check: bool = True) -> str | None:
    """What `command` prints in `folder`; None, or PipelineError, where it fails."""
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    known = subprocess.run(["git", "var", "GIT_COMMITTER_IDENT"], cwd=folder, capture_output=True, check=False)
    if known.returncode:
        for role in ("AUTHOR", "COMMITTER"):
            environment |= {f"GIT_{role}_NAME": IDENTITY[0], f"GIT_{role}_EMAIL": IDENTITY[1]}
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, env=environment
    )
    if done.returncode == 0:
        return done.stdout.strip()
    if not check:
        return None
    said = (done.stderr.strip() or done.stdout.strip()).splitlines()
    told = next((line for line in said if line.startswith(("fatal:", "ERROR:"))), said[-1] if said else "")
    raise PipelineError(f"{' '.join(command[:3])}: {told or f'exit code {done.returncode}'}")
