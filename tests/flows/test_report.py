"""Tables of the report, as Markdown, and the figures that it reads."""

import pytest

from flows import report
from flows.report import table
from pipeline.errors import DataError


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


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file"), ("{", "is damaged"), ("[1]", "is damaged"), ("{}", "no figures of the model")],
)
def test_metrics_that_are_missing_or_damaged_are_one_line_with_the_remedy(tmp_path, monkeypatch, content, reason):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        report.METRICS.parent.mkdir(parents=True)
        report.METRICS.write_text(content)
    with pytest.raises(
        DataError, match=rf"^data/metrics/metrics.json: .*{reason}.*; run `dvc repro --force evaluate`$"
    ):
        report.read_metrics()
