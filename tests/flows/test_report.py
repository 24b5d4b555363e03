"""Tables of the report, as Markdown."""

from flows.report import table


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
