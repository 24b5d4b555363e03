"""Detects drift: the champion's errors on videos that are new against its errors when it was promoted."""

import base64
import csv
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.states import Completed

from flows import at_the_prompt, champions, command_line, videos
from flows.overrides import set_params
from flows.prefect_dvc import workspace_lock
from flows.report import notify
from pipeline import model_versions
from pipeline.errors import PipelineError, TooShort
from pipeline.params import DataParams, ExtractParams, Params, load_params

DRIFT = "foreframe.drift"  # the event on which flows/deploy.py starts retrain


@flow(name="monitor")
def monitor() -> State[Any]:
    """Measure the champion on videos that came after its promotion; drift starts `retrain`."""
    params = load_params(Path("params.yaml"))
    champion = model_versions.champion()
    if champion is None:
        return Completed(name="No champion", message=champions.absence())
    record = model_versions.record(champion)
    if not {"videos", "scores"} <= record.keys():
        message = f"{champion.name} was restored without its record: its errors at promotion are not known any more"
        return Completed(name="Nothing to compare with", message=message)
    videos = arrived(Path(params.data.videos), set(record["videos"]), params.extract, params.data.roots)
    if not videos:
        return Completed(name="Nothing new", message=f"no video in {params.data.videos} is newer than {champion.name}")
    errors = measure(champion, videos, params)
    if not errors:
        message = f"none of {len(videos)} new videos can be read and is long enough; the log of the run says why"
        return Completed(name="Nothing usable", message=message)
    return judge(champion.name, record["scores"]["videos"], errors, params)


def arrived(folder: Path, known: set[str], extract: ExtractParams, roots: Sequence[str] = ()) -> list[Path]:
    """The files of the videos in `folder` whose content hash is not `known`; of images their folder."""
    new = [video for video in videos.videos(folder, extract, roots) if video.content_hash not in known]
    return list(dict.fromkeys(path for video in new for path in video.files))


@task(cache_policy=NO_CACHE)
def measure(champion: Path, videos: list[Path], params: Params) -> dict[str, float]:
    """The champion's mean error on each video, by the video's path.

    Videos that cannot be read or are shorter than a clip are left out.
    """
    from pipeline.data.frames import INDEX, FrameStore
    from pipeline.measuring import scoring  # torch takes two seconds to import

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result = extract(videos, params.data, folder)
        get_run_logger().info("%s", result.stdout + result.stderr)
        if result.returncode:
            # it also fails where no file is a video; then its index says so of each
            if (folder / "frames" / INDEX).exists() and not FrameStore(folder / "frames").videos:
                return {}
            raise PipelineError(result.stderr.strip())
        try:
            with workspace_lock.locked():  # not while a retrain replaces them
                scoring.all_for_test(folder / "frames", folder / "clips", Path("data/clips"))
        except TooShort as error:
            get_run_logger().info("%s", error)
            return {}
        table = scoring.score(champion, folder / "frames", folder / "clips", params.evaluate)
    return table.groupby("video")[params.promote.metrics[0]].mean().to_dict()


def extract(videos: list[Path], data: DataParams, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the extract stage, as for training, on these videos of `data` only: their frames are in `folder`/frames."""
    is_list = Path(data.videos).is_file()
    if is_list:
        write_list(folder / "videos.csv", Path(data.videos), set(videos))
    for video in () if is_list else videos:
        link = folder / "videos" / video.relative_to(data.videos)
        images = [path.name for path in video.iterdir()] if video.is_dir() else [""]
        for name in images:
            (link / name).parent.mkdir(parents=True, exist_ok=True)
            if not os.path.lexists(link / name):  # a video may lie among the images of another
                (link / name).symlink_to((video / name).absolute())
    # of links the stage follows those that it follows in data.videos, for these lead there
    own = os.path.dirname(data.videos) or "." if is_list else data.videos  # noqa: PTH120
    roots = [os.path.realpath(root) for root in (own, *data.roots)]
    shutil.copy("params.yaml", folder)
    set_params(
        [
            f"data.videos=videos{'.csv' * is_list}",
            f"data.roots={json.dumps(roots, ensure_ascii=False)}",
            "extract.store_url=null",  # they are looked at once
        ],
        folder / "params.yaml",
    )
    path = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", "pipeline.stages.extract", "frames"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def write_list(path: Path, whole: Path, files: set[Path]) -> None:
    """The rows of the list `whole` whose file is one of `files`, with absolute paths."""
    from pipeline.sources.lists import read_list

    root = Path(os.path.realpath(whole.parent))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "split", "start_seconds", "stop_seconds", "target"])
        for row in read_list(whole):
            source = Path(os.path.normpath(root / row.path))
            if source in files or any(each.is_relative_to(source) for each in files):
                target = os.path.normpath(root / row.target) if row.target else ""
                writer.writerow([source, row.split, row.start_seconds, row.stop_seconds, target])


def judge(version: str, reference: dict[str, float], errors: dict[str, float], params: Params) -> State[Any]:
    """Inside a flow: report how surprising each video's error is, and whether all of them together are drift.

    `reference` are the errors of the test videos at the promotion of `version`, `errors` those of the new videos.
    """
    import numpy as np

    from pipeline.measuring.drift import drift, surprise

    metric = params.promote.metrics[0]
    old, new = (np.array(list(values.values())) for values in (reference, errors))
    result = drift(old, new, params.monitor)
    scores = dict(zip(errors, surprise(old, new).tolist(), strict=True))
    rows = [
        {"video": video, metric: f"{errors[video]:.4g}", "surprise": f"{scores[video]:.2f}"}
        for video in sorted(scores, key=lambda video: -scores[video])
    ]
    create_table_artifact(rows, key="surprise", description=f"Error of {version}, and in units of its usual error")
    picture = plot(old.tolist(), new.tolist(), metric)
    title = f"Drift on {len(rows)} new videos" if result.drifted else f"{version} on {len(rows)} new videos"
    create_markdown_artifact(f"# {title}\n\n{result.reason}.\n\n![errors]({picture})\n", key="drift", description=title)
    if not result.drifted:
        return Completed(name="No drift", message=result.reason)
    emit_event(DRIFT, resource={"prefect.resource.id": f"foreframe.champion.{version}"}, payload=asdict(result))
    notify("foreframe: drift", result.reason)
    return Completed(name="Drift", message=result.reason)


def plot(old: list[float], new: list[float], metric: str) -> str:
    """A histogram of both lists of errors: a PNG in a data URI."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3), dpi=100, layout="constrained")
    axes = figure.subplots()
    axes.hist([old, new], bins=20, density=True, label=["at promotion", "new"], color=["#546e7a", "#c2185b"])
    axes.set(xlabel=f"{metric} of a video", ylabel="density")
    axes.legend(frameon=False)
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


if __name__ == "__main__":
    command_line.parser("flows.monitor", monitor.description, "").parse_args()
    at_the_prompt(monitor, first=partial(load_params, Path("params.yaml")))
