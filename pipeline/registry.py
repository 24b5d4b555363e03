"""Promoted models: versions kept beside the workspace, one of them the champion; candidate against champion."""

import fcntl
import hashlib
import json
import logging
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ModelError
from pipeline.params import PromoteParams
from pipeline.runtime.files import sync, write_json

logger = logging.getLogger(__name__)

# DVC deletes a stage's outputs when the stage starts; so what people use is kept outside of them
MODELS = Path("models")
CHAMPION = "champion"
RECORD = "promotion.json"


@dataclass(frozen=True)
class Verdict:
    """Whether a candidate is promoted, and why; the bounds are of the relative improvement (0.1: 10 % less error)."""

    better: bool
    reason: str
    improvement: float | None = None
    low: float | None = None
    high: float | None = None


def is_better(
    candidate: NDArray[np.floating],
    champion: NDArray[np.floating],
    videos: NDArray[Any],
    promote: PromoteParams,
) -> Verdict:
    """Is the candidate's mean error lower than the champion's by more than promote.margin, chance aside?

    `candidate` and `champion` are (N,) errors of the same N clips, `videos` (N,) says which video each is cut from. The
    lower end of a paired bootstrap interval has to clear the margin. Whole videos are drawn, because the clips of one
    overlap; where there is one video only, its clips are drawn.
    """
    bad = int(np.count_nonzero(~np.isfinite(candidate)))
    if bad or not len(candidate):
        return Verdict(False, f"the candidate's error is not a finite number on {bad} of {len(candidate)} clips")
    if not np.isfinite(champion).all():
        return Verdict(True, "the champion's error is not a finite number, the candidate's is")
    labels, index = np.unique(videos, return_inverse=True)
    if len(labels) == 1:
        index = np.arange(len(candidate))
    new = np.bincount(index, weights=candidate)  # (V,) summed over the clips of a video
    old = np.bincount(index, weights=champion)
    if old.sum() == 0:
        return Verdict(False, "the champion makes no error on these clips")
    improvement = float(1 - new.sum() / old.sum())
    draws = np.random.default_rng(promote.seed).integers(len(new), size=(promote.resamples, len(new)))
    with np.errstate(divide="ignore", invalid="ignore"):
        resampled = np.nan_to_num(1 - new[draws].sum(axis=1) / old[draws].sum(axis=1), neginf=-np.inf)
    tail = (1 - promote.confidence) / 2
    low, high = (float(bound) for bound in np.quantile(resampled, [tail, 1 - tail]))
    better = low > promote.margin
    reason = (
        f"{promote.metric} is {_compared(improvement)} than the champion's "
        f"({promote.confidence:.0%} interval of the improvement {low:+.1%} to {high:+.1%}, "
        f"{len(new)} {'videos' if len(labels) > 1 else 'clips'}): "
        f"{'clears' if better else 'does not clear'} the margin of {promote.margin:.1%}"
    )
    return Verdict(better, reason, improvement, low, high)


def _compared(improvement: float) -> str:
    return f"{abs(improvement):.1%} {'lower' if improvement >= 0 else 'higher'}"


def beats_baselines(metrics: dict[str, Any], promote: PromoteParams) -> Verdict:
    """Is a first model's error lower than that of every baseline that learns nothing, by more than the margin?

    `metrics` is what data/metrics/metrics.json holds: a mapping of methods ("model", "stateless", which is the same
    network, and the baselines) to their means.
    """
    rows = {name: row for name, row in metrics.items() if isinstance(row, dict) and name != "stateless"}
    errors = {name: row[promote.metric] for name, row in rows.items()}
    model = errors.pop("model")
    if model is None or not np.isfinite(model):
        return Verdict(False, f"the candidate's {promote.metric} is not a finite number")
    finite = {name: error for name, error in errors.items() if error is not None and np.isfinite(error)}
    name, best = min(finite.items(), key=lambda item: item[1])
    improvement = float(1 - model / best) if best else 0.0
    better = improvement > promote.margin
    reason = (
        f"{promote.metric} {model:.4g} is {_compared(improvement)} than the {best:.4g} of the best baseline, {name}: "
        f"{'clears' if better else 'does not clear'} the margin of {promote.margin:.1%}"
    )
    return Verdict(better, reason, improvement)


def digest(folder: Path) -> str:
    """SHA-256 of a model folder's two files, in hex; raises ModelError where one is missing."""
    total = hashlib.sha256()
    for name in ("model.json", "model.safetensors"):
        try:
            total.update(hashlib.sha256((folder / name).read_bytes()).digest())
        except OSError as error:
            raise ModelError(f"{folder}: is no model ({error.strerror}: {name})") from error
    return total.hexdigest()


def record(folder: Path) -> dict[str, Any]:
    """What was written down when the version in `folder` was stored; raises ModelError where it is unreadable."""
    try:
        return json.loads((folder / RECORD).read_text())
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder / RECORD}: cannot be read ({error})") from error


def is_whole(folder: Path) -> bool:
    """Are the model's bytes those that were stored?"""
    try:
        return digest(folder) == record(folder)["digest"]
    except ModelError as error:
        logger.warning("%s", error)
        return False


def champion(models: Path = MODELS) -> Path | None:
    """The folder of the version in force, None before the first promotion."""
    link = models / CHAMPION
    return link.resolve() if link.is_symlink() and link.exists() else None


def versions(models: Path = MODELS) -> list[str]:
    """The names of the stored versions, oldest first."""
    return [f"v{number}.0.0" for number in sorted(_numbers(path.name for path in models.glob("v*.0.0")))]


def store(candidate: Path, facts: dict[str, Any], taken: list[str] | None = None, models: Path = MODELS) -> str:
    """Keep a copy of the model in `candidate` as a new version, not in force yet; gives its name.

    `facts` go into the version's record. Names in `taken` (versions that git tags know) are not used again. The copy
    appears whole or not at all. Raises ModelError where the candidate is no model.
    """
    current = champion(models)
    number = max(_numbers([*versions(models), *(taken or [])]), default=0) + 1
    name = f"v{number}.0.0"
    models.mkdir(exist_ok=True)
    for leftover in sorted(models.glob(".incoming-*")):  # of a promotion that was killed
        shutil.rmtree(leftover)
    incoming = models / f".incoming-{name}"
    expected = digest(candidate)
    shutil.copytree(candidate, incoming)
    if digest(incoming) != expected:
        raise ModelError(f"{candidate}: changed while it was copied")
    content = {**facts, "version": name, "previous": current.name if current else None, "digest": expected}
    write_json(incoming / RECORD, content)
    for path in [*sorted(incoming.rglob("*")), incoming]:
        sync(path)
    incoming.rename(models / name)
    sync(models)
    return name


def activate(name: str, models: Path = MODELS) -> None:
    """Make version `name` the champion: one rename, so that at every moment the champion is the old or the new one."""
    if not is_whole(models / name):
        raise ModelError(f"{models / name}: is not a whole model; the champion stays")
    fresh = models / f".{CHAMPION}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(name)
    fresh.replace(models / CHAMPION)
    sync(models)


def discard(name: str, models: Path = MODELS) -> None:
    """Remove a version that is not in force, if it is there."""
    current = champion(models)
    assert current is None or current.name != name, "the champion is never removed"
    if (models / name).exists():
        shutil.rmtree(models / name)


def before(models: Path = MODELS) -> str:
    """The version that the champion replaced, or the nearest whole one before it; ModelError where there is none."""
    current = champion(models)
    if current is None:
        raise ModelError(f"{models}: no model was promoted yet")
    name = _previous(current.name, models)
    while name is not None:
        if is_whole(models / name):
            return name
        name = _previous(name, models)
    raise ModelError(f"{models}: there is no version before {current.name}")


def _previous(name: str, models: Path) -> str | None:
    try:
        return record(models / name)["previous"]
    except ModelError:  # damaged: the one stored before it is the best that is left
        older = [known for known in versions(models) if _numbers([known]) < _numbers([name])]
        return older[-1] if older else None


def rollback(models: Path = MODELS) -> str:
    """Put the version before the champion in force again, and give its name; ModelError where there is none."""
    with locked(models):
        name = before(models)
        activate(name, models)
    return name


@contextmanager
def locked(models: Path = MODELS) -> Iterator[None]:
    """One promotion or rollback at a time, over all processes; the kernel lets go when a process dies."""
    models.mkdir(exist_ok=True)
    with (models / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _numbers(names: Iterable[str]) -> list[int]:
    return [int(match[1]) for name in names if (match := re.fullmatch(r"v(\d+)\.0\.0", name))]
