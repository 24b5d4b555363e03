"""`dvc plots show` without the internet, and the table of experiments in the columns that matter."""

import re
import subprocess
import sys
import time

import pytest
from dvc_render.html import HTML
from dvc_render.vega import VegaRenderer
from ruamel.yaml import YAML

from flows import experiments, offline_plots
from pipeline.errors import PipelineError
from tests.flows.browser import Browser
from tests.flows.conftest import ROOT

PLOTS = [title for plot in YAML(typ="safe").load(ROOT / "dvc.yaml")["plots"] for title in plot]


@pytest.mark.parametrize("title", PLOTS)
def test_dvcs_page_can_draw_a_plot_of_this_title(title):
    # its id stands between single quotes in a script: with an apostrophe in it the plot is missing, without a word
    assert re.fullmatch(r"[\w-]+", VegaRenderer.remove_special_chars(title))


def test_the_projects_page_has_the_places_that_dvc_fills_and_takes_vega_from_beside_it():
    page = HTML((ROOT / ".dvc/plots/page.html").read_text()).with_element("<p>chart").embed()
    assert "<p>chart" in page
    assert not re.search(r"\{(scripts|plot_divs|refresh_tag)\}", page)
    assert re.findall(r'<script src="(?!http)(.*?)"', page)[0] == f"../{offline_plots.BUNDLE}"


def test_outside_a_project_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PipelineError, match=r"\.dvc: no such folder; call this in the project's folder"):
        offline_plots.write_bundle()
    assert list(tmp_path.iterdir()) == []


def test_the_bundle_defines_what_dvcs_charts_call(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvc").mkdir()
    assert "is written" in offline_plots.write_bundle()
    assert offline_plots.BUNDLE.read_text().rstrip().rpartition("window.")[2].startswith("vegaEmbed")


@pytest.mark.parametrize(
    ("column", "kept", "dropped"),
    [
        ("mse", True, False),
        ("model.mse", True, False),
        ("data/metrics/metrics.json:model.ssim", True, False),
        ("useful_horizon", True, False),
        ("model.name", True, False),
        ("train.seed", False, False),
        ("background.mse", False, True),
        ("promote.margin", False, True),
        ("data/frames", False, True),
        ("pipeline/nn", False, True),
        (".foreframe/code/nn", False, True),
        ("../videos", False, True),
        ("model.foreframe.recipe.loss.l1", False, False),
    ],
)
def test_columns_are_the_models_figures_and_what_differs(column, kept, dropped):
    assert bool(re.match(experiments.KEPT, column)) is kept
    assert bool(re.match(experiments.DROPPED, column)) is dropped


def test_the_folder_of_videos_is_no_column(tmp_path, monkeypatch):
    params = (ROOT / "params.yaml").read_text()
    assert "videos: data/sample" in params
    (tmp_path / "params.yaml").write_text(params.replace("videos: data/sample", "videos: ./my films"))
    monkeypatch.chdir(tmp_path)
    dropped = experiments.arguments([])[-1]
    assert re.match(dropped, "my films")
    assert not re.match(dropped, "my films.fps")


@pytest.mark.slow
def test_the_table_of_experiments_has_a_dozen_columns_and_the_plots_are_drawn_offline(reproduced, tmp_path):
    folder, environment = reproduced
    params = folder / "params.yaml"
    params.write_text(params.read_text().replace("num_clips: 2", "num_clips: 1", 1))
    for command in (["-m", "flows.offline_plots"], ["-m", "dvc", "repro"], ["-m", "dvc", "plots", "show"]):
        subprocess.run([sys.executable, *command], cwd=folder, env=environment, check=True)
    table = subprocess.run(
        [sys.executable, "-m", "flows.experiments", "--csv"],
        cwd=folder, env=environment, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    columns = table.splitlines()[0].split(",")
    assert {"model.name", "render.num_clips"} <= set(columns)
    assert len(set(columns) - {"rev", "typ", "parent"}) <= 12, columns  # those three are parts of Experiment
    with Browser(tmp_path / "profile") as browser:
        browser.open((folder / "dvc_plots/index.html").as_uri())
        for _ in range(100):
            drawn = browser.run("document.querySelectorAll('.vega-embed canvas, .vega-embed svg.marks').length")
            if drawn >= len(PLOTS) + 1:
                break
            time.sleep(0.2)
        assert drawn == len(PLOTS) + 1  # and that of the stage evaluate
        assert browser.outside == []
