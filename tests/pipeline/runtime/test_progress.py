"""What a long work says of itself, by a clock that the test turns."""

import logging

from pipeline.runtime import progress
from pipeline.runtime.progress import Progress, watched


def test_it_tells_rate_and_time_left_every_ten_seconds(monkeypatch, caplog):
    seconds = iter([0.0, 4.0, 20.0, 25.0, 40.0, 50.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(seconds))
    caplog.set_level(logging.INFO)
    tell = Progress(2000, "clips")
    for done in (100, 500, 600, 800, 2000):
        tell(done)
    assert caplog.messages == [
        "500 of 2000 clips, 25 per second, 60 s left",
        "800 of 2000 clips, 20 per second, 60 s left",
    ]


def test_hours_are_told_in_minutes(monkeypatch, caplog):
    seconds = iter([0.0, 10.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(seconds))
    caplog.set_level(logging.INFO)
    Progress(7210, "clips")(10)
    assert caplog.messages == ["10 of 7210 clips, 1 per second, 120 min left"]


def test_where_nobody_watches_there_are_lines_and_no_bar(monkeypatch, caplog, capfd):
    seconds = iter([0.0, 5.0, 12.0, 13.0, 14.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(seconds))
    caplog.set_level(logging.INFO)
    assert list(watched(iter("abcd"), 4, "extract", "videos")) == list("abcd")
    assert caplog.messages == ["2 of 4 videos, 0.167 per second, 12 s left"]
    assert capfd.readouterr() == ("", "")


def test_a_terminal_has_a_bar_and_no_lines(monkeypatch, caplog, capsys):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    assert list(watched(range(3), 3, "extract", "videos")) == [0, 1, 2]
    assert "extract: 100%" in capsys.readouterr().err
    assert caplog.messages == []
