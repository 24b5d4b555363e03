"""Half-written files of a killed DVC, on a pipeline of shell commands."""

import subprocess
from pathlib import Path

import pytest

from flows.prefect_dvc.command import DVC
from flows.prefect_dvc.graph import mend, plan
from pipeline.errors import PipelineError


@pytest.fixture
def reproduced(diamond):
    subprocess.run([*DVC, "repro", "-q"], check=True)
    assert not any(stage.stale for stage in plan())
    return Path("dvc.lock").read_bytes()


@pytest.mark.parametrize("end", [b"schema", b"      size: 4\n    outs", b"stages:\n  words:\n    cm"])
def test_a_dvc_lock_that_was_written_in_part_is_the_last_one_again(reproduced, end):
    length = reproduced.index(end) + (0 if end == b"schema" else len(end))
    Path("dvc.lock").write_bytes(reproduced[:length])
    assert not any(stage.stale for stage in plan())
    assert Path("dvc.lock").read_bytes() == reproduced


def test_a_list_of_readers_that_was_written_in_part_is_dropped(reproduced):
    Path(".dvc/tmp/rwlock").write_text('{"write": {"/some')
    assert subprocess.run([*DVC, "status", "-q"], check=False).returncode != 0
    assert not any(stage.stale for stage in plan())
    assert subprocess.run([*DVC, "status", "-q"], check=False).returncode == 0


def test_after_a_stage_was_stopped_plain_dvc_finds_whole_files(reproduced):
    plan()  # which keeps a copy
    Path(".dvc/tmp/rwlock").write_bytes(b"")
    Path("dvc.lock").write_bytes(reproduced[: reproduced.index(b"    cm") + 6])
    mend(Path())
    assert Path("dvc.lock").read_bytes() == reproduced
    assert subprocess.run([*DVC, "status", "-q"], check=False).returncode == 0


def test_a_dvc_yaml_that_is_wrong_is_no_leftover(reproduced):
    Path("dvc.yaml").write_text("stages: [")
    with pytest.raises(PipelineError, match=r"^dvc\.yaml: "):
        plan()
    assert Path("dvc.lock").read_bytes() == reproduced
