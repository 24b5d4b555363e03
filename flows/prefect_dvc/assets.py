"""Outputs of DVC's as Prefect's assets: one for each, with the hash that dvc.lock names it by.

A stage that ran emits the event `prefect.asset.materialization.succeeded` for each of its outputs; Prefect emits it
with the task's end, whether or not its dashboard shows assets. A stage that was up to date emits none.
"""

import hashlib
import re
from pathlib import Path

from prefect.assets import Asset, AssetProperties, add_asset_metadata

from flows.prefect_dvc.graph import Stage
from pipeline import dvc_lock
from pipeline.errors import PipelineError

UNUSABLE = re.compile(r"[^A-Za-z0-9_./-]")  # in Prefect's keys


def asset(out: str, project: Path) -> Asset:
    """The asset of an output: `dvc://PROJECT/OUT`, where PROJECT is the name of the project's folder."""
    return Asset(key=_key(out, project), properties=AssetProperties(name=out))


def describe(stage: Stage, project: Path) -> None:
    """Inside the task of a stage that DVC has brought up to date: add to its assets what dvc.lock says of them."""
    if not stage.in_lock:
        return
    try:
        outs = dvc_lock.locked_outs((project / dvc_lock.LOCK).read_text(encoding="utf-8"))
    except (OSError, PipelineError, UnicodeDecodeError):  # DVC writes it in place, perhaps at this moment
        return
    for out in outs:
        if out.stage == stage.name and out.path in stage.outs:
            add_asset_metadata(_key(out.path, project), {"path": out.path, "md5": out.md5, "stage": stage.name})


def _key(out: str, project: Path) -> str:
    """Two outputs never share a key: where a name holds what a key may not, a part of its hash is added."""
    usable = UNUSABLE.sub("_", out)
    mark = "" if usable == out else f".{hashlib.sha256(out.encode()).hexdigest()[:8]}"
    return f"dvc://{UNUSABLE.sub('_', project.resolve().name)}/{usable}{mark}"
