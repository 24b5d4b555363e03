"""Data and models through a real S3 server on loopback: a second clone reproduces nothing and has everything."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import s3
from tests.flows.conftest import task_runs

pytestmark = pytest.mark.slow


@pytest.fixture
def bucket(monkeypatch):
    """The address of an S3 service with a bucket called foreframe."""
    for name, value in s3.environment("").items():
        monkeypatch.setenv(name, value)  # and as it was, afterwards
    with s3.service() as address:
        yield address


def contents(folder: Path) -> dict[str, str]:
    """SHA-256 of every file that stages wrote under data/; what begins with a dot is a machine's own."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / "data").rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def test_a_second_clone_reproduces_nothing_and_has_everything(reproduced, bucket, tmp_path, api):
    first, environment = reproduced
    environment = {**environment, **{name: os.environ[name] for name in os.environ if name.startswith("AWS_")}}
    environment |= {"PREFECT_API_URL": api}

    def dvc(folder, *arguments):
        return subprocess.run(
            [sys.executable, "-m", "dvc", *arguments], cwd=folder, env=environment, check=True, capture_output=True,
            text=True,
        ).stdout  # fmt: skip

    dvc(first, "remote", "add", "-d", "store", "s3://foreframe/store")
    dvc(first, "remote", "modify", "store", "endpointurl", bucket)
    dvc(first, "push")
    for command in (["git", "add", "-A"], ["git", "commit", "-qm", "results"]):
        subprocess.run(command, cwd=first, env=environment, check=True)

    second = tmp_path / "second"
    subprocess.run(["git", "clone", "-q", str(first), str(second)], env=environment, check=True)
    environment["DVC_SITE_CACHE_DIR"] = str(tmp_path / "another-site-cache")
    assert not (second / "data/model").exists()
    code = (
        "from flows.retrain import retrain; state = retrain(return_state=True); "
        "print('STATE', state.state_details.flow_run_id, state.name)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=second, env=environment, check=True, capture_output=True, text=True
    )
    _, identity, outcome = next(line for line in result.stdout.splitlines() if line.startswith("STATE")).split(" ", 2)
    assert outcome in ("Refused", "Promoted v1.0.0")
    states = {name: state["name"] for name, state in task_runs(api, identity).items()}
    stages = ["sample", "extract", "tensorize", "train", "evaluate", "render"]
    assert {name: states[name] for name in stages} == dict.fromkeys(stages, "Cached")
    assert contents(second) == contents(first)
    assert "up to date" in dvc(second, "status")
    assert "in sync" in dvc(second, "status", "--cloud")
