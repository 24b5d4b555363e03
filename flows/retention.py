"""Cuts back what grows, by params.yaml's `retain`; `python -m flows.retention --dry-run` lists what would go.

Old runs, model versions, tags, cache objects, results, training states, logs. Never the champion, the version before it
(what a rollback takes), a version that a tag of the user's marks, or data that a commit or a tag names.
"""

import re
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows import at_the_prompt, champions, command_line, dvc_cache, prefect_database, version_tags
from flows.prefect_dvc import workspace_lock
from pipeline import model_versions
from pipeline.errors import PipelineError
from pipeline.params import Params, load_params

DAY = 86400  # seconds
TRAINING_STATES = Path(".train")
RESULT = re.compile(r"(?P<video>.+)\.[0-9a-f]{12}\.(?P<version>v\d+\.0\.0)\.mp4")  # as flows/generate.py names them
LOST = re.compile(r"(\.?[A-Za-z0-9_-]{22}\.tmp|\..+\.part)")  # what killed processes leave in DVC's folders


def model_versions_beyond(params: Params, *, dry_run: bool) -> list[str]:
    """Stored versions beyond the newest ones; their git tags stay."""
    if params.retain.model_versions is None:
        return []
    with model_versions.locked():
        names = model_versions.prunable(params.retain.model_versions, marked_versions())
        for name in [] if dry_run else names:
            model_versions.discard(name)
    return [f"{model_versions.MODELS}/{name}" for name in names]


def marked_versions() -> list[str]:
    """Versions to whose commit someone has given a tag beside the registry's own: a name, or another stage of GTO's."""
    return [version for version in version_tags.versions() if version_tags.foreign_tags(version)]


def tags_beyond(params: Params, *, dry_run: bool) -> list[str]:
    """Tags of versions beyond the newest ones that are no longer stored; what only they name leaves the cache, too."""
    if params.retain.version_tags is None:
        return []
    stored, registered = set(model_versions.versions()), version_tags.versions()
    newest = sorted(registered, key=version_tags.number)[-params.retain.version_tags :]
    kept = stored | set(newest) | set(marked_versions()) | {version_tags.assigned()}
    names = [tag for version in registered if version not in kept for tag in version_tags.own_tags(version)]
    for name in [] if dry_run else names:
        version_tags.delete(name)
    return [f"tag {name}" for name in names]


def results_of_old(params: Params, *, dry_run: bool) -> list[str]:
    """Old results of earlier champions, and of videos that are gone; others would only be made again."""
    output, champion = Path(params.generate.output), model_versions.champion()
    if params.retain.generated_days is None or champion is None or not output.is_dir():
        return []
    limit = time.time() - params.retain.generated_days * DAY
    old = []
    with workspace_lock.locked(output / ".lock"):  # as flows/generate.py takes it
        for path in sorted(output.rglob("*.mp4")):
            match = RESULT.fullmatch(str(path.relative_to(output)))
            if match is None or path.is_symlink() or path.stat().st_mtime > limit:
                continue
            if match["version"] != champion.name or not (Path(params.generate.videos) / match["video"]).exists():
                old.append(path)
        for path in [] if dry_run else old:
            path.unlink()
    return [str(path) for path in old]


def training_states_beyond(params: Params, *, dry_run: bool) -> list[str]:
    """States of trainings, from which a killed one goes on, beyond the newest."""
    if params.retain.training_states is None or not TRAINING_STATES.is_dir():
        return []
    states = [path for path in sorted(TRAINING_STATES.iterdir()) if path.is_dir() and not path.is_symlink()]
    newest_first = sorted(states, key=lambda path: (-_last_written(path), path))
    old = newest_first[params.retain.training_states :]
    for path in [] if dry_run else old:
        shutil.rmtree(path)
    return [str(path) for path in old]


def _last_written(folder: Path) -> float:
    return max(path.stat().st_mtime for path in [folder, *folder.rglob("*")])


def lost_files(params: Params, *, dry_run: bool) -> list[str]:
    """Unfinished files that processes killed more than a day ago left in DVC's folders."""
    limit = time.time() - DAY
    found = []
    for folder in (Path(".dvc/tmp"), Path(".dvc/cache/files")):
        for path in sorted(folder.rglob("*")):
            if LOST.fullmatch(path.name) and path.is_file() and path.stat().st_mtime < limit:
                found.append(path)
    for path in [] if dry_run else found:
        path.unlink()
    return [str(path) for path in found]


def cache_objects(params: Params, *, dry_run: bool) -> list[str]:
    """Objects of DVC's cache that the workspace, no commit and no tag (see `retain.cache`) names."""
    return dvc_cache.collect(params.retain.cache, dry_run=dry_run)


def runs_older(params: Params, *, dry_run: bool) -> list[str]:
    """Runs that ended long ago, with their tasks, logs and artifacts; the newest of every flow stays."""
    if params.retain.runs_days is None:
        return []
    return prefect_database.delete_runs(params.retain.runs_days, dry_run=dry_run)


def server_log(params: Params, *, dry_run: bool) -> list[str]:
    """The log of the server that flows/deploy.py starts, where it is too large."""
    return prefect_database.rotate_log(params.retain.server_log_mb, dry_run=dry_run)


# in this order: what a version or a tag held on to is free for the next rule
RULES: dict[str, Callable[..., list[str]]] = {
    "model versions": model_versions_beyond,
    "tags": tags_beyond,
    "cache": cache_objects,
    "generated": results_of_old,
    "training states": training_states_beyond,
    "lost files": lost_files,
    "runs": runs_older,
    "server log": server_log,
}


@task(cache_policy=NO_CACHE)
def apply(rule: str, params: Params, dry_run: bool) -> list[str]:
    """Remove what a rule finds, or only list it; one line in the log for each."""
    found = RULES[rule](params, dry_run=dry_run)
    for line in found:
        get_run_logger().info("%s %s", "would go:" if dry_run else "gone:", line)
    return found


@flow(name="tidy")
def tidy(dry_run: bool = False) -> State[Any]:
    """Remove what params.yaml's `retain` says is no longer kept; with `dry_run`, only list it.

    A rule that fails does not stop the others. Flows that redo stages wait meanwhile.
    """
    params = load_params(Path("params.yaml"))
    counts, failures = [], []
    with workspace_lock.locked():
        if not dry_run:
            champions.settle()  # of a promotion that was killed, so that its version is none that counts
        for rule in RULES:
            try:
                found = apply.with_options(task_run_name=rule)(rule, params, dry_run)
            except (PipelineError, OSError) as error:
                failures.append(f"{rule}: {error}")
            else:
                counts += [f"{len(found)} {rule}"] if found else []
    if failures:
        raise PipelineError("\n".join(failures))
    what = ", ".join(counts) or "nothing"
    return Completed(name="Listed" if dry_run else "Completed", message=f"{'would go' if dry_run else 'gone'}: {what}")


if __name__ == "__main__":
    parser = command_line.parser("flows.retention", tidy.description, "", "--dry-run")
    parser.add_argument("--dry-run", action="store_true", help="remove nothing, list what would go")
    at_the_prompt(tidy, parser.parse_args().dry_run, first=partial(load_params, Path("params.yaml")))
