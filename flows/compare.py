"""Every generator with every objective, trained for the same minutes on the same clips: one table, one picture."""

import argparse
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from flows import at_the_prompt
from flows.repro import plan, run, workspace
from pipeline.params import Params, load_params

FRAMES, CLIPS = Path("data/frames"), Path("data/clips")  # as in dvc.yaml


@flow(name="compare")
def compare(minutes: float | None = None, generators: list[str] | None = None) -> str:
    """Train, measure and tabulate; gives the table as Markdown.

    `minutes` and `generators` stand in for compare.minutes and compare.generators of params.yaml. What an earlier run
    has finished is taken from compare.output; a run that was killed goes on.
    """
    params = load_params(Path("params.yaml"))
    given = {"minutes": minutes, "generators": generators}
    settings = params.compare.model_copy(update={key: value for key, value in given.items() if value is not None})
    params = params.model_copy(update={"compare": settings})
    with workspace():
        run(plan(["tensorize"]))
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


@task(cache_policy=NO_CACHE)
def entry(name: str, objective: str, params: Params) -> dict[str, Any]:
    """One row of the table."""
    from pipeline.comparison import train_one

    return train_one(name, objective, params, FRAMES, CLIPS, Path(params.compare.output) / f"{name}-{objective}")


@task(cache_policy=NO_CACHE)
def baseline(name: str, params: Params) -> dict[str, Any]:
    """The row of a predictor that learns nothing."""
    from pipeline.comparison import measure_baseline

    return measure_baseline(name, params, FRAMES, CLIPS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m flows.compare", description=compare.description)
    parser.add_argument("--minutes", type=float, help="of training, each (default: compare.minutes of params.yaml)")
    parser.add_argument("--generators", nargs="+", help="which (default: compare.generators of params.yaml)")
    arguments = parser.parse_args()
    print(at_the_prompt(compare, arguments.minutes, arguments.generators))  # noqa: T201
