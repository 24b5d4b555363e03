"""What is read in a test's own process, because workers take seconds to start."""

import importlib
import json
from contextlib import contextmanager, nullcontext
from dataclasses import asdict

import pytest

from pipeline.ingest import video_job, workers


@pytest.fixture
def read(request, monkeypatch):
    """The paths that were read, in this process; with the mark `processes` workers do it as in real life."""
    paths = []
    original = workers.local

    def as_json(value):
        return json.loads(json.dumps(asdict(value)))

    @contextmanager
    def here(task, count):
        module = importlib.import_module(task.module)
        job_type, outcome_type = getattr(module, task.job_type), getattr(module, task.outcome_type)

        def run(jobs):
            for number, job in enumerate(jobs):
                outcome = getattr(module, task.function)(job_type(**as_json(job)), lambda: None, lambda: 0)
                yield number, outcome_type(**as_json(outcome))

        with original(task, count) if "in_processes" in request.fixturenames else nullcontext(run) as do:

            def noted(jobs):
                paths.extend(job.paths[0] for job in jobs if task.module == video_job.__name__)
                return do(jobs)

            yield noted

    monkeypatch.setattr(workers, "local", here)
    return paths


@pytest.fixture
def in_processes():
    """Worker processes read, as in real life; it takes seconds."""
