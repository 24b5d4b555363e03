"""What a run is called on the dashboard: what had changed, in words, rather than hashes alone."""

from collections.abc import Iterable, Sequence

from flows.overrides import PARAMS
from flows.prefect_dvc.graph import NEVER_RAN, Stage

MOST_KEYS = 3  # of params.yaml that a name tells


def what_changed(stages: Sequence[Stage], videos: Iterable[str] = (), overrides: Iterable[str] = ()) -> str:
    """`3 new videos; params: model.foreframe; code`, or `nothing`.

    `videos` are the lines of retrain.changed_videos, such as `3 new in inbox: a.mp4, b.mp4, c.mp4`. DVC tells sections
    of parameters where a stage names no more; `overrides` of the run, such as `train.seed=5`, tell the keys in them.
    """
    changes = [change for stage in stages for change in stage.changes]
    if changes and all(NEVER_RAN in stage.changes for stage in stages):
        return "first run"
    told = [_videos(*line.split(" ", 2)[:2]) for line in videos]
    start = f"{PARAMS}: "
    sections = {key for line in changes if line.startswith(start) for key in line.removeprefix(start).split(", ")}
    given = {override.partition("=")[0].strip() for override in overrides}
    keys = sorted({name for key in sections for name in _within(key, given) or [key]})
    if keys:
        told.append(f"params: {', '.join(keys[:MOST_KEYS])}{' …' if len(keys) > MOST_KEYS else ''}")
    if any(line.startswith("pipeline/") for line in changes):
        told.append("code")
    if not told and changes:
        told.append(changes[0])
    return "; ".join(told) or "nothing"


def _within(section: str, keys: Iterable[str]) -> list[str]:
    return [key for key in keys if f"{key}.".startswith(f"{section}.")]


def _videos(count: str, what: str) -> str:
    return f"{count} {what} video{'' if count == '1' else 's'}"
