"""The dashboard's two interfaces in a headless Chromium that knows no host but 127.0.0.1: run, report, pictures, link.

`FOREFRAME_MEDIA=.github/media pytest -m slow tests/flows/test_dashboard.py` renews the README's screenshots.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from flows.overrides import set_params
from flows.report import PAGES
from tests.flows.browser import GRAPH, Browser, keep
from tests.flows.conftest import ROOT, ask
from tests.flows.test_deploy import STAGES, make_champion

pytestmark = pytest.mark.slow
INTERFACES = {"": "", "/v2": "-v2"}  # path before every page's -> ending of its screenshots' names
SERVED = "http://127.0.0.1:4201"  # where flows.deploy would serve the page; an interface drops links to files
PICTURES = "[...document.images].filter(i => i.src.startsWith('data:') && i.naturalWidth > 50).length"
SHOWN = ["sample.train_videos=200", "sample.val_videos=20", "sample.test_videos=30", "train.num_threads=1"]


def retrain(folder: Path, environment: dict[str, str], *changes: str) -> str:
    """Run the flow after these values were written to params.yaml; returns the run's id.

    As overrides of the run they would leave with it, and the page that the report links to with them.
    """
    set_params(list(changes), folder / "params.yaml")
    code = "from flows.retrain import retrain; print('RUN', retrain(return_state=True).state_details.flow_run_id)"
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return next(line.split()[1] for line in result.stdout.splitlines() if line.startswith("RUN"))


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> bool:
    """Whether `condition` holds within so many seconds."""
    end = time.monotonic() + seconds
    while not (holds := bool(condition())) and time.monotonic() < end:
        time.sleep(0.5)
    return holds


def test_the_dashboard_shows_stages_and_report_without_the_internet(reproduced, api, tmp_path):
    folder, environment = reproduced
    environment = {**environment, "PREFECT_API_URL": api, PAGES: SERVED}
    stages = STAGES
    media = Path(os.environ.get("FOREFRAME_MEDIA", tmp_path)).absolute()
    if "FOREFRAME_MEDIA" in os.environ:  # something to look at: as shipped, with fewer videos
        shutil.copy(ROOT / "params.yaml", folder)
        retrain(folder, environment, *SHOWN, "model.foreframe.recipe.epochs=1")
        identity = retrain(folder, environment, "model.foreframe.recipe.epochs=5")
        stages = ["Task runs"]  # the page lists the beginning of a log alone, and this one is long
    else:
        make_champion(folder)
        identity = retrain(folder, environment, "train.seed=1")
    artifacts = ask(api, "artifacts/filter", artifacts={"flow_run_id": {"any_": [identity]}})
    pages = {artifact["key"]: f"artifacts/artifact/{artifact['id']}" for artifact in artifacts}
    with Browser(tmp_path / "profile") as browser:
        for path, ending in INTERFACES.items():
            home = f"{api.removesuffix('/api')}{path}"
            # in the newer interface lines of the log do not name their stage
            browser.open(f"{home}/runs/flow-run/{identity}", "params: ", *(["Finished in state"] if path else stages))
            assert wait_for(partial(browser.run, GRAPH))
            keep(browser, f"dashboard-run{ending}", tmp_path if path else media)
            text = browser.open(f"{home}/{pages['report']}", "Metrics on today's test clips", "Stages", "background")
            assert "The champion stays" in text or "is the new champion" in text
            assert wait_for(lambda: browser.run(PICTURES) == 2)  # the preview and the sheet
            keep(browser, f"dashboard-report{ending}", tmp_path if path else media)
            browser.open(f"{home}/{pages['rendered-page']}", "Rendered test clips")
            assert wait_for(partial(browser.run, f"[...document.links].some(a => a.href == '{SERVED}/index.html')"))
            browser.open(f"{home}/artifacts", "report", "metrics")
        assert browser.outside == []
        browser.ask("Page.setBypassCSP", enabled=True)  # without the server's policy it would be
        browser.open(f"{home}/artifacts/", "report", "metrics")
        assert wait_for(lambda: browser.run("1") and browser.outside)
