"""Fewer threads while other work takes the cores, and all of them when it is over."""

import pytest
import torch

from pipeline.runtime import devices
from pipeline.training.thread_count import WINDOW_SECONDS, WINDOWS_BEFORE_ANOTHER_TRY, ThreadCount


@pytest.fixture(autouse=True)
def _cores(monkeypatch):
    """Four cores, and the number of threads as it was afterwards."""
    before = torch.get_num_threads()
    monkeypatch.setattr(devices, "own_cores", lambda: 4)
    yield
    torch.set_num_threads(before)


def window(count, seconds, crowding):
    """A window full of steps of so many seconds, `crowding` times what the processor worked for them."""
    for _ in range(round(WINDOW_SECONDS / seconds)):
        count.count(seconds, seconds / crowding)


def test_on_a_quiet_machine_all_cores_are_used():
    count = ThreadCount("auto")
    for _ in range(5):
        window(count, 0.5, 1.1)
    assert count.threads == torch.get_num_threads() == 4


def test_beside_other_work_fewer_threads_are_tried_and_kept_when_they_are_faster():
    count = ThreadCount("auto")
    window(count, 5.0, 10)
    window(count, 2.5, 5)
    assert count.threads == torch.get_num_threads() == 2
    window(count, 2.5, 5)
    window(count, 0.5, 2.5)
    window(count, 0.5, 2.5)
    assert count.threads == torch.get_num_threads() == 1


def test_where_fewer_threads_are_no_faster_it_returns_to_those_before_and_waits_with_another_try():
    count = ThreadCount("auto")
    window(count, 1.0, 3)
    assert count.threads == 2
    window(count, 1.25, 3)
    assert count.threads == 4
    for _ in range(WINDOWS_BEFORE_ANOTHER_TRY):
        window(count, 1.0, 3)
        assert count.threads == 4
    window(count, 1.0, 3)
    assert count.threads == 2


def test_when_the_cores_are_free_again_all_are_used():
    count = ThreadCount("auto")
    window(count, 5.0, 10)
    window(count, 2.5, 2.5)
    assert count.threads == 2
    window(count, 0.5, 1.0)
    assert count.threads == torch.get_num_threads() == 4


def test_a_number_of_threads_is_never_changed():
    count = ThreadCount(3)
    window(count, 5.0, 10)
    window(count, 5.0, 10)
    assert count.threads == torch.get_num_threads() == 3


def test_a_step_is_timed_between_its_begin_and_its_end(monkeypatch):
    count = ThreadCount("auto")
    times = iter([0.0, 20.0])
    monkeypatch.setattr("pipeline.training.thread_count.time.monotonic", lambda: next(times))
    worked = iter([0.0, 1.0])
    monkeypatch.setattr("pipeline.training.thread_count.time.thread_time", lambda: next(worked))
    count.begin_step()
    count.end_step()
    assert count.threads == 2
