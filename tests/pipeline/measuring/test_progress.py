"""What a long measurement says of itself, by a clock that the test turns."""

import logging

from pipeline.measuring import progress
from pipeline.measuring.progress import Progress


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
