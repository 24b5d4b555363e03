"""How a project stands: champion, last runs, what is stale, what is next, disk used. No server is needed."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline import model_versions
from pipeline.errors import ModelError, PipelineError
from pipeline.model_versions import MODELS
from pipeline.project import prefect_api

RUNS = 5
DVC_SECONDS = 10.0  # beyond that a status comes without DVC's part
DISK_SECONDS = 0.5
FOLDERS = ("data", "models", ".dvc/cache", ".train", ".prefect")
MEGABYTE = 1e6


def status(folder: Path) -> dict[str, Any]:
    """The facts, by heading: champion, verdict, runs, stale, api, next, disk; raises PipelineError for no project.

    `stale` is None where DVC did not answer in time, else what has changed per stage.
    """
    if not (folder / "dvc.yaml").is_file():
        raise PipelineError(f"{folder}: is no project (it has no dvc.yaml); `foreframe init` makes one")
    begin = time.monotonic()
    asked = subprocess.Popen(  # meanwhile the rest
        [sys.executable, "-m", "dvc", "status", "--json"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    base = prefect_api.database(folder)
    url = prefect_api.api_url()
    facts: dict[str, Any] = {
        "champion": _champion(folder),
        "verdict": _verdict(folder),
        "runs": [vars(run) for run in prefect_api.last_runs(base, RUNS)],
        "api": {"url": url, "answers": prefect_api.answers(url)},
        "next": prefect_api.next_runs(base),
        "disk": {name: size for name in FOLDERS if (size := _size(folder / name)) is not None},
        "free": shutil.disk_usage(folder).free,
    }
    facts["stale"] = _stale(asked, DVC_SECONDS - (time.monotonic() - begin))
    return facts


def lines(facts: Mapping[str, Any]) -> list[str]:
    """The facts for a person, one screen."""
    champion, verdict, api = facts["champion"], facts["verdict"], facts["api"]
    shown = [("champion", champion["name"] + (f": {champion['reason']}" if champion["reason"] else ""))]
    if verdict is not None:
        shown.append(("last verdict", f"{'promoted' if verdict['better'] else 'refused'}: {verdict['reason']}"))
    runs = facts["runs"] or [{"flow": "", "state": "none in this project's database", "message": "", "started": ""}]
    for number, run in enumerate(runs):
        text = f"{run['started']} {run['flow']} {run['state']}".strip()
        shown.append(("" if number else "last runs", text + (f": {run['message']}" if run["message"] else "")))
    stale = facts["stale"]
    if stale is None:
        shown.append(("stale", "DVC took too long to say; `dvc status` does"))
    elif not stale:
        shown.append(("stale", "nothing: `dvc repro` would do nothing"))
    else:
        shown += [("" if n else "stale", f"{name}: {why}") for n, (name, why) in enumerate(stale.items())]
    if api["answers"]:
        due = [f"{flow} {at} UTC" for flow, at in facts["next"].items()] or ["nothing is scheduled"]
    else:
        due = [f"nothing: {api['url']} does not answer; `python -m flows.deploy` starts server and schedules"]
    shown += [("" if number else "next", text) for number, text in enumerate(due)]
    used = ", ".join(f"{name} {_amount(size)}" for name, size in facts["disk"].items()) or "nothing yet"
    shown.append(("disk", f"{used}; {_amount(facts['free'])} free"))
    width = shutil.get_terminal_size((120, 24)).columns - 14
    return [f"{heading:12}  {text if len(text) <= width else text[: width - 1] + '…'}" for heading, text in shown]


def _champion(folder: Path) -> dict[str, str]:
    try:
        found = model_versions.champion(folder / MODELS)
        if found is None and _is_lost(folder):
            return {"name": "lost: git tags name one (`python -m flows.retrain restore` brings it back)", "reason": ""}
        if found is None:
            return {"name": "none: no model was promoted yet (`python -m flows.retrain`)", "reason": ""}
        return {"name": found.name, "reason": str(model_versions.record(found).get("reason", ""))}
    except ModelError as error:
        return {"name": "damaged", "reason": str(error)}


def _is_lost(folder: Path) -> bool:
    """Whether git tags name a champion (flows/version_tags.py writes them)."""
    if shutil.which("git") is None:
        return False
    command = ["git", "tag", "--list", "generator#champion*"]
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout.split()
    tags = [tag for tag in said if tag.rpartition("#")[2].isdigit()]
    return bool(tags) and "!" not in max(tags, key=lambda tag: int(tag.rpartition("#")[2]))


def _verdict(folder: Path) -> dict[str, Any] | None:
    """The last verdict on a candidate (flows/retrain.py writes it), None where there is none."""
    try:
        found = json.loads((folder / MODELS / "judged.json").read_text(encoding="utf-8"))
        return {"better": bool(found["better"]), "reason": str(found["reason"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _stale(process: "subprocess.Popen[str]", seconds: float) -> dict[str, str] | None:
    """What DVC says has changed, one line per stage; None where it did not answer in `seconds`."""
    try:
        said, _ = process.communicate(timeout=max(0.1, seconds))
        answer = json.loads(said)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None
    except ValueError:  # no JSON: it is no DVC project, or its lock is held
        return None
    return {stage: "; ".join(_changes(entries)) for stage, entries in answer.items()}


def _changes(entries: list[Any]) -> list[str]:
    found = []
    for entry in entries:
        for what, paths in entry.items() if isinstance(entry, dict) else [(str(entry), None)]:
            if isinstance(paths, dict):
                found += [f"{path} {state if isinstance(state, str) else 'changed'}" for path, state in paths.items()]
            else:
                found.append(what)
    return found[:4] + (["…"] if len(found) > 4 else [])


def _size(path: Path) -> int | None:
    """Bytes in a folder, as far as can be counted in time; None where it is not there."""
    if not path.is_dir():
        return None
    total, end, folders = 0, time.monotonic() + DISK_SECONDS, [str(path)]
    while folders and time.monotonic() < end:
        try:
            with os.scandir(folders.pop()) as listing:
                for item in listing:
                    if item.is_dir(follow_symlinks=False):
                        folders.append(item.path)
                    elif not item.is_symlink():
                        total += item.stat().st_size
        except OSError:  # removed meanwhile
            continue
    return total


def _amount(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / MEGABYTE:.1f} MB"
