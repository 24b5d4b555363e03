"""`dvc repro` as a Prefect run: every stage of dvc.yaml is a task with its log, its progress and its outputs."""

from functools import partial

from prefect import flow, runtime

from flows import at_the_prompt, command_line
from flows.overrides import check, prepared
from flows.prefect_dvc import execution, workspace_lock


def _run_name() -> str:
    return f"repro {' '.join(runtime.flow_run.parameters.get('targets') or ['all'])}"


@flow(name="repro", task_runner=execution.THREADS, flow_run_name=_run_name)
def repro(targets: list[str] | None = None, overrides: list[str] | None = None) -> dict[str, str]:
    """Bring every stage of dvc.yaml up to date (or `targets` and what they need), with `overrides` in params.yaml.

    They stay there unless the run fails.
    """
    with workspace_lock.locked(), prepared(overrides or [], targets) as (_, stages):
        return execution.run(stages)


if __name__ == "__main__":
    parser = command_line.parser(
        "flows.repro", repro.description, "", "train", "-S train.max_minutes=5 -S model.name=convlstm"
    )
    parser.add_argument("targets", nargs="*", help="stages to bring up to date, with what they need (default: all)")
    command_line.add_overrides(parser)
    arguments = parser.parse_args()
    first = partial(check, arguments.overrides)
    at_the_prompt(repro, arguments.targets or None, arguments.overrides, first=first)
