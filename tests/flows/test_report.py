"""The report of a run as Markdown: its tables, and pictures that are made to fit."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from flows import report
from flows.prefect_dvc.graph import Stage
from flows.prefect_dvc.stage_process import Order
from flows.report import table
from pipeline.errors import DataError
from pipeline.model_versions import Verdict
from pipeline.pages import figures
from pipeline.video import write_animation, write_png


def test_what_would_end_a_cell_or_a_line_is_escaped_and_numbers_stay_as_they_are_written():
    rows = [{"method": "a|b\nc", "mse": "0.090"}, {"method": "model", "mse": "1e-05"}]
    assert table(rows).splitlines() == [
        "| method   | mse   |",
        "|----------|-------|",
        r"| a\|b c   | 0.090 |",
        "| model    | 1e-05 |",
    ]


def test_no_rows_are_no_table():
    assert table([]) == ""


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A workspace with figures, intervals, the figures before, and pictures of noise of several megabytes."""
    monkeypatch.chdir(tmp_path)
    report.METRICS.mkdir(parents=True)
    row = {"mse": 2.0, "mae": 3.0, "psnr": 20.0, "ssim": 0.5}
    summary = {"model": row | {"mse": 1.5}, "last_frame": row | {"ssim": 0.75}, "useful_horizon": 4}
    (report.METRICS / "metrics.json").write_text(json.dumps(summary))
    (report.METRICS / "previous.json").write_text(json.dumps(summary | {"model": row}))
    (report.METRICS / "intervals.csv").write_text("method,metric,mean,low,high\nmodel,mse,1.5,1.25,1.75\n")
    report.RENDERS.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (10, 200, 300, 3), np.uint8)
    write_animation(report.RENDERS / "preview.webp", noise, 10.0)
    write_png(report.RENDERS / "sheet.png", noise.reshape(1000, 600, 3))
    return summary


def text_of(summary):
    rows = report._rows({"candidate": {"means": summary["model"]}}, summary, figures.read_intervals(report.METRICS))
    return report._markdown(Verdict(True, "it is better"), [], {"train": "Completed"}, rows, summary)


def test_the_report_opens_with_verdict_pictures_and_table_and_stays_below_a_megabyte(folders):
    assert sum(path.stat().st_size for path in report.RENDERS.iterdir()) > 3_000_000
    text = text_of(folders)
    assert len(text) < 1_000_000
    order = ["**it is better.**", "![preview](data:image/webp;base64,", "| candidate", "![sheet](data:image/"]
    assert sorted(order, key=text.index) == order
    for name in ("preview", "sheet"):
        encoded = re.search(rf"!\[{name}\]\(data:image/webp;base64,([^)]*)\)", text)[1]
        picture = Image.open(io.BytesIO(base64.b64decode(encoded)))
        assert (picture.n_frames > 1) is (name == "preview")


def test_the_report_has_intervals_the_change_and_where_a_baseline_is_ahead(folders):
    text = text_of(folders)
    assert re.search(
        r"\| candidate +\| 1\.50 +\| 3\.0 .*\n\| +\| 1\.25 to 1\.75 \| +\|.*\n\| last frame +\| 2\.00 ", text
    )
    assert "A baseline is ahead in SSIM (last frame 0.750 against 0.500)." in text
    assert re.search(r"\| MSE +\| 2\.00 +\| 1\.50 +\| -0\.500 \(better\) \|", text)


def test_the_champion_has_its_intervals_beside_its_means_too(folders):
    champion = {"version": "v1.0.0", "means": folders["last_frame"], "intervals": {"mse": [1.75, 2.25]}}
    rows = report._rows({"candidate": {"means": folders["model"]}, "champion": champion}, folders, {})
    assert (rows["champion v1.0.0"]["MSE"].text, rows["champion v1.0.0"]["MSE"].interval) == ("2.00", "1.75 to 2.25")
    assert rows["candidate"]["MSE"].interval == ""


def test_a_damaged_picture_is_told_and_the_report_is_there(folders):
    (report.RENDERS / "sheet.png").write_bytes(b"no picture")
    assert "data/renders/sheet.png cannot be shown" in text_of(folders)


def evaluation(*, stale):
    """The stage that writes metrics.json."""
    order = Order(stage="evaluate", cached=[], uncached={})
    outs = ("data/metrics/metrics.json",)
    return Stage(name="evaluate", needs=(), changes=(), stale=stale, outs=outs, stored=(), order=order)


@pytest.mark.parametrize(("stale", "kept"), [(True, True), (False, False)])
def test_the_figures_of_the_last_run_are_kept_where_they_are_to_be_measured_anew(folders, stale, kept):
    with report.keeping_previous([evaluation(stale=stale)]):
        assert (json.loads(report.PREVIOUS.read_text()) == folders) is kept
    assert (json.loads(report.PREVIOUS.read_text()) == folders) is kept
    (report.METRICS / "metrics.json").unlink()
    with report.keeping_previous([evaluation(stale=stale)]):  # a run that was killed has left none
        assert report.PREVIOUS.exists()  # what is known stays


@pytest.mark.parametrize("before", [None, '{"model": {}}'])
@pytest.mark.parametrize("measured", [False, True])
def test_a_run_that_fails_before_anything_was_measured_leaves_the_figures_before_as_they_were(
    folders, before, measured
):
    report.PREVIOUS.unlink()
    if before is not None:
        report.PREVIOUS.write_text(before)

    def run():
        if measured:
            (report.METRICS / "metrics.json").write_text("{}")
        raise DataError("a stage failed")

    with pytest.raises(DataError), report.keeping_previous([evaluation(stale=True)]):
        run()
    if measured:
        assert json.loads(report.PREVIOUS.read_text()) == folders
    else:
        assert (report.PREVIOUS.read_text() if report.PREVIOUS.exists() else None) == before


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file"), ("{", "is damaged"), ("[1]", "is damaged"), ("{}", "no figures of the model")],
)
def test_metrics_that_are_missing_or_damaged_are_one_line_with_the_remedy(tmp_path, content, reason):
    if content is not None:
        (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(DataError, match=rf"metrics.json: .*{reason}.*; .*dvc repro") as error:
        figures.read_summary(tmp_path)
    assert len(str(error.value).splitlines()) == 1
