"""The champion continues every new video of a folder: each once a content and model version, however often it runs."""

import argparse
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner

from flows.report import notify
from pipeline import registry
from pipeline.params import GenerateParams, load_params


@dataclass(frozen=True)
class Job:
    """A video and where its continuation goes."""

    source: Path
    output: Path


@flow(name="generate")
def generate(videos: str | None = None, output: str | None = None) -> State[Any]:
    """Let the champion continue the videos of a folder that it has not continued yet.

    `videos` and `output` stand in for generate.videos and generate.output of params.yaml. A video that fails is listed,
    and tried again by the next run; the others are done.
    """
    params = load_params(Path("params.yaml")).generate
    champion = registry.champion()
    if champion is None:
        return Completed(name="No champion", message="no model was promoted yet: run python -m flows.retrain")
    jobs = pending(Path(videos or params.videos), Path(output or params.output), champion.name)
    if not jobs:
        return Completed(name="Nothing new", message=f"{champion.name} has continued every video")
    failures: list[str] = []
    with runner(params) as pool:
        futures = [
            pool.submit(
                continue_one.with_options(task_run_name=job.source.name),
                {"source": job.source, "output": job.output, "model": champion, "num_frames": params.num_frames},
            )
            for job in jobs
        ]
        rows = []
        for job, future in zip(jobs, futures, strict=True):
            future.wait()
            error = "" if future.state.is_completed() else str(future.state.message)
            rows.append({"video": str(job.source), "output": "" if error else str(job.output), "error": error})
            failures += [f"{job.source}: {error}"] if error else []
    create_table_artifact(rows, key="generated", description=f"By {champion.name}")
    message = f"{len(jobs) - len(failures)} of {len(jobs)} videos continued by {champion.name}"
    if not failures:
        return Completed(message=message)
    for failure in failures:
        get_run_logger().warning("%s", failure)
    notify("foreframe: videos failed", "\n".join(failures))
    return Completed(name="With failures", message="\n".join([message, *failures]))


def pending(videos: Path, output: Path, version: str) -> list[Job]:
    """The videos under `videos` whose content `version` has not continued into `output` yet."""
    jobs = []
    for source in sorted(path for path in videos.rglob("*") if path.is_file()):
        name = source.relative_to(videos)
        if output in source.parents or any(part.startswith(".") for part in name.parts):
            continue
        with source.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()[:12]
        # the file itself is the record: it is renamed into its place when it is whole
        target = output / name.parent / f"{source.name}.{content}.{version}.mp4"
        if not target.exists():
            jobs.append(Job(source, target))
    return jobs


def runner(params: GenerateParams) -> TaskRunner[Any]:
    """A Dask cluster where params name one, else processes here."""
    if params.dask is None:
        return ProcessPoolTaskRunner(max_workers=params.workers)
    from prefect_dask.task_runners import DaskTaskRunner  # seconds that only those with a cluster should spend

    return DaskTaskRunner(address=params.dask)


@task(cache_policy=NO_CACHE)
def continue_one(source: Path, output: Path, model: Path, num_frames: int) -> None:
    """Continue one video, or translate it, as the model is made for."""
    # torch takes seconds to import: in the worker, where it is needed
    from pipeline.checkpoint import load_card
    from pipeline.generation import continue_video
    from pipeline.translation import translate_video

    output.parent.mkdir(parents=True, exist_ok=True)
    if load_card(model).task == "translate":
        translate_video(source, output, model, degrade=False, tile=None)
    else:
        continue_video(source, output, model, num_frames)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m flows.generate", description=generate.description)
    parser.add_argument("videos", nargs="?", help="folder (default: generate.videos of params.yaml)")
    parser.add_argument("output", nargs="?", help="folder (default: generate.output of params.yaml)")
    arguments = parser.parse_args()
    generate(arguments.videos, arguments.output)
