"""Whether a retrain has anything to do, asked without Prefect, whose import takes seconds.

`python -m flows.retrain` looks before it imports Prefect. Where nothing is new, the run goes into Prefect's records
over its REST API (recording.py); else the flow goes on with what was found, under the same lock.
"""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from flows import arrivals, champions, command_line, recording
from flows.overrides import check, prepared
from flows.prefect_dvc import workspace_lock
from flows.prefect_dvc.graph import Stage
from pipeline import model_versions
from pipeline.errors import ModelError, PipelineError, told
from pipeline.params import Params
from pipeline.runtime.files import read_json
from pipeline.runtime.interrupts import interruptible

CANDIDATE = Path("data/model")
JUDGED = model_versions.MODELS / "judged.json"  # the last verdict and what it is about
NOTHING = ("Nothing new", "videos, parameters and code are those of the last run")  # a state's name and its message


@dataclass(frozen=True)
class Look:
    """What a run finds before it does anything."""

    params: Params
    stages: list[Stage]

    def is_news(self) -> bool:
        """Whether a stage is to be redone, or the model is to be judged."""
        return any(stage.stale for stage in self.stages) or not is_judged(self.params)


_looked: ContextVar[Look | None] = ContextVar("looked", default=None)


@contextmanager
def looked(overrides: list[str]) -> Iterator[Look]:
    """Under the workspace's lock: what is there to do. What `at_the_prompt` found already is not looked for again."""
    if (found := _looked.get()) is not None:
        yield found
    else:
        with workspace_lock.locked(), look(overrides) as found:
            yield found


@contextmanager
def look(overrides: list[str], *, only_changed: bool = False) -> Iterator[Look]:
    """Under the workspace's lock: take back what a killed promotion began, check the champion, and ask DVC for a plan.

    Raises PipelineError where params.yaml, an override, the champion or dvc.yaml is wrong. Where the run fails, its
    overrides leave params.yaml.
    """
    champions.settle()
    champions.current()  # whole, or this stops before anything is trained
    with prepared(overrides, only_changed=only_changed) as (params, stages):
        yield Look(params, stages)


def judgement(params: Params) -> dict[str, Any]:
    """What a verdict is about: the candidate's content hash and the rules of promotion."""
    return {"candidate": model_versions.content_hash(CANDIDATE), "promote": params.promote.model_dump(mode="json")}


def is_judged(params: Params) -> bool:
    """Has the last run's model been judged by these rules? It has not where that run was stopped before its verdict."""
    try:
        judged = read_json(JUDGED)
        return isinstance(judged, dict) and judged.items() >= judgement(params).items()
    except (OSError, ValueError, ModelError):
        return False


def at_the_prompt() -> NoReturn:
    """`python -m flows.retrain`: mistakes in what was typed end in one line; Prefect is imported where it has to be."""
    parser = command_line.parser(
        "flows.retrain",
        "Bring the pipeline up to date, and promote its model if it is better than the champion.",
        "",
        "-S train.max_minutes=5 -S model.foreframe.hidden_channels=96",
        "rollback",
    )
    parser.add_argument(
        "action",
        nargs="?",
        choices=["rollback", "restore"],
        help="instead, make the version before the champion the champion again; or bring the champion, damaged or "
        "lost, back from DVC's cache or remote",
    )
    command_line.add_overrides(parser)
    arguments = parser.parse_args()
    interruptible()
    gc.disable()  # what imports and YAML files leave stays: to look for garbage among it takes time
    try:
        if arguments.action is not None:
            version = {"rollback": champions.rollback, "restore": champions.restore}[arguments.action]()
            os.write(1, f"{version} is the champion\n".encode())
        else:
            _retrain(arguments.overrides)
    except KeyboardInterrupt:
        sys.exit(130)  # the shells' exit code for Ctrl-C
    except PipelineError as error:
        sys.exit(f"{arguments.action or 'retrain'}: {error}")
    except OSError as error:
        sys.exit(f"{arguments.action or 'retrain'}: {told(error)}")
    sys.exit()


def _retrain(overrides: list[str]) -> None:
    params = check(overrides)  # what was typed, before a server is started
    api = recording.api()
    begun = datetime.now(UTC)
    if overrides or api is None or not _is_quiet(params):
        _run_flow(overrides)
        return
    try:
        with workspace_lock.locked(tell=_busy), look([], only_changed=True) as found:
            if not found.is_news() and recording.record(api, "retrain", *NOTHING, begun, {"overrides": []}):
                os.write(1, f"retrain: {': '.join(NOTHING)}\n".encode())
                return
            if found.stages:
                token = _looked.set(found)
                try:
                    _run_flow([])
                finally:
                    _looked.reset(token)
                return
    except (_Busy, PipelineError, OSError):  # then it is a run that waits, or fails, and is seen to
        pass
    _run_flow([])


def _is_quiet(params: Params) -> bool:
    """Is nobody copying videos? Where somebody is, a run waits, and is seen to."""
    return arrivals.is_settled(Path(params.data.videos), params.schedules.quiet_seconds)


class _Busy(Exception):
    """Another process holds the workspace."""


def _busy(line: str) -> NoReturn:
    raise _Busy(line)


def _run_flow(overrides: list[str]) -> None:
    gc.enable()
    import flows
    from flows.retrain import retrain  # with Prefect

    flows.at_the_prompt(retrain, overrides)
