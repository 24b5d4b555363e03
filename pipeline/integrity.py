"""Finds what a disk or a copy has damaged: frames, models, training states, and what dvc.lock says of outputs.

DVC checks an object of its cache out without looking at its hash, and takes a file whose size and times are as they
were for unchanged. Here everything is read. `foreframe check` prints the lines; the flows check what DVC restores.
"""

import configparser
import hashlib
import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.runtime.files import read_json
from pipeline.runtime.yaml_file import parse_yaml

LOCK, PARAMS = "dvc.lock", "params.yaml"
FRAMES, MODEL, MODELS, CHECKPOINTS = Path("data/frames"), Path("data/model"), Path("models"), Path(".train")


@dataclass(frozen=True)
class Out:
    """An output that dvc.lock names."""

    stage: str
    path: str
    md5: str  # of the file, or of the list of a folder's files, which ends in .dir

    @property
    def is_folder(self) -> bool:
        return self.md5.endswith(".dir")


def parts(root: Path) -> list[tuple[str, Callable[[], Iterator[str]]]]:
    """What can be checked under `root`: a name, and the function that yields one line per fault."""
    found: list[tuple[str, Callable[[], Iterator[str]]]] = []
    if (root / PARAMS).is_file():
        found.append(("data.videos", lambda: _videos_faults(root)))
    if (root / FRAMES).is_dir():
        found.append((str(FRAMES), lambda: _frames_faults(root / FRAMES)))
    if (root / MODEL).is_dir():
        found.append((str(MODEL), lambda: _model_faults(root / MODEL)))
    if (root / MODELS).is_dir():
        found.append((str(MODELS), lambda: _versions_faults(root / MODELS)))
    if (root / CHECKPOINTS).is_dir():
        found.append((str(CHECKPOINTS), lambda: _checkpoint_faults(root / CHECKPOINTS)))
    if (root / LOCK).is_file():
        found.append((f"{LOCK} and the outputs that it names", lambda: restored_faults(root)))
    if not found:
        raise PipelineError(f"{root}: holds nothing to check; run this in the folder of dvc.yaml, or name that folder")
    return found


def restored_faults(root: Path, paths: Collection[str] | None = None) -> Iterator[str]:
    """One line per file that is not what dvc.lock names: of all outputs that are there, or of `paths`."""
    try:
        outs = locked_outs((root / LOCK).read_text(encoding="utf-8"))
    except (OSError, PipelineError, UnicodeDecodeError) as error:
        yield f"{root / LOCK}: is damaged ({error}); `git checkout {LOCK}`, or remove it and run `dvc repro`"
        return
    for path in sorted({*(paths or [])} - {out.path for out in outs}):
        yield f"{root / LOCK}: does not name {path}, which was restored; `dvc repro`"
    cache = _Cache(root)
    for out in outs:
        if paths is None or out.path in paths:
            yield from dict.fromkeys(_out_faults(root, out, cache))  # files with one content share an object


def locked_outs(text: str) -> list[Out]:
    """The outputs in the text of a dvc.lock; PipelineError where it is none."""
    try:
        stages = parse_yaml(text, LOCK)["stages"]
        return [
            Out(str(stage), str(out["path"]), str(out["md5"]))
            for stage, entry in stages.items()
            for out in entry.get("outs", [])
        ]
    except (PipelineError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise PipelineError(f"{LOCK} is no list of stages: {' '.join(str(error).split())[:100]}") from error


def folder_md5(folder: Path) -> str:
    """DVC's MD5 of a folder: of the list of its files, whose names are relative to it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    listed = [{"md5": file_md5(path), "relpath": path.relative_to(folder).as_posix()} for path in files]
    listed.sort(key=lambda entry: entry["relpath"])
    return hashlib.md5(json.dumps(listed, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"


def file_md5(path: Path) -> str:
    """The MD5 of a file, which is what DVC names it by."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


class _Cache:
    """The objects of DVC's cache, each named by the MD5 of its content."""

    def __init__(self, root: Path) -> None:
        folder = root / ".dvc"
        self.folder = folder / "cache"
        for name in ("config", "config.local"):
            config = configparser.ConfigParser(interpolation=None)
            try:
                config.read(folder / name)
            except configparser.Error:
                continue
            if directory := config.get("cache", "dir", fallback=""):
                self.folder = folder / directory  # as DVC takes it, unless it is absolute
        self.known: dict[str, bool] = {}

    def path(self, md5: str) -> Path:
        return self.folder / "files/md5" / md5[:2] / md5[2:]

    def is_damaged(self, md5: str) -> bool:
        """Whether the object is there and is not what its name says."""
        if md5 not in self.known:
            path = self.path(md5)
            self.known[md5] = path.is_file() and _md5_or_none(path) != md5.removesuffix(".dir")
        return self.known[md5]

    def files(self, out: Out) -> dict[str, str] | None:
        """The MD5 of every file of an output, by its path below the output; None where the cache cannot tell."""
        if not out.is_folder:
            return {"": out.md5}
        path = self.path(out.md5)
        if not path.is_file() or self.is_damaged(out.md5):
            return None
        try:
            return {str(entry["relpath"]): str(entry["md5"]) for entry in read_json(path)}
        except (OSError, ValueError, KeyError, TypeError):  # its name is its hash, but it is no list of files
            return None


def _out_faults(root: Path, out: Out, cache: _Cache) -> Iterator[str]:
    again = f"then `dvc fetch {out.path}` if a remote has it, or `dvc repro --force {out.stage}`"
    if cache.is_damaged(out.md5):
        yield f"{cache.path(out.md5)}: is damaged, an object of DVC's cache for {out.path}; remove it, {again}"
    path, files = root / out.path, cache.files(out)
    if files is None:
        if path.exists() and (not path.is_dir() or folder_md5(path) != out.md5):
            yield (
                f"{path}: is not what {LOCK} names; `dvc repro {out.stage}` makes it again where it changed, "
                f"`dvc repro --force {out.stage}` where it is damaged"
            )
        return
    for name, md5 in files.items():
        if cache.is_damaged(md5):
            yield f"{cache.path(md5)}: is damaged, an object of DVC's cache for {out.path}; remove it, {again}"
        file = path / name if name else path
        if path.exists() and (found := _md5_or_none(file)) != md5:
            what = f"is not what {LOCK} names" if found else "cannot be read, or is missing"
            yield f"{file}: {what}; remove it, then `dvc checkout {out.path}`, or `dvc repro {out.stage}`"
    if path.is_dir():
        present = {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}
        if extra := sorted(present - files.keys()):
            number = f"one of {len(extra)} such files" if len(extra) > 1 else "no other such file"
            yield f"{path / extra[0]}: is not in {LOCK} ({number}); remove it, or `dvc repro {out.stage}`"


def _md5_or_none(path: Path) -> str | None:
    try:
        return file_md5(path)
    except OSError:
        return None


def _videos_faults(root: Path) -> Iterator[str]:
    from pipeline.ingest import preflight
    from pipeline.params import load_params

    try:
        data = load_params(root / PARAMS).data
    except PipelineError as error:
        yield str(error)
        return
    yield from preflight.faults(root / data.videos, [str(root / other) for other in data.roots])


def _frames_faults(folder: Path) -> Iterator[str]:
    from pipeline.data import frames  # pandas and torch are for these checks alone

    return frames.faults(folder)


def _model_faults(folder: Path) -> Iterator[str]:
    from pipeline import model_dir

    yield from _said(lambda: model_dir.load(folder))


def _versions_faults(models: Path) -> Iterator[str]:
    from pipeline import model_versions

    for name in model_versions.versions(models):
        yield from _said(lambda name=name: model_versions.check(models / name))  # type: ignore[misc]
    yield from _said(lambda: model_versions.champion(models))


def _checkpoint_faults(folder: Path) -> Iterator[str]:
    from pipeline.training.checkpoint import STATE, CheckpointFile

    for path in sorted(folder.glob(f"*/{STATE}")):
        for fault in _said(CheckpointFile(folder, path.parent.name).check):
            yield f"{fault}; remove it, training then begins anew"


def _said(check: Callable[[], Any]) -> Iterator[str]:
    """The message of the PipelineError that `check` raises, if it does."""
    try:
        check()
    except PipelineError as error:
        yield str(error)
