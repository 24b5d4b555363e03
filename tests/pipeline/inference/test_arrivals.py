"""Frames that come in their own time, and which deadlines were missed."""

import threading
import time

import numpy as np
import pytest

from pipeline.errors import VideoError
from pipeline.inference.arrivals import WAITING, Arrival, Arrivals, Deadlines, told

PICTURE = np.zeros((2, 2, 3), np.uint8)


def test_no_frame_of_a_pipe_is_lost_and_at_most_some_are_read_ahead():
    read = []

    def source():
        for number in range(20):
            read.append(number)
            yield np.full((2, 2, 3), number, np.uint8)

    for number, arrival in enumerate(Arrivals(source())):
        assert arrival.picture[0, 0, 0] == number
        assert len(read) <= number + WAITING + 2
    assert number == 19


def test_of_a_camera_the_newest_frame_is_taken_and_the_others_are_counted():
    taken = threading.Event()

    def source():
        yield np.full((2, 2, 3), 0, np.uint8)
        assert taken.wait(10)
        for number in range(1, 6):
            yield np.full((2, 2, 3), number, np.uint8)

    arrivals = Arrivals(source(), newest=True)
    numbers = []
    for arrival in arrivals:
        numbers.append(int(arrival.picture[0, 0, 0]))
        taken.set()
        deadline = time.monotonic() + 10
        while len(numbers) == 1 and arrivals.dropped < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert numbers == [0, 5]
    assert arrivals.dropped == 4


def test_an_error_of_the_source_is_raised_where_frames_are_taken():
    def source():
        yield PICTURE
        raise VideoError("ends within a frame")

    with pytest.raises(VideoError, match="ends within a frame"):
        list(Arrivals(source()))


def test_ending_lets_no_further_frame_come():
    arrivals = Arrivals(iter([PICTURE] * 10))
    for number, _ in enumerate(arrivals):
        if number == 2:
            arrivals.end()
    assert number == 2


def facts_of(came_latency_room, dropped=0):
    deadlines = Deadlines(10.0)
    for came, latency, had_room in came_latency_room:
        deadlines.came.append(came)
        deadlines.latencies.append(latency)
        deadlines.had_room.append(had_room)
    return deadlines.facts(dropped)


def test_a_deadline_is_missed_by_an_answer_that_takes_longer_than_until_the_next_frame():
    facts = facts_of([(number / 10, 0.15 if number == 3 else 0.05, True) for number in range(20)], dropped=1)
    assert (facts["deadlines"], facts["missed"], facts["deadline_ms"]) == (21, 2, 100.0)
    assert facts["latency_ms"]["p50"] == 50.0
    assert facts["latency_ms"]["p100"] == 150.0
    assert "1 dropped" in told(facts)
    assert "2 of 21 deadlines missed (100.0 ms)" in told(facts)


def test_frames_that_had_waited_in_the_pipe_have_no_deadline():
    waited = [(number * 0.02, 0.3, number < 4) for number in range(10)]
    in_time = [(1 + number / 10, 0.05, True) for number in range(20)]
    facts = facts_of(waited + in_time)
    assert (facts["deadlines"], facts["missed"]) == (21, 1)  # the first one of all did not wait
    assert "9 frames had waited in the pipe" in told(facts)


def test_who_cannot_keep_up_misses_every_deadline():
    facts = facts_of([(number * 0.13, 0.5, number < 4) for number in range(50)])
    assert (facts["deadlines"], facts["missed"]) == (50, 50)


def test_frames_of_a_file_have_no_deadlines():
    facts = facts_of([(number * 0.02, 0.1, number < 4) for number in range(50)])
    assert (facts["deadlines"], facts["missed"]) == (0, 0)
    assert "ffmpeg -re reads a file in its own time" in told(facts)


def test_latency_is_from_arrival_to_answer():
    deadlines = Deadlines(10.0)
    deadlines.met(Arrival(time.perf_counter() - 0.5, PICTURE, True))
    assert 500 <= deadlines.facts()["latency_ms"]["p50"] < 5000
