"""The main flow: bring the pipeline up to date if anything changed, compare with the champion, promote if better."""

if __name__ == "__main__":  # before Prefect is imported, which takes seconds
    from flows import news

    news.at_the_prompt()

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows import champions, news, promotion, report, trials, videos
from flows.news import CANDIDATE, JUDGED, NOTHING, judgement
from flows.overrides import are_in_force, settle
from flows.prefect_dvc import command, execution, graph
from flows.prefect_dvc.graph import Stage
from flows.run_names import what_changed
from pipeline import model_versions
from pipeline.errors import UnfitModel
from pipeline.model_versions import Verdict
from pipeline.pages import figures
from pipeline.params import DataParams, ExtractParams, Params
from pipeline.runtime.files import write_json
from pipeline.runtime.yaml_file import read_yaml

DATA = Path("data")


@flow(
    name="retrain",
    task_runner=execution.THREADS,
    on_failure=[report.trouble],
    on_crashed=[report.trouble],
    on_cancellation=[report.trouble],
)
def retrain(overrides: list[str] | None = None) -> State[Any]:
    """Bring the pipeline up to date, and promote its model if it is better than the champion.

    `overrides`, such as `model.name=lstm`, are written into params.yaml, and stay there if the model is promoted; else
    the workspace is as it was (trials.py). Folders among them lie in the workspace or under data.roots.
    """
    with news.looked(overrides or []) as found:
        params, stages = found.params, found.stages
        changed = log_changes(stages, params.data, params.extract, overrides or [])
        if not found.is_news():
            name_run(NOTHING[0].lower())
            return Completed(name=NOTHING[0], message=NOTHING[1])
        name_run(changed)
        if absent(stages) and graph.has_remote():
            pull(absent(stages))
            stages = graph.plan()
        before = trials.read_state(stages, [report.PREVIOUS])
        is_trial = are_in_force() and before.is_whole(stages)
        with report.keeping_previous(stages):
            outcome = execution.run(stages)
        verdict, scores = compare(params)
        version = None
        if verdict.better:
            settle()  # before, so that no interruption parts the champion from its parameters
            facts = {"reason": verdict.reason, "videos": known_videos(), "scores": scores["candidate"]}
            version = promotion.promote(
                CANDIDATE, facts, tracked(stages), message(verdict, stages), commit=params.promote.commit
            )
        leaves = is_trial and version is None
        if not leaves:
            write_json(JUDGED, {**judgement(params), **asdict(verdict)})
        label(version, changed)
        report.publish(verdict, version, stages, outcome, scores, refused=overrides or [] if leaves else [])
        if leaves and not trials.go_back(before):
            write_json(JUDGED, {**judgement(params), **asdict(verdict)})
    return Completed(name=f"Promoted {version}" if version else "Refused", message=verdict.reason)


@task(cache_policy=NO_CACHE, task_run_name="log changes")
def log_changes(stages: list[Stage], data: DataParams, extract: ExtractParams, overrides: list[str]) -> str:
    """Log what has changed since the last run: videos, parameters, code; returns it in a few words."""
    logger = get_run_logger()
    changes = [(stage.name, change) for stage in stages for change in stage.changes]
    for name, change in changes:
        logger.info("%s: %s", name, change)
    lines: list[str] = []
    if any(change.startswith(f"{Path(data.videos)}: ") for _, change in changes):
        lines = changed_videos(Path(data.videos), extract, data.roots)
    for line in lines:
        logger.info("%s", line)
    return what_changed(stages, lines, overrides)


def changed_videos(folder: Path, extract: ExtractParams, roots: Sequence[str] = ()) -> list[str]:
    """One line each for the videos in a folder or list that are new, changed, removed since frames were extracted."""
    index = DATA / "frames/index.csv"
    if not index.exists() or not folder.exists():
        return []
    import pandas as pd  # takes a third of a second, which a run without changes does not need

    table = pd.read_csv(index, dtype="str", keep_default_na=False)  # a video may be called 007
    extracted = {path: sha256 for path, sha256 in zip(table["path"], table["sha256"], strict=True) if sha256}
    present = {video.name: video.content_hash for video in videos.videos(folder, extract, roots)}
    differences = {
        "new": present.keys() - extracted.keys(),
        "changed": {name for name in present.keys() & extracted.keys() if present[name] != extracted[name]},
        "removed": extracted.keys() - present.keys(),
    }
    return [
        f"{len(names)} {what} in {folder}: {', '.join(sorted(names)[:10])}{' …' if len(names) > 10 else ''}"
        for what, names in differences.items()
        if names
    ]


def absent(stages: list[Stage]) -> list[str]:
    """The outputs that dvc.lock knows and the workspace lacks."""
    return [out for stage in stages for out in stage.stored if not Path(out).exists()]


@task(retries=3, retry_delay_seconds=[1, 5, 20], cache_policy=NO_CACHE, task_run_name="pull")
def pull(paths: list[str]) -> None:
    """Fetch outputs from the remote; retried, because networks and services fail for a while."""
    command.run("pull", "--allow-missing", *paths)
    execution.check_restored(paths)


@task(cache_policy=NO_CACHE, task_run_name="compare")
def compare(params: Params) -> tuple[Verdict, dict[str, Any]]:
    """Is the candidate better than the champion, or, where there is none, than the non-learned baselines?

    Both are measured on the present test clips. A champion that is whole and not made for them (another task or size)
    counts as none; one that is damaged or lost raises ModelError. The second value holds the mean of every metric for
    the candidate and, where it can be run, the champion, here with its interval, and the candidate's mean error on
    every video.
    """
    from pipeline.measuring.scoring import mean_intervals, means, score  # torch takes two seconds to import

    clips = (DATA / "frames", DATA / "clips", params.evaluate)
    watched, *_ = params.promote.metrics
    candidate = score(CANDIDATE, *clips)
    scores: dict[str, Any] = {
        "candidate": {"means": means(candidate), "videos": candidate.groupby("video")[watched].mean().to_dict()}
    }
    summary = figures.read_summary(report.METRICS)
    kept = summary.get("better_than_start") is False
    untrained = "; its weights are those that its training began with" if kept else ""
    current, trouble = champions.current(), ""
    if current is not None:
        try:
            champion = score(current, *clips)
        except UnfitModel as error:
            trouble = (
                f"the champion is whole, but not made for today's clips or code ({error}), "
                "so the candidate is compared with the non-learned baselines: "
            )
        else:
            scores["champion"] = {
                "version": current.name, "means": means(champion), "intervals": mean_intervals(champion),
            }  # fmt: skip
            new, old = (
                {name: table[name].to_numpy() for name in params.promote.metrics} for table in (candidate, champion)
            )
            verdict = model_versions.is_better(new, old, candidate["video"].to_numpy(), params.promote)
            return replace(verdict, reason=verdict.reason + untrained), scores
    verdict = model_versions.beats_baselines(summary, params.promote)
    return replace(verdict, reason=trouble + verdict.reason + untrained), scores


def known_videos() -> list[str]:
    """SHA-256 of every video that frames were extracted from."""
    import pandas as pd

    return sorted(pd.read_csv(DATA / "frames/index.csv", dtype="str", keep_default_na=False)["sha256"])


def tracked(stages: list[Stage]) -> list[str]:
    """The files that say which data, parameters and results belong together, metrics that git keeps among them."""
    uncached = [path for stage in stages for path in stage.order.uncached]
    previous = [str(report.PREVIOUS)] if report.PREVIOUS.exists() else []
    return ["dvc.lock", "params.yaml", *uncached, *previous]


def message(verdict: Verdict, stages: list[Stage]) -> str:
    """The message of commit and tags: why the model is promoted, and what had changed."""
    changes = [f"- {stage.name}: {change}" for stage in stages for change in stage.changes]
    return "\n".join(["Promote a model", "", verdict.reason, "", *changes]).rstrip() + "\n"


def name_run(name: str) -> None:
    """Inside a flow: call its run `name`."""
    with get_client(sync_client=True) as client:
        client.update_flow_run(runtime.flow_run.id, name=name)


def label(version: str | None, changed: str) -> None:
    """Name the run by its end and by what had changed; tag it with the data and the models that it worked with."""
    stages = read_yaml(Path("dvc.lock"))["stages"]
    data = next(out["md5"][:8] for out in stages["extract"]["outs"])
    tags = [f"data:{data}", f"model:{model_versions.content_hash(CANDIDATE)[:8]}"]
    current = model_versions.champion()
    tags += [f"champion:{current.name}"] if current else []
    with get_client(sync_client=True) as client:
        name = f"{'promoted ' + version if version else 'refused'}: {changed} (data {data})"
        client.update_flow_run(runtime.flow_run.id, name=name, tags=[*runtime.flow_run.tags, *tags])
