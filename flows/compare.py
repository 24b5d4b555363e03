"""Compares generators: each trained with each objective for the same minutes on the same clips; a table and a plot."""

from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from flows import at_the_prompt, command_line
from flows.overrides import prepared
from flows.prefect_dvc import execution, workspace_lock
from pipeline.errors import ParamsError
from pipeline.params import Params, load_params

FRAMES, CLIPS = Path("data/frames"), Path("data/clips")  # as in dvc.yaml


@flow(name="compare")
def compare(minutes: float | None = None, generators: list[str] | None = None) -> str:
    """Train, measure and tabulate; returns the table as Markdown.

    `minutes` and `generators` stand in for compare.minutes and compare.generators of params.yaml. What an earlier run
    has finished is taken from the directory compare.output, so that a run that was killed can be resumed.
    """
    params = chosen(minutes, generators)
    settings = params.compare
    with workspace_lock.locked(), prepared([], ["tensorize"]) as (_, stages):
        execution.run(stages)
    from pipeline import comparison
    from pipeline.data.task import Predict  # torch: only when there is something to compare

    rows = [baseline.with_options(task_run_name=name)(name, params) for name in Predict.baselines]
    # one after another: side by side they would take each other's minutes
    for name in settings.generators or sorted(type(params.model).model_fields.keys() - {"name"}):
        for objective in settings.objectives:
            rows.append(entry.with_options(task_run_name=f"{name} {objective}")(name, objective, params))
    text = comparison.markdown(comparison.write(rows, Path(settings.output)))
    create_markdown_artifact(text, key="comparison", description=f"After {settings.minutes:g} minutes of training each")
    return text


def chosen(minutes: float | None, generators: list[str] | None) -> Params:
    """params.yaml with `minutes` and `generators` where they are given; ParamsError where a generator is none."""
    params = load_params(Path("params.yaml"))
    options = {"minutes": minutes, "generators": generators}
    settings = params.compare.model_copy(update={key: value for key, value in options.items() if value is not None})
    known = type(params.model).model_fields.keys() - {"name"}
    if unknown := sorted(set(settings.generators or []) - known):
        raise ParamsError(f"--generators: {', '.join(unknown)}: no generator (there are: {', '.join(sorted(known))})")
    return params.model_copy(update={"compare": settings})


@task(cache_policy=NO_CACHE)
def entry(name: str, objective: str, params: Params) -> dict[str, Any]:
    """Train a generator with an objective; returns its row of the table."""
    from pipeline.comparison import train_one

    return train_one(name, objective, params, FRAMES, CLIPS, Path(params.compare.output) / f"{name}-{objective}")


@task(cache_policy=NO_CACHE)
def baseline(name: str, params: Params) -> dict[str, Any]:
    """Measure a non-learned baseline; returns its row of the table."""
    from pipeline.comparison import measure_baseline

    return measure_baseline(name, params, FRAMES, CLIPS)


if __name__ == "__main__":
    parser = command_line.parser("flows.compare", compare.description, "", "--minutes 0.05 --generators lstm convlstm")
    parser.add_argument("--minutes", type=float, help="of training, each (default: compare.minutes of params.yaml)")
    parser.add_argument("--generators", nargs="+", help="which (default: compare.generators of params.yaml)")
    arguments = parser.parse_args()
    first = partial(chosen, arguments.minutes, arguments.generators)
    print(at_the_prompt(compare, arguments.minutes, arguments.generators, first=first))  # noqa: T201
