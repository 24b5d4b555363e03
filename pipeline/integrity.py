"""Finds what a disk or a copy has damaged: frames, models, training states, and what dvc.lock says of outputs.

Here everything is read. `foreframe check` prints the lines; of outputs, pipeline/dvc_lock.py finds them.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipeline.dvc_lock import LOCK, restored_faults
from pipeline.errors import PipelineError

PARAMS = "params.yaml"
FRAMES, MODEL, MODELS, CHECKPOINTS = Path("data/frames"), Path("data/model"), Path("models"), Path(".train")


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
