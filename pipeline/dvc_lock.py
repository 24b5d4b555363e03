"""What dvc.lock says of outputs, and whether the files are so: read from the files, without DVC, for any project.

DVC checks an object of its cache out without looking at its hash, and takes a file whose size and times are as they
were for unchanged. Here everything is read.
"""

import configparser
import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.runtime.files import read_json
from pipeline.runtime.yaml_file import parse_yaml

LOCK = "dvc.lock"


@dataclass(frozen=True)
class Out:
    """An output that dvc.lock names."""

    stage: str
    path: str
    md5: str  # of the file, or of the list of a folder's files, which ends in .dir

    @property
    def is_folder(self) -> bool:
        return self.md5.endswith(".dir")


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
            if "md5" in out  # one on a remote is named otherwise
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
