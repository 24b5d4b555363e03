"""The champion continues or translates every new video of a folder: once per content and model version."""

import multiprocessing
import os
import re
import threading
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner

from flows import at_the_prompt, champions, command_line, folders, videos
from flows.prefect_dvc import workspace_lock
from flows.report import notify
from pipeline import model_versions
from pipeline.errors import PipelineError
from pipeline.params import GenerateParams, Params, load_params
from pipeline.runtime.files import read_json, write_json

FAILED = "failed.json"  # in the output folder: what the last run could not do, and why
# the names of results (see `pending`) that are being written (see pipeline.runtime.files)
UNFINISHED = re.compile(r"\..+\.[0-9a-f]{12}\.v\d+\.0\.0\.mp4\.part")


@dataclass(frozen=True)
class Job:
    """A video and where its continuation goes."""

    source: Path
    output: Path


@flow(name="generate")
def generate(videos: str | None = None, output: str | None = None) -> State[Any]:
    """Let the champion continue (or translate) the videos of a folder that it has not done yet.

    `videos` and `output` stand in for generate.videos and generate.output of params.yaml; they lie in the workspace or
    under data.roots. A video that fails is listed,
    in OUTPUT/failed.json too, and tried again by the next run; it does not stop the others.
    """
    params = load_params(Path("params.yaml"))
    source, target = folders.for_generate(videos, output, params)
    champion = model_versions.champion()
    if champion is None:
        return Completed(name="No champion", message=champions.absence())
    if not os.path.isdir(source):  # noqa: PTH112 -- False, too, for a name that is too long
        return Completed(name="Nothing new", message=f"{source}: there is no such folder yet")
    with alone(target):
        jobs = pending(source, target, champion.name, params)
        failures = run(jobs, champion, params.generate)
        known = known_failures(target)
        write_json(target / FAILED, failures)
    if not jobs:
        return Completed(name="Nothing new", message=f"{champion.name} has done every video of {source}")
    message = f"{len(jobs) - len(failures)} of {len(jobs)} videos done by {champion.name}"
    if not failures:
        return Completed(message=message)
    for failure in failures.values():
        get_run_logger().warning("%s", failure)
    if failures.keys() - known.keys():  # every run tries again, but people hear of a file once
        notify("foreframe: videos failed", "\n".join(failures.values()))
    return Completed(name="With failures", message="\n".join([message, *failures.values()]))


@contextmanager
def alone(output: Path) -> Iterator[None]:
    """One run at a time writes to a folder, whoever starts it, so that no video is done twice."""
    output.mkdir(parents=True, exist_ok=True)
    with workspace_lock.locked(output / ".lock"):
        for path in output.rglob(".*.part"):
            if UNFINISHED.fullmatch(path.name):  # of a run that was killed
                path.unlink()
        yield


def known_failures(output: Path) -> dict[str, str]:
    """What the run before could not do: the reason, by the file that it would have written."""
    try:
        known = read_json(output / FAILED)
    except (OSError, ValueError):  # damaged: people hear of its videos once more
        return {}
    return known if isinstance(known, dict) else {}


def run(jobs: list[Job], champion: Path, params: GenerateParams) -> dict[str, str]:
    """Do the jobs, one task per job; returns the reasons of those that failed, by the file that they did not write."""
    if not jobs:
        return {}
    errors = attempt(jobs, champion, params)
    for job in jobs:
        if errors[job] is None:  # a process that dies takes down all that its pool still had to do; alone, only itself
            errors |= attempt([job], champion, params)
    rows, failures = [], {}
    for job in jobs:
        error = "its process died, out of memory perhaps" if errors[job] is None else str(errors[job])
        rows.append({"video": str(job.source), "output": "" if error else str(job.output), "error": error})
        if error:
            failures[str(job.output)] = error if error.startswith(str(job.source)) else f"{job.source}: {error}"
    create_table_artifact(rows, key="generated", description=f"By {champion.name}")
    return failures


def attempt(jobs: list[Job], champion: Path, params: GenerateParams) -> dict[Job, str | None]:
    """Do the jobs; returns what went wrong with each: "" for nothing, a message, or None where its process died."""
    errors: dict[Job, str | None] = {}
    with runner(params) as pool:
        futures = [
            pool.submit(
                continue_one.with_options(task_run_name=job.source.name),
                {"source": job.source, "output": job.output, "model": champion, "num_frames": params.num_frames},
            )
            for job in jobs
        ]
        for job, future in zip(jobs, futures, strict=True):
            try:
                future.wait()
            except BrokenExecutor:
                errors[job] = None
            except BaseException:  # the run is cancelled; left alone, the pool would finish what it has begun
                for process in multiprocessing.active_children():
                    process.kill()
                raise
            else:
                errors[job] = "" if future.state.is_completed() else str(future.state.message)
    return errors


def pending(source: Path, output: Path, version: str, params: Params) -> list[Job]:
    """The videos under `source` whose content `version` has not done yet, into `output`."""
    jobs = []
    for video in videos.videos(source, params.extract, params.data.roots):
        if video.is_part:  # an episode of a data set: its file holds others too
            continue
        name = video.path.relative_to(source)
        if any(part.startswith(".") for part in name.parts):
            continue
        # the file itself is the record: it is renamed into its place when it is whole
        target = output / name.parent / f"{name.name}.{video.content_hash[:12]}.{version}.mp4"
        if not target.exists():
            jobs.append(Job(video.path, target))
    return jobs


def runner(params: GenerateParams) -> TaskRunner[Any]:
    """A Dask cluster where params.yaml names one, else processes on this machine."""
    if params.dask is None:
        return ProcessPoolTaskRunner(max_workers=params.workers, initializer=end_with_parent)
    from prefect_dask.task_runners import DaskTaskRunner  # takes seconds to import

    return DaskTaskRunner(address=params.dask)


def end_with_parent() -> None:
    """In a process of the pool: end when the flow's process has ended, however it ended."""

    def wait() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


@task(cache_policy=NO_CACHE)
def continue_one(source: Path, output: Path, model: Path, num_frames: int) -> State[Any] | None:
    """Continue one video, or translate it: what the model was trained for."""
    # here, in the worker, because importing torch takes seconds
    from pipeline.inference.generation import continue_video
    from pipeline.inference.translation import translate_video
    from pipeline.model_dir import load_card

    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        if load_card(model).made_for.feeds_back:
            continue_video(source, output, model, num_frames)
        else:
            translate_video(source, output, model, degrade=False, tile=None)
    except PipelineError as error:
        return Failed(message=str(error))  # one line that says all; no traceback
    return None


def folders_of(videos: str | None, output: str | None) -> tuple[Path, Path]:
    """The folders that a run would read and write; raises ParamsError as the run does."""
    return folders.for_generate(videos, output, load_params(Path("params.yaml")))


if __name__ == "__main__":
    parser = command_line.parser("flows.generate", generate.description, "", "inbox generated")
    parser.add_argument("videos", nargs="?", help="folder (default: generate.videos of params.yaml)")
    parser.add_argument("output", nargs="?", help="folder (default: generate.output of params.yaml)")
    arguments = parser.parse_args()
    first = partial(folders_of, arguments.videos, arguments.output)
    at_the_prompt(generate, arguments.videos, arguments.output, first=first)
