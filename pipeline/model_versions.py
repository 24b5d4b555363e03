"""Promoted models: versions of model directories under models/, one of them the champion, and who becomes it.

Each version is a copy of a model directory with a record, promotion.json. `models/champion` is a link to the one in
force; people use the model there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import ModelError
from pipeline.metrics import METRICS
from pipeline.params import PromoteParams
from pipeline.runtime import hashing as hashes
from pipeline.runtime import locks
from pipeline.runtime.files import sync, write_json

if TYPE_CHECKING:  # NumPy takes a quarter of a second, which a run without news does not need
    import numpy as np
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

# outside of data/: DVC deletes a stage's outputs when the stage starts, and people use a model at any time
MODELS = Path("models")
CHAMPION = "champion"
RECORD = "promotion.json"
RESTORE = (
    "`python -m flows.retrain restore` brings it back from DVC's cache or remote, "
    "`foreframe rollback` puts the version before it in force, or copy it from a backup"
)


@dataclass(frozen=True)
class Verdict:
    """Whether a candidate is promoted, and why."""

    better: bool
    reason: str
    improvement: float | None = None  # relative: 0.1 is 10 % less error
    low: float | None = None  # ends of its confidence interval
    high: float | None = None


def is_better(
    candidate: Mapping[str, NDArray[np.floating]],
    champion: Mapping[str, NDArray[np.floating]],
    videos: NDArray[Any],
    promote: PromoteParams,
) -> Verdict:
    """Is the candidate's mean error lower than the champion's by more than promote.margin, chance aside?

    `candidate` and `champion` hold (N,) values of each of promote.metrics for the same N clips, `videos` (N,) says
    which video each is cut from. The lower end of a paired bootstrap interval of the relative improvement has to clear
    the margin, in one metric; in none of them may the interval's upper end be below 0. Whole videos are resampled,
    because the clips of one overlap; where there is one video only, its clips are.
    """
    verdicts = {
        name: _compare(error_name(name), error(name, candidate[name]), error(name, champion[name]), videos, promote)
        for name in promote.metrics
    }
    worse = [name for name, one in verdicts.items() if not one.better and (one.high is None or one.high < 0)]
    return _joined(verdicts, worse)


def error_name(metric: str) -> str:
    """How errors of a metric are called: of one that is best at 1, they are what is missing."""
    return f"1 - {metric}" if METRICS[metric].higher_is_better else metric


def error(metric: str, values: Any) -> Any:
    """Values of a metric as errors, of which fewer are better."""
    return 1 - values if METRICS[metric].higher_is_better else values


def _joined(verdicts: dict[str, Verdict], worse: list[str]) -> Verdict:
    """The verdict of several metrics: better in one, `worse` in none."""
    first = next(iter(verdicts.values()))
    if len(verdicts) == 1:
        return first
    better = [name for name, one in verdicts.items() if one.better]
    so = f"better in {', '.join(better) or 'none'}, worse in {', '.join(worse) or 'none'}"
    reason = "; ".join([so, *(one.reason for one in verdicts.values())])
    return Verdict(bool(better) and not worse, reason, first.improvement, first.low, first.high)


def _compare(
    name: str,
    candidate: NDArray[np.floating],
    champion: NDArray[np.floating],
    videos: NDArray[Any],
    promote: PromoteParams,
) -> Verdict:
    """The verdict of one metric's errors (N,), called `name`."""
    import numpy as np

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
        f"{name} is {_compared(improvement)} than the champion's "
        f"({promote.confidence:.0%} interval of the improvement {low:+.1%} to {high:+.1%}, "
        f"{len(new)} {'videos' if len(labels) > 1 else 'clips'}): "
        f"{'clears' if better else 'does not clear'} the margin of {promote.margin:.1%}"
    )
    return Verdict(better, reason, improvement, low, high)


def _compared(improvement: float) -> str:
    return f"{abs(improvement):.1%} {'lower' if improvement >= 0 else 'higher'}"


def beats_baselines(metrics: dict[str, Any], promote: PromoteParams) -> Verdict:
    """Is a first model's error lower than that of every non-learned baseline, by more than promote.margin?

    `metrics` is what data/metrics/metrics.json holds: the mean of every metric by method. The methods are "model",
    "stateless", "start" (the same network without its state, or before training: no baselines) and the baselines. Of
    several metrics the margin has to be cleared in one, and no baseline may be ahead in any.
    """
    rows = {name: row for name, row in metrics.items() if isinstance(row, dict) and name not in ("stateless", "start")}
    verdicts = {name: _beats_baselines(name, rows, promote) for name in promote.metrics}
    worse = [name for name, one in verdicts.items() if one.improvement is None or one.improvement < 0]
    return _joined(verdicts, worse)


def _beats_baselines(metric: str, rows: dict[str, dict[str, Any]], promote: PromoteParams) -> Verdict:
    """The verdict of one metric; rows by method."""
    named = error_name(metric)
    values = {name: row[metric] for name, row in rows.items()}
    errors = {
        name: error(metric, value) for name, value in values.items() if value is not None and math.isfinite(value)
    }
    model = errors.pop("model", None)
    if model is None:
        return Verdict(False, f"the candidate's {named} is not a finite number")
    name, best = min(errors.items(), key=lambda item: item[1])
    improvement = float(1 - model / best) if best else 0.0
    better = improvement > promote.margin
    reason = (
        f"{named} {model:.4g} is {_compared(improvement)} than the {best:.4g} of the best baseline, {name}: "
        f"{'clears' if better else 'does not clear'} the margin of {promote.margin:.1%}"
    )
    return Verdict(better, reason, improvement)


def content_hash(model_dir: Path) -> str:
    """SHA-256 over the two files of a model directory, in hex; raises ModelError where one is missing."""
    total = hashlib.sha256()
    for name in ("model.json", "model.safetensors"):
        try:
            total.update(hashlib.sha256((model_dir / name).read_bytes()).digest())
        except OSError as error:
            raise ModelError(f"{model_dir}: is no model ({error.strerror}: {name})") from error
    return total.hexdigest()


def record(model_dir: Path) -> dict[str, Any]:
    """What was recorded when the version in `model_dir` was stored; raises ModelError where it is damaged."""
    path = model_dir / RECORD
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: is damaged (no JSON)") from error
    if not isinstance(content, dict) or not {"version", "previous", "digest"} <= content.keys():
        raise ModelError(f"{path}: is damaged (it is no record of a promotion)")
    if content.get("sha256") != _seal(content):
        raise ModelError(f"{path}: is damaged (its content hash differs)")
    return content


def _seal(content: dict[str, Any]) -> str:
    """The content hash of a record, less the hash itself."""
    return hashes.content_hash(json.dumps({**content, "sha256": None}, sort_keys=True).encode())


def check(model_dir: Path) -> None:
    """Raises ModelError, which says how to restore it, where the model's bytes are not those that were stored."""
    try:
        whole = content_hash(model_dir) == record(model_dir)["digest"]
    except ModelError as error:
        raise ModelError(f"{error}; {RESTORE}") from error
    if not whole:
        raise ModelError(f"{_damaged(model_dir)}: is damaged (its content hash is not the one in {RECORD}); {RESTORE}")


def _damaged(model_dir: Path) -> Path:
    """Which of a damaged version's two files it is: the card bears a checksum of its own, and the weights'."""
    from pipeline.model_dir import CARD, WEIGHTS, card_checksum  # torch takes seconds

    try:
        card = json.loads((model_dir / CARD).read_bytes())
        whole = card["card_sha256"] == card_checksum(card)
    except (ValueError, LookupError, TypeError, RecursionError):
        whole = False
    return model_dir / (WEIGHTS if whole else CARD)


def is_whole(model_dir: Path) -> bool:
    """Are the model's bytes those that were stored?"""
    try:
        check(model_dir)
    except ModelError as error:
        logger.warning("%s", error)
        return False
    return True


def champion(models: Path = MODELS) -> Path | None:
    """The model directory of the version in force, None before the first promotion.

    Raises ModelError where the link is broken: a champion that was lost must not pass for none.
    """
    link = models / CHAMPION
    if link.is_symlink() and link.exists():
        return link.resolve()
    if link.is_symlink():
        raise ModelError(f"{link}: leads to {link.readlink()}, which is not there; {RESTORE}")
    if link.exists():
        raise ModelError(f"{link}: is no link to a version; remove it, then {RESTORE}")
    return None


def versions(models: Path = MODELS) -> list[str]:
    """The names of the stored versions, oldest first."""
    return [f"v{number}.0.0" for number in sorted(_numbers(path.name for path in models.glob("v*.0.0")))]


def store(candidate: Path, facts: dict[str, Any], taken: list[str] | None = None, models: Path = MODELS) -> str:
    """Keep a copy of the model in `candidate` as a new version, not in force yet; returns its name.

    `facts` go into the version's record. Names in `taken` (versions that git tags know) are not used again. The copy
    appears whole or not at all. Raises ModelError where the candidate is no model.
    """
    current = champion(models) if (models / CHAMPION).exists() else None
    number = max(_numbers([*versions(models), *(taken or [])]), default=0) + 1
    name = f"v{number}.0.0"
    models.mkdir(exist_ok=True)
    for leftover in sorted(models.glob(".incoming-*")):  # of a promotion that was killed
        shutil.rmtree(leftover)
    incoming = models / f".incoming-{name}"
    expected = content_hash(candidate)
    shutil.copytree(candidate, incoming)
    if content_hash(incoming) != expected:
        raise ModelError(f"{candidate}: changed while it was copied")
    _settle(incoming, models / name, {**facts, "previous": current.name if current else None})
    return name


def adopt(incoming: Path, name: str, facts: dict[str, Any], models: Path = MODELS) -> None:
    """Put the model in `incoming`, a folder in `models`, in the place of version `name`, which is lost or damaged."""
    discarded = models / f".damaged-{name}"
    shutil.rmtree(discarded, ignore_errors=True)
    if (models / name).exists():
        (models / name).rename(discarded)
    _settle(incoming, models / name, facts)
    shutil.rmtree(discarded, ignore_errors=True)


def _settle(incoming: Path, version: Path, facts: dict[str, Any]) -> None:
    """Write the record of the model in `incoming`, and make it the new `version` with one rename."""
    content = {**facts, "version": version.name, "digest": content_hash(incoming)}
    write_json(incoming / RECORD, {**content, "sha256": _seal(content)})
    for path in [*sorted(incoming.rglob("*")), incoming]:
        sync(path)
    incoming.rename(version)
    sync(version.parent)


def activate(name: str, models: Path = MODELS) -> None:
    """Make version `name` the champion: one rename, so that at every moment the champion is the old or the new one."""
    if not is_whole(models / name):
        raise ModelError(f"{models / name}: is not a whole model; the champion stays")
    link = models / f".{CHAMPION}"
    link.unlink(missing_ok=True)
    link.symlink_to(name)
    link.replace(models / CHAMPION)
    sync(models)


def retire(models: Path = MODELS) -> None:
    """No version is the champion any more; all stay."""
    (models / CHAMPION).unlink(missing_ok=True)
    sync(models)


def discard(name: str, models: Path = MODELS) -> None:
    """Remove a version that is not in force, if it is there."""
    assert in_force(models) != name, "the champion is never removed"
    if (models / name).exists():
        shutil.rmtree(models / name)


def previous(models: Path = MODELS) -> str:
    """The version that the champion replaced, or the nearest whole one before it; ModelError where there is none."""
    current = in_force(models)
    if current is None:
        raise ModelError(
            f"{models}: no model was promoted yet, as far as this folder knows; where git tags know better "
            "(`git tag --list 'generator@*'`), `python -m flows.retrain restore` brings the champion back"
        )
    name = _predecessor(current, models)
    while name is not None:
        if is_whole(models / name):
            return name
        name = _predecessor(name, models)
    raise ModelError(f"{models}: there is no version before {current}")


def in_force(models: Path = MODELS) -> str | None:
    """The name of the version in force, which may be damaged or lost."""
    link = models / CHAMPION
    return Path(link.readlink()).name if link.is_symlink() else None


def _predecessor(name: str, models: Path) -> str | None:
    """The version that was the champion when `name` was stored."""
    try:
        return record(models / name)["previous"]
    except ModelError:  # damaged: the one stored before it is the best that is left
        older = [known for known in versions(models) if _numbers([known]) < _numbers([name])]
        return older[-1] if older else None


def rollback(models: Path = MODELS) -> str:
    """Put the version before the champion in force again, and return its name; ModelError where there is none."""
    with locked(models):
        name = previous(models)
        activate(name, models)
    return name


@contextmanager
def locked(models: Path = MODELS) -> Iterator[None]:
    """One promotion or rollback at a time, over all processes; the kernel releases the lock when a process dies.

    Not reentrant: who holds it must not ask again.
    """
    models.mkdir(exist_ok=True)
    with locks.held(models / ".lock"):
        yield


def _numbers(names: Iterable[str]) -> list[int]:
    return [int(match[1]) for name in names if (match := re.fullmatch(r"v(\d+)\.0\.0", name))]


def prunable(keep: int, protected: Iterable[str] = (), models: Path = MODELS) -> list[str]:
    """The stored versions that are none of the newest `keep`, not the champion, not what a rollback takes, and not
    `protected`; oldest first. Nothing where no champion is known.
    """
    current = champion(models)
    if current is None:
        return []
    kept = {*versions(models)[-keep:], current.name, *protected}
    with suppress(ModelError):  # there is none before the champion
        kept.add(previous(models))
    return [name for name in versions(models) if name not in kept]
