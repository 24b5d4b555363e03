import json
import os
import subprocess
import sys
import time

import pytest

from pipeline.errors import PipelineError
from pipeline.ingest.workers import MOST_SPARES, Task, WorkerDied, dask, local, run_alone
from pipeline.runtime.cores import usable_cores
from tests.pipeline.ingest import worker_tasks
from tests.pipeline.ingest.worker_tasks import Job


def task(timeout_seconds=30.0):
    return Task(worker_tasks.__name__, "work", "Job", "Outcome", timeout_seconds, 1024)


def test_outcomes_come_with_the_number_of_their_job():
    with local(task(), 2) as run:
        results = dict(run([Job("double", number) for number in range(5)]))
    assert {number: result.doubled for number, result in results.items()} == {0: 0, 1: 2, 2: 4, 3: 6, 4: 8}
    assert os.getpid() not in {result.process for result in results.values()}


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("crash", "crashed (SIGSEGV)"), ("greedy", "more than extract.max_memory_mb (1024)")],
)
def test_a_lost_worker_is_told_and_replaced(kind, reason):
    with local(task(), 1) as run:
        results = dict(run([Job("double", 1), Job(kind), Job("double", 3)]))
    assert (results[0].doubled, results[2].doubled) == (2, 6)
    assert isinstance(results[1], WorkerDied)
    assert reason in str(results[1])
    assert results[0].process != results[2].process


def test_a_hung_worker_is_ended_a_slow_one_is_not():
    start = time.monotonic()
    with local(task(timeout_seconds=0.5), 1) as run:
        results = dict(run([Job("slow", 1), Job("hang"), Job("double", 2)]))
    assert (results[0].doubled, results[2].doubled) == (2, 4)
    assert "hung: no frame in 0.5 seconds" in str(results[1])
    assert time.monotonic() - start < 15


def test_a_worker_that_only_counts_errors_hangs():
    with local(task(timeout_seconds=0.5), 1) as run:
        results = dict(run([Job("counting")]))
    assert "hung" in str(results[0])


def test_errors_of_one_job_are_not_counted_in_the_next():
    with local(task(), 1) as run:
        results = dict(run([Job("error"), Job("error")]))
    assert [results[0].doubled, results[1].doubled] == [24, 24]


def test_what_nobody_foresaw_is_told_of_its_job_alone():
    with local(task(), 1) as run:
        results = dict(run([Job("bug"), Job("double", 3)]))
    assert isinstance(results[0], WorkerDied)
    assert str(results[0]).startswith("the decoder failed: KeyError: 'a mistake of ours' (worker_tasks.py, line ")
    assert results[1].doubled == 6


def test_a_full_disk_ends_all_in_one_line():
    with pytest.raises(PipelineError, match=r"x\.npy: No space left"), local(task(), 1) as run:
        list(run([Job("disk")]))


SPARE = """
import json, os, psutil
from pipeline.ingest.workers import local, spare
from tests.pipeline.ingest.test_workers import task
from tests.pipeline.ingest.worker_tasks import Job
with open("/dev/null") as kept_open, spare():
    forks = psutil.Process().children()
    with local(task(), 1) as run:
        results = dict(run([Job("double", 1), Job("error"), Job("crash"), Job("double", 3)]))
    outcomes = [str(getattr(each, "doubled", each)) for each in results.values()]
    print(json.dumps([[fork.pid for fork in forks], *outcomes]))
    print(json.dumps([each.process for each in results.values() if hasattr(each, "process")]))
with spare():
    unused = psutil.Process().children()
print(json.dumps([len(unused), *(psutil.pid_exists(each.pid) for each in (*forks, *unused))]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="libraries break in a fork elsewhere")
def test_the_first_workers_are_forks_that_are_lost_and_replaced_like_others_and_end_where_nobody_wants_them():
    said = subprocess.run([sys.executable, "-c", SPARE], capture_output=True, text=True, check=True, timeout=120)
    (forks, *outcomes), processes, (num_unused, *alive) = map(json.loads, said.stdout.splitlines())
    assert outcomes == ["2", "24", "the decoder crashed (SIGSEGV)", "6"]
    first, second, after_the_crash = processes
    assert first == second != after_the_crash
    assert first in forks
    assert len(forks) == num_unused == min(MOST_SPARES, usable_cores())
    assert not any(alive)


def test_one_job_alone_returns_its_loss_as_a_value():
    assert run_alone(task(), Job("double", 4)).doubled == 8
    assert isinstance(run_alone(task(), Job("crash")), WorkerDied)


def test_dask_says_what_it_needs(monkeypatch):
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    with pytest.raises(PipelineError, match="set DASK_SCHEDULER_ADDRESS"), dask(task()):
        pass
