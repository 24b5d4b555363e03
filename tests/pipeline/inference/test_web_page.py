"""The page that continues a video in the browser, in headless Chromium, opened as a file; and what is refused."""

import json
import shutil
import subprocess
import time
from itertools import islice

import numpy as np
import pytest
import torch

from pipeline.errors import ModelError, PipelineError
from pipeline.inference.generation import continuation
from pipeline.inference.web_page import PACKAGE, export_page
from pipeline.model_dir import load
from pipeline.video import read_frames
from tests.conftest import CONTEXT
from tests.flows.browser import Browser
from tests.pipeline.inference.test_onnx_export import NOISE, SIZES, write_model
from tests.pipeline.pages.test_page_in_browser import axe  # noqa: F401

NUM_FRAMES = 4


def test_a_runtime_that_is_not_there_is_named(tiny, tmp_path):
    with pytest.raises(PipelineError, match=r"ort\.wasm\.bundle\.min\.mjs: is not there; .*npm pack onnxruntime-web@"):
        export_page(tiny.model, tmp_path / "page.html", tmp_path)
    with pytest.raises(PipelineError, match=r"should end in \.html"):
        export_page(tiny.model, tmp_path / "page", tmp_path)


def test_a_model_that_translates_has_no_such_page(tmp_path):
    for name in ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"):
        (tmp_path / name).write_bytes(b"")
    model = write_model(tmp_path / "model", "foreframe", SIZES["foreframe"], task="translate", translation=NOISE)
    with pytest.raises(ModelError, match="is made to translate"):
        export_page(model, tmp_path / "page.html", tmp_path)


@pytest.fixture(scope="module")
def page(tiny, tmp_path_factory):
    """The address of the page of the tiny model."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("onnxruntime-web comes from npm: apt-get install npm")
    folder = tmp_path_factory.mktemp("web")
    subprocess.run([npm, "pack", "--silent", PACKAGE], cwd=folder, check=True)
    (archive,) = folder.glob("*.tgz")
    shutil.unpack_archive(archive, folder)
    assert export_page(tiny.model, folder / "page.html", folder / "package/dist") < 1e-4
    return (folder / "page.html").as_uri()


@pytest.fixture
def browser(tmp_path):
    with Browser(tmp_path / "profile") as opened:
        yield opened
        assert opened.outside == []


def wait_for(browser, words):
    deadline = time.monotonic() + 60
    while words not in (said := browser.run("document.getElementById('status').textContent")):
        assert time.monotonic() < deadline, said
        time.sleep(0.2)
    return said


def drop(browser, video):
    root = browser.ask("DOM.getDocument")["root"]["nodeId"]
    node = browser.ask("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    browser.ask("DOM.setFileInputFiles", files=[str(video)], nodeId=node)


def shown(browser, number):
    """Frame `number` on the canvas: what stands below it, and its pixels (H, W)."""
    scrub, canvas = (f"document.getElementById('{name}')" for name in ("scrub", "canvas"))
    browser.run(f"{scrub}.value = {number}; {scrub}.dispatchEvent(new Event('input')); 0")
    pixels = browser.run(f"[...{canvas}.getContext('2d').getImageData(0, 0, 8, 8).data]")
    return browser.run("document.getElementById('where').textContent"), np.array(pixels, float).reshape(8, 8, 4)[..., 0]


@pytest.mark.slow
def test_a_dropped_video_goes_on_as_in_torch(browser, page, tiny, bar_video):
    browser.open(page, "Ready.")
    browser.run(
        f"document.getElementById('count').value = {NUM_FRAMES}; document.getElementById('fps').value = 12.5; 0"
    )
    drop(browser, bar_video)
    assert wait_for(browser, "then").startswith(
        f"bar.mp4: {CONTEXT} frames, 12.5 a second, then {NUM_FRAMES} predicted"
    )
    model, card = load(tiny.model)
    past = [image for _, image in read_frames(bar_video)][-CONTEXT:]
    assert shown(browser, CONTEXT - 1)[0] == "given 3 of 3"
    assert np.abs(shown(browser, CONTEXT - 1)[1] - past[-1][..., 0]).mean() < 8  # a decoder and its colours
    made = islice(continuation(model, card, past, torch.device("cpu")), NUM_FRAMES)
    for number, expected in enumerate(made):
        where, found = shown(browser, CONTEXT + number)
        assert where == f"predicted {number + 1} of {NUM_FRAMES}"
        assert np.abs(found - expected[..., 0]).mean() < 12


@pytest.mark.slow
def test_what_is_no_video_is_said(browser, page, tmp_path):
    (tmp_path / "no.mp4").write_text("no video")
    browser.open(page, "Ready.")
    drop(browser, tmp_path / "no.mp4")
    assert wait_for(browser, "cannot play") == "no.mp4: this browser cannot play that video"


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_axe_core_finds_nothing(browser, page, axe, dark):  # noqa: F811
    browser.screen(390, 844, dark=dark)
    browser.open(page, "Ready.")
    assert browser.run("document.documentElement.scrollWidth") == 390
    browser.run(f"{axe};0")
    script = "axe.run().then(r => JSON.stringify(r.violations.map(v => [v.impact, v.id, v.nodes[0].html])))"
    found = browser.ask("Runtime.evaluate", expression=script, awaitPromise=True)["result"]["value"]
    assert json.loads(found) == []
