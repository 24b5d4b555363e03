"""The dashboard in a headless Chromium that knows no host but 127.0.0.1: stages on the run's page, the report's words.

`FOREFRAME_MEDIA=.github/media pytest -m slow tests/flows/test_dashboard.py` renews the README's screenshots.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.flows.browser import Browser
from tests.flows.conftest import ROOT, ask
from tests.flows.test_deploy import STAGES, make_champion

pytestmark = pytest.mark.slow
BIGGEST = 300_000  # bytes of a screenshot
SHOWN = ["sample.train_videos=200", "sample.val_videos=20", "sample.test_videos=30", "train.num_threads=1"]


def keep(browser: Browser, name: str, folder: Path) -> None:
    """A screenshot in few colours, small enough for the README."""
    path = folder / f"{name}.png"
    browser.picture(path)
    with Image.open(path) as image:
        image.convert("RGB").quantize(128).save(path, optimize=True)
    assert 10_000 < path.stat().st_size < BIGGEST


def retrain(folder: Path, environment: dict[str, str], *overrides: str) -> str:
    """Run the flow; returns its id."""
    code = (
        "import sys; from flows.retrain import retrain; "
        "print('RUN', retrain(overrides=sys.argv[1:], return_state=True).state_details.flow_run_id)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *overrides],
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return next(line.split()[1] for line in result.stdout.splitlines() if line.startswith("RUN"))


def test_the_dashboard_shows_stages_and_report_without_the_internet(reproduced, api, tmp_path):
    folder, environment = reproduced
    environment = {**environment, "PREFECT_API_URL": api}
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
    [report] = ask(
        api, "artifacts/filter",
        artifacts={"flow_run_id": {"any_": [identity]}, "key": {"any_": ["report"]}},
    )  # fmt: skip
    home = api.removesuffix("/api")
    with Browser(tmp_path / "profile") as browser:
        browser.open(f"{home}/runs/flow-run/{identity}", "params: ", *stages)
        keep(browser, "dashboard-run", media)
        text = browser.open(
            f"{home}/artifacts/artifact/{report['id']}", "Metrics on today's test clips", "Stages", "background"
        )
        assert "The champion stays" in text or "is the new champion" in text
        assert browser.run("[...document.images].filter(i => i.src.startsWith('data:') && i.naturalWidth > 50).length")
        keep(browser, "dashboard-report", media)
        browser.open(f"{home}/artifacts", "report", "metrics")
        assert browser.outside == []
