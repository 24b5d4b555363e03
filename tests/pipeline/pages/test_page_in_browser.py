"""The page in headless Chromium, opened as a file: the player by mouse and keyboard, a phone, the dark, axe-core.

`FOREFRAME_MEDIA=FOLDER pytest -m slow tests/pipeline/pages/test_page_in_browser.py` keeps the screenshots.
"""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest

from pipeline.params import EvaluateParams, RenderParams
from pipeline.stages.evaluate import evaluate
from pipeline.stages.render import render
from tests.conftest import videos_in
from tests.flows.browser import Browser

pytestmark = pytest.mark.slow
AXE = "axe-core@4.14.1"  # of the npm registry
SCREENS = {"desk": (1280, 900, False), "dark": (1280, 900, True), "phone": (390, 844, False)}


@pytest.fixture(scope="module")
def address(tiny, tmp_path_factory):
    """The page about the tiny model, with all that evaluate and a flow may write."""
    folder = tmp_path_factory.mktemp("page")
    metrics = folder / "metrics"
    evaluate(
        tiny.frames, tiny.clips, tiny.model, metrics, evaluate=EvaluateParams(batch_size=4, max_clips=None, lpips="off")
    )
    summary = json.loads((metrics / "metrics.json").read_text())
    (metrics / "previous.json").write_text(json.dumps(summary | {"model": summary["last_frame"]}))
    rows = [
        {"method": method, "metric": name, "mean": value, "low": value * 0.9, "high": value * 1.1}
        for method, row in summary.items()
        if isinstance(row, dict)
        for name, value in row.items()
        if name != "intervals"
    ]
    pd.DataFrame(rows).to_csv(metrics / "intervals.csv", index=False)
    scores = [{"clip": c, "video": "v", "start": 0, "method": "model", "mse": 1.0 + c, "ssim": 0.5} for c in range(3)]
    pd.DataFrame(scores).to_csv(metrics / "clip_scores.csv", index=False)
    (folder / "training").mkdir()
    (folder / "training/gradients.csv").write_text("steps_back,before,after\n1,0.1,0.2\n2,0.01,0.1\n")
    params = RenderParams(num_clips=3, long_horizon=9, scale=4, fps=8.0)
    folders = tiny.model, folder / "training", metrics, folder / "renders"
    render(tiny.frames, tiny.clips, *folders, render=params, **videos_in(folder / "none"))
    return (folder / "renders/index.html").as_uri()


@pytest.fixture
def browser(tmp_path):
    with Browser(tmp_path / "profile") as opened:
        yield opened
        assert opened.outside == []


def told(browser):
    return browser.run("document.querySelector('output').textContent")


def test_keys_and_buttons_step_all_panels_together(browser, address):
    browser.open(address, "Test clips", "frame")
    labels = browser.run("[...document.querySelectorAll('.panels figcaption')].map(e => e.textContent).join()")
    assert labels == "context,truth,prediction,error"
    assert browser.run("document.querySelector('.film[aria-pressed=true] strong').textContent") == "median"
    for key, expected in {
        "Home": "frame 1 of 7: given 1 of 3",
        "ArrowLeft": "frame 1 of 7: given 1 of 3",
        "ArrowRight": "frame 2 of 7: given 2 of 3",
        "End": "frame 7 of 7: predicted 4 of 4",
    }.items():
        browser.press(key)
        assert told(browser) == expected
    assert browser.run("document.querySelector('.now').getAttribute('visibility')") == "visible"
    browser.run("document.querySelector('[data-do=back]').click()")
    assert told(browser) == "frame 6 of 7: predicted 3 of 4"
    browser.run("(s => { s.value = 2; s.dispatchEvent(new Event('input')); })(document.querySelector('.scrub input'))")
    assert told(browser) == "frame 3 of 7: given 3 of 3"
    assert browser.run("document.querySelector('.now').getAttribute('visibility')") == "hidden"


def test_panels_show_pictures_and_are_empty_where_there_is_none(browser, address):
    browser.open(address, "Test clips", "frame")
    # a canvas that drew a picture of a file may not be read; what is drawn is seen by the calls
    browser.run("window.drawn = []; CanvasRenderingContext2D.prototype.drawImage = function () { drawn.push(1); }")
    for _ in range(100):  # until the sprite is there
        browser.press("End")
        if browser.run("drawn.length") >= 4:
            break
        time.sleep(0.1)
    for key, count in {"Home": 1, "End": 4}.items():  # the context alone, then all
        browser.run("drawn = []")
        browser.press(key)
        assert browser.run("drawn.length") == count
    browser.run("document.querySelectorAll('.film')[3].click()")
    assert browser.run("document.querySelectorAll('.panels canvas').length") == 3  # the rollout of three clips


def test_space_plays_and_stops_and_speed_is_heeded(browser, address):
    browser.open(address, "Test clips", "frame")
    browser.run("document.querySelector('select').value = '4'")
    browser.press("Home")
    browser.press(" ")
    assert browser.run("document.querySelector('[data-do=play]').textContent") == "stop"
    frames = "new Promise(done => setTimeout(() => done(document.querySelector('output').textContent), 400))"
    seen = browser.ask("Runtime.evaluate", expression=frames, awaitPromise=True)["result"]["value"]
    assert seen != "frame 1 of 7: given 1 of 3"
    browser.press(" ")
    stopped = told(browser)
    assert browser.ask("Runtime.evaluate", expression=frames, awaitPromise=True)["result"]["value"] == stopped


@pytest.mark.parametrize("name", SCREENS)
def test_every_screen_shows_the_page_without_overflow(browser, address, tmp_path, name):
    width, height, dark = SCREENS[name]
    browser.screen(width, height, dark=dark)
    browser.open(address, "Since the run before", "Left out", "95 % intervals")
    assert browser.run("document.documentElement.scrollWidth") == width
    table = "document.querySelector('#figures .scroll')"
    assert browser.run(f"{table}.scrollWidth <= {table}.clientWidth")  # nothing of the table of figures is cut off
    ground = browser.run("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") is not dark
    media = Path(os.environ.get("FOREFRAME_MEDIA", tmp_path))
    browser.whole_page(media / f"page-{name}.png")


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    """The source of axe-core, fetched from npm's registry."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("axe-core comes from npm: apt-get install npm")
    folder = tmp_path_factory.mktemp("axe")
    subprocess.run([npm, "install", "--silent", "--prefix", folder, AXE], check=True)
    return (folder / "node_modules/axe-core/axe.min.js").read_text()


@pytest.mark.parametrize("name", SCREENS)
def test_axe_core_finds_nothing(browser, address, axe, name):
    width, height, dark = SCREENS[name]
    browser.screen(width, height, dark=dark)
    browser.open(address, "Test clips", "frame")
    browser.run(f"{axe};0")
    script = "axe.run().then(r => JSON.stringify(r.violations.map(v => [v.impact, v.id, v.nodes[0].html])))"
    found = browser.ask("Runtime.evaluate", expression=script, awaitPromise=True)["result"]["value"]
    assert json.loads(found) == []
