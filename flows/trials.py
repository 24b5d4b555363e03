"""A run with overrides is a trial: where its model is refused, the workspace is again what it was before.

Parameters, dvc.lock, outputs and metrics are those of one state then, and the next scheduled run goes on from there.
What the trial made stays in DVC's cache: the same parameters bring it back without training.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from flows import overrides
from flows.prefect_dvc import command, execution
from flows.prefect_dvc.graph import Stage
from pipeline.dvc_lock import LOCK, locked_outs
from pipeline.errors import PipelineError
from pipeline.runtime.files import write_bytes


@dataclass(frozen=True)
class State:
    """Files as they are at one moment: dvc.lock, and what is beside it in git; None for one that is not there."""

    files: dict[Path, bytes | None]

    @property
    def outs(self) -> dict[str, str]:
        """The MD5 of every output that dvc.lock names."""
        content = self.files[Path(LOCK)]
        return {out.path: out.md5 for out in locked_outs(content.decode())} if content is not None else {}

    def is_whole(self, stages: Iterable[Stage]) -> bool:
        """Whether dvc.lock has a result of every stage, so that one can go back to it."""
        return {out for stage in stages for out in stage.outs} <= self.outs.keys()

    def as_now(self) -> "State":
        """The same files as they are now."""
        return State({path: path.read_bytes() if path.is_file() else None for path in self.files})

    def write(self) -> None:
        """Have the files so again."""
        for path, content in self.files.items():
            if content is not None:
                write_bytes(path, content)
            else:
                path.unlink(missing_ok=True)


def read_state(stages: Iterable[Stage], more: Iterable[Path]) -> State:
    """The state of the workspace: of dvc.lock, outputs that git keeps and the files `more`."""
    uncached = [Path(path) for stage in stages for path in stage.order.uncached]
    paths = [Path(LOCK), *(path for path in uncached if not path.is_dir()), *more]
    return State(dict.fromkeys(paths)).as_now()


@task(cache_policy=NO_CACHE, task_run_name="go back")
def go_back(before: State) -> bool:
    """Inside a flow: have the workspace as it was, and take the overrides back; is it so?

    All stays as the run has left it where somebody has changed params.yaml meanwhile, or where DVC's cache lacks what
    was there before.
    """
    log = get_run_logger()
    if not overrides.are_in_force():
        log.warning("%s was changed during the run: it stays, and with it what the run has made", overrides.PARAMS)
        return False
    after = before.as_now()
    outs = sorted(path for path, md5 in before.outs.items() if after.outs.get(path) != md5)
    try:
        _restore(before, outs)
    except PipelineError as error:
        log.warning("what was there before the run cannot be brought back, what it has made stays: %s", error)
        _restore(after, outs)
        return False
    overrides.take_back()
    log.info("refused: parameters and outputs are again those from before this run")
    return True


def _restore(state: State, outs: list[str]) -> None:
    state.write()
    cached = [path for path in outs if Path(path) not in state.files]
    if cached:
        command.run("checkout", *cached)
        execution.check_restored(cached)
