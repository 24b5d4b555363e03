"""The dashboard in a headless Chromium that knows no host but 127.0.0.1: stages on the run's page, the report's words.

`FOREFRAME_MEDIA=.github/media pytest -m slow tests/flows/test_dashboard.py` renews the README's screenshots.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.flows.browser import Browser
from tests.flows.conftest import ask
from tests.flows.test_deploy import STAGES, make_champion

pytestmark = pytest.mark.slow
BIGGEST = 300_000  # bytes of a screenshot


def keep(browser: Browser, name: str, folder: Path) -> None:
    """A screenshot in few colours, small enough for the README."""
    path = folder / f"{name}.png"
    browser.picture(path)
    with Image.open(path) as image:
        image.convert("RGB").quantize(128).save(path, optimize=True)
    assert 10_000 < path.stat().st_size < BIGGEST


def test_the_dashboard_shows_stages_and_report_without_the_internet(reproduced, api, tmp_path):
    folder, environment = reproduced
    make_champion(folder)
    code = (
        "from flows.retrain import retrain; "
        "print('RUN', retrain(overrides=['train.seed=1'], return_state=True).state_details.flow_run_id)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env={**environment, "PREFECT_API_URL": api}, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    identity = next(line.split()[1] for line in result.stdout.splitlines() if line.startswith("RUN"))
    [report] = ask(
        api, "artifacts/filter",
        artifacts={"flow_run_id": {"any_": [identity]}, "key": {"any_": ["report"]}},
    )  # fmt: skip
    home = api.removesuffix("/api")
    media = Path(os.environ.get("FOREFRAME_MEDIA", tmp_path))
    with Browser(tmp_path / "profile") as browser:
        browser.open(f"{home}/runs/flow-run/{identity}", "on data", *STAGES)
        keep(browser, "dashboard-run", media)
        text = browser.open(
            f"{home}/artifacts/artifact/{report['id']}", "Metrics on today's test clips", "Stages", "background"
        )
        assert "The champion stays" in text or "is the new champion" in text
        assert browser.run("[...document.images].filter(i => i.src.startsWith('data:') && i.naturalWidth > 50).length")
        keep(browser, "dashboard-report", media)
        browser.open(f"{home}/artifacts", "report", "metrics")
        assert browser.outside == []
