"""The figures for people: table, intervals, who is ahead, what changed."""

import json

import pytest

from pipeline.errors import DataError
from pipeline.pages import figures

SUMMARY = {
    "model": {"mse": 1.5, "mae": 9.0, "psnr": 30.0, "ssim": 0.91234},
    "last_frame": {"mse": 3.0, "mae": 8.0, "psnr": 20.0, "ssim": 0.5},
    "background": {"mse": 2.0, "mae": 8.5, "psnr": 25.0, "ssim": 0.95},
    "stateless": {"mse": 1.0, "mae": 1.0, "psnr": 40.0, "ssim": 0.99},
    "useful_horizon": 11,
}


def test_the_table_has_the_model_first_then_the_least_mse():
    assert figures.methods(SUMMARY) == ["model", "stateless", "background", "last_frame"]


def test_a_cell_has_its_digits_its_interval_and_is_the_best_of_its_column():
    rows = figures.cells(SUMMARY, {("model", "ssim"): (0.9, 0.92)})
    assert [(cell.text, cell.interval, cell.best) for cell in rows["model"]] == [
        ("1.50", "", False),
        ("9.0", "", False),
        ("30.00", "", False),
        ("0.912", "0.900 to 0.920", False),
    ]
    assert [cell.best for cell in rows["stateless"]] == [True] * 4


@pytest.mark.parametrize(
    ("mse", "shown"), [(0.004, "0.00"), (9.876, "9.88"), (127.3, "127.3"), (2347.23, "2347"), (-12345.6, "-12346")]
)
def test_a_large_mean_has_fewer_digits_so_that_a_phone_shows_the_table(mse, shown):
    assert figures.cells({"model": {"mse": mse}}, {})["model"][0].text == shown


def test_a_baseline_that_is_ahead_is_named_with_both_figures_the_model_without_its_state_is_none():
    assert figures.ahead(SUMMARY) == [
        "MAE (last frame 8.0 against 9.0)",
        "SSIM (background 0.950 against 0.912)",
    ]


def test_nobody_is_ahead_of_an_equal():
    assert figures.ahead({"model": SUMMARY["model"], "last_frame": SUMMARY["model"]}) == []


def test_a_change_has_its_sign_and_says_whether_it_is_better():
    previous = {"model": {"mse": 1.75, "mae": 9.0, "psnr": 31.0}}
    assert [(c.heading, c.before, c.now, c.change, c.verdict) for c in figures.changes(SUMMARY, previous)] == [
        ("MSE", "1.75", "1.50", "-0.250", "better"),
        ("MAE", "9.0", "9.0", "+0.00", "same"),
        ("PSNR, dB", "31.00", "30.00", "-1.000", "worse"),
    ]
    assert figures.changes(SUMMARY, None) == []


def test_intervals_are_read_by_method_and_metric_without_those_that_are_not_known(tmp_path):
    assert figures.read_intervals(tmp_path) == {}
    (tmp_path / "intervals.csv").write_text(
        "method,metric,mean,low,high\nmodel,mse,1.5,1.25,1.75\nmodel,ssim,0.9,,\nlast_frame,mse,3,nan,nan\n"
    )
    assert figures.read_intervals(tmp_path) == {("model", "mse"): (1.25, 1.75)}


@pytest.mark.parametrize(
    ("text", "message"), [("method,metric\n", "no column low"), ("", "cannot be read"), ('a,"b\n1', "cannot be read")]
)
def test_a_damaged_table_is_named_with_what_to_do(tmp_path, text, message):
    (tmp_path / "intervals.csv").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        figures.read_intervals(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/intervals.csv: ")
    assert str(caught.value).endswith("run `dvc repro --force evaluate`")


def test_the_run_before_is_read_where_there_is_one(tmp_path):
    assert figures.read_previous(tmp_path) is None
    (tmp_path / "previous.json").write_text(json.dumps(SUMMARY))
    assert figures.read_previous(tmp_path) == SUMMARY
    (tmp_path / "previous.json").write_text("{}")
    with pytest.raises(DataError, match=r"previous\.json: is damaged .*; remove it"):
        figures.read_previous(tmp_path)


def test_the_same_table_in_markdown():
    summary = {name: row for name, row in SUMMARY.items() if name != "stateless"}
    assert figures.markdown(summary).splitlines() == [
        "|            |   MSE |   MAE |   PSNR, dB |   SSIM |",
        "|:-----------|------:|------:|-----------:|-------:|",
        "| model      |  1.50 |   9.0 |      30.00 |  0.912 |",
        "| background |  2.00 |   8.5 |      25.00 |  0.950 |",
        "| last frame |  3.00 |   8.0 |      20.00 |  0.500 |",
    ]
    assert "| 1.50 [1.25 to 1.75] |" in figures.markdown(summary, {("model", "mse"): (1.25, 1.75)})
