"""Tests of pipeline/training/meter.py: what a line says, and how often there is one."""

import logging

import pytest
import torch

from pipeline.training.meter import Meter
from pipeline.training.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """The time, in seconds, that the meter sees."""
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_a_line_is_of_the_steps_since_the_last_one(clock, caplog):
    caplog.set_level(logging.INFO)
    progress = Progress(epoch_loss=torch.tensor(6.0), epoch_steps=3, step=20, seconds=60.0)
    meter = Meter(step=10)  # resumed there

    def slow(items):
        for item in items:
            clock[0] += 2
            yield item

    assert list(meter.loading(slow("ab"))) == ["a", "b"]
    meter.log(progress, 100, 0.25)
    assert not caplog.messages, "4 seconds since the last line"
    clock[0] += 16
    meter.log(progress, 100, 0.25)
    # 20 seconds for 10 steps, 4 of them loading; a quarter took a minute
    assert caplog.messages == ["step 20/100: loss 2, 2.000 s/step, loading 20.0 %, 3:00 left"]
    meter.log(progress, 100, 0.25)
    assert len(caplog.messages) == 1
    clock[0] += 10
    progress.step = 40
    meter.log(progress, 100, 0.5)
    assert caplog.messages[1] == "step 40/100: loss 2, 0.500 s/step, loading 0.0 %, 1:00 left"
    assert meter.loading_seconds == 4
