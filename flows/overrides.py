"""Parameters for one run: `model.name=lstm` written into params.yaml, as `dvc exp run -S` does.

While the run goes on, a journal holds params.yaml as it was before: a run that fails takes its overrides back, and of
one that was killed the next run does.
"""

import io
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import UnionType
from typing import Any, get_args

from pydantic import BaseModel
from ruamel.yaml import YAML

from flows import arrivals, folders
from flows.prefect_dvc.graph import MissingDependency, Stage, plan, plan_changed
from flows.sealed import read_sealed, write_sealed
from flows.yaml_values import replaced
from pipeline.errors import ParamsError, PipelineError
from pipeline.ingest import preflight
from pipeline.params import Params, load_params, parse_params
from pipeline.runtime.files import write_bytes, write_text
from pipeline.runtime.yaml_file import parse_yaml, read_yaml

logger = logging.getLogger(__name__)

PARAMS = Path("params.yaml")
JOURNAL = Path(".dvc/tmp/overrides.json")  # params.yaml before the run that goes on, and with its overrides
NULL = "tag:yaml.org,2002:null"
NULLS = ("", "null", "~")


@contextmanager
def prepared(
    overrides: list[str], targets: list[str] | None = None, *, only_changed: bool = False
) -> Iterator[tuple[Params, list[Stage]]]:
    """Write `overrides` into params.yaml and plan. Whatever is raised then, params.yaml is as it was before,
    unless somebody else has changed it meanwhile.

    With `only_changed` there are no stages where all are up to date. Overrides come from whoever starts a flow, so they
    may name only folders that flows.folders allows. Under the workspace's lock.
    """
    if take_back():
        logger.warning("%s: the overrides of a run that was killed are taken back", PARAMS)
    params = _override(overrides)
    try:
        yield params, _plan(params, plan_changed if only_changed else partial(plan, targets))
    except BaseException:
        take_back()
        raise
    JOURNAL.unlink(missing_ok=True)


def _override(overrides: list[str]) -> Params:
    if not overrides:
        return load_params(PARAMS)
    before = PARAMS.read_bytes().decode()
    params, written = _changed(overrides, PARAMS, by_a_run=True)
    if written != before:
        write_sealed(JOURNAL, {"before": before, "written": written})
        write_text(PARAMS, written)
    return params


def settle() -> None:
    """From now on the overrides are the workspace's own: nothing takes them back."""
    JOURNAL.unlink(missing_ok=True)


def are_in_force() -> bool:
    """Whether params.yaml holds what the run that goes on has written, which is not what it held before."""
    journal = _read_journal()
    return journal is not None and PARAMS.is_file() and PARAMS.read_bytes() == journal[1]


def take_back() -> bool:
    """Write params.yaml as it was before the overrides, unless somebody else has changed it since; was it written?"""
    journal = _read_journal()
    ours = are_in_force()
    if journal is not None and ours:
        write_bytes(PARAMS, journal[0])
    elif journal is None and JOURNAL.is_file():
        logger.warning(
            "%s: is damaged, so that the overrides of a run that was killed may still be in %s: look (`git diff %s`)",
            JOURNAL, PARAMS, PARAMS,
        )  # fmt: skip
    JOURNAL.unlink(missing_ok=True)
    return ours


def _read_journal() -> tuple[bytes, bytes] | None:
    try:
        journal = read_sealed(JOURNAL)
        return journal["before"].encode(), journal["written"].encode()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none, or damaged
        return None


def _plan(params: Params, plan: Callable[[], list[Stage]]) -> list[Stage]:
    preflight.check(Path(params.data.videos), params.data.roots)
    arrivals.settle(Path(params.data.videos), params.schedules.quiet_seconds)  # no video is taken half
    try:
        return plan()
    except MissingDependency as error:
        if error.path == Path(params.data.videos):
            raise PipelineError(f"{PARAMS}: data.videos: {error}") from error
        raise


def set_params(overrides: list[str], path: Path = PARAMS, *, by_a_run: bool = False) -> Params:
    """Write `overrides` into the file at `path`, whose other lines stay, and return what it then holds.

    All of them, and all that the file holds besides, are checked before anything is written, by flows.folders too where
    a run asks for them. Raises ParamsError, with one line per override or key that is wrong.
    """
    if not overrides:
        return load_params(path)
    params, text = _changed(overrides, path, by_a_run=by_a_run)
    write_text(path, text)
    return params


def check(overrides: list[str], path: Path = PARAMS) -> Params:
    """What the file at `path` would hold after a run's `overrides`; raises ParamsError as `set_params` does."""
    return _changed(overrides, path, by_a_run=True)[0] if overrides else load_params(path)


def _changed(overrides: list[str], path: Path, *, by_a_run: bool) -> tuple[Params, str]:
    """What the file at `path` would hold after `overrides`, and its text."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.representer.add_representer(type(None), lambda dumper, _: dumper.represent_scalar(NULL, "null"))
    content = read_yaml(path, yaml)
    if not isinstance(content, dict):
        load_params(path)  # which says what is wrong
    text = path.read_bytes().decode()
    edited: str | None = text
    held = {name: dict(section) for name, section in content.items() if isinstance(section, dict)}
    for override in overrides:
        if (shown := override.encode(errors="surrogateescape").decode(errors="backslashreplace")) != override:
            raise ParamsError(f"{shown}: is not UTF-8")
        key, found, given = override.partition("=")
        *parents, name = key.strip().split(".")
        section = content
        for parent in parents:
            section = section.get(parent) if isinstance(section, dict) else None
        if not found or not isinstance(section, dict) or name not in section:
            raise ParamsError(f"{override}: should be key=value with a key of {path}")
        section[name] = _value(override, [*parents, name], given)
        shown = _dumped({"": section[name]}, yaml).partition(": ")[2].strip()
        edited = replaced(edited, [*parents, name], shown) if edited is not None else None
    params = parse_params(content, path)
    if by_a_run:
        folders.check_overrides(held, params)
    dumped = _dumped(content, yaml)
    if edited is not None and parse_yaml(edited, path) == parse_yaml(dumped, path):
        return params, edited
    return params, dumped  # comments stay, columns and line breaks may not


def _dumped(content: Any, yaml: YAML) -> str:
    text = io.StringIO()
    yaml.dump(content, text)
    return text.getvalue()


def _value(override: str, key: list[str], text: str) -> Any:
    """What `text` says: YAML, but where a key takes any text, such as a folder's name, the text itself unless quoted.

    YAML would take `Clips #2` for `Clips`, `2024` for a number and `{a}` for a mapping.
    """
    if _takes_text(key) and text.strip() not in NULLS and text.strip()[0] not in "'\"":
        return text.strip()
    return parse_yaml(text, override, YAML())  # [8, 8] stays on its line


def _takes_text(key: list[str]) -> bool:
    """Whether params.yaml's `key` is typed str, or str | None."""
    annotation: Any = Params
    for name in key:
        fields = annotation.model_fields if isinstance(annotation, type) and issubclass(annotation, BaseModel) else {}
        annotation = fields[name].annotation if name in fields else None
    return annotation is str or (isinstance(annotation, UnionType) and str in get_args(annotation))
