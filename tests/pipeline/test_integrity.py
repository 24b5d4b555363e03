"""`foreframe check`: a flipped bit in any kind of file is named with what to do; what is sound is said to be."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipeline import dvc_lock, integrity, model_versions
from pipeline.cli import main
from pipeline.training.checkpoint import CheckpointFile
from tests.damage import flip_bit
from tests.workspace import make_workspace


def check(folder, capsys):
    """The exit code of `foreframe check`, or its last line; and what it printed."""
    with pytest.raises(SystemExit) as ending:
        main(["check", str(folder)])
    return ending.value.code, capsys.readouterr().out


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The pipeline on small parameters, reproduced, with two promoted models."""
    folder = tmp_path_factory.mktemp("whole") / "w"
    environment = make_workspace(folder)
    command = [sys.executable, "-m", "dvc", "repro", "--quiet"]
    subprocess.run(command, cwd=folder, env=environment | {"OMP_NUM_THREADS": "1"}, check=True)
    for _ in range(2):
        version = model_versions.store(folder / "data/model", {}, models=folder / "models")
        model_versions.activate(version, folder / "models")
    return folder


@pytest.fixture
def workspace(whole, tmp_path):
    copy = tmp_path / "w"
    shutil.copytree(whole, copy, symlinks=True)
    return copy


KINDS = {
    "an array": "data/frames/*.npy",
    "the index": "data/frames/index.csv",
    "hashes": "data/frames/hashes.json",
    "a video": "data/sample/**/*.mp4",
    "clips": "data/clips/clips.csv",
    "settings of clips": "data/clips/clips.json",
    "weights": "data/model/model.safetensors",
    "a card": "data/model/model.json",
    "metrics": "data/metrics/metrics.json",
    "a page": "data/renders/index.html",
    "a champion": "models/v2.0.0/model.safetensors",
    "a champion's card": "models/v2.0.0/model.json",
    "a record": "models/v1.0.0/promotion.json",
    "a training state": ".train/*/state.safetensors",
    "an object of the cache": ".dvc/cache/files/md5/*/*",
}


def test_what_is_sound_is_said_to_be_and_a_flipped_bit_in_any_kind_of_file_is_named(whole, tmp_path, capsys):
    code, said = check(whole, capsys)
    assert (code, said.count(": sound\n"), len(said.splitlines())) == (0, 6, 6)
    for number, (kind, pattern) in enumerate(KINDS.items()):
        rng = random.Random(number)
        path = rng.choice([path for path in sorted(whole.glob(pattern)) if path.is_file()])
        whole_copy = shutil.copy2(path, tmp_path / "copy")
        flip_bit(path, rng)
        code, said = check(whole, capsys)
        Path(whole_copy).replace(path)
        assert f"{path}: " in said, f"{kind}: {said}"
        assert code == f"foreframe check: {path} is not as written" or "the first is " in code, kind
    assert check(whole, capsys)[0] == 0


@pytest.mark.parametrize("seed", range(25))
def test_a_flipped_bit_in_a_record_or_a_training_state_is_found(tmp_path, seed):
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"weights")
    facts = {"scores": {"means": {"mse": 1.5}}, "videos": ["a", "b"]}
    name = model_versions.store(model, facts, models=tmp_path / "models")
    model_versions.activate(name, tmp_path / "models")
    assert [list(faults()) for _, faults in integrity.parts(tmp_path)] == [[]]
    record = tmp_path / "models" / name / model_versions.RECORD
    before = model_versions.record(record.parent)
    flip_bit(record, random.Random(seed))
    faults = [fault for _, check in integrity.parts(tmp_path) for fault in check()]
    if faults:
        assert "is damaged" in faults[0]
        assert "`python -m flows.retrain restore`" in faults[0]
    else:  # a blank between its fields
        assert model_versions.record(record.parent) == before


def test_a_champion_that_is_lost_is_a_fault_and_not_no_champion(tmp_path, capsys):
    models = tmp_path / "models"
    models.mkdir()
    (models / "champion").symlink_to("v1.0.0")
    assert "models/champion: leads to v1.0.0, which is not there" in check(tmp_path, capsys)[1]


def test_outputs_that_were_lost_added_or_changed_are_named(workspace, capsys):
    (workspace / "data/clips/clips.csv").unlink()
    (workspace / "data/model/extra").write_text("x")
    shutil.rmtree(workspace / "data/renders")  # not there: nothing to check
    said = check(workspace, capsys)[1]
    assert "clips.csv: cannot be read, or is missing; remove it, then `dvc checkout data/clips`" in said
    assert "data/model/extra: is not in dvc.lock (no other such file)" in said
    assert "renders" not in said


def test_without_the_cache_a_folder_is_held_to_its_own_hash(workspace, capsys):
    shutil.rmtree(workspace / ".dvc/cache")
    assert check(workspace, capsys)[0] == 0
    flip_bit(workspace / "data/clips/clips.csv", random.Random(0))
    assert "data/clips: is not what dvc.lock names" in check(workspace, capsys)[1]


def test_a_damaged_lock_and_an_empty_folder_are_one_line(workspace, tmp_path, capsys):
    for content in (b"\xff\xfe", b"stages: [", b"stages: 3", b"schema: x"):
        (workspace / "dvc.lock").write_bytes(content)
        assert "dvc.lock: is damaged" in check(workspace, capsys)[1]
    (tmp_path / "empty").mkdir()
    code, _ = check(tmp_path / "empty", capsys)
    assert "holds nothing to check; run this in the folder of dvc.yaml" in code


def test_a_training_state_without_a_bit_is_named(tmp_path, capsys):
    checkpoint = CheckpointFile(tmp_path / ".train", "key")
    checkpoint.save({"weights": torch.rand(100)})
    assert check(tmp_path, capsys)[0] == 0
    flip_bit(checkpoint.path, random.Random(1), first=checkpoint.path.stat().st_size - 300)
    assert f"{checkpoint.path}: is damaged (its content hash differs); remove it" in check(tmp_path, capsys)[1]


def test_the_md5_of_a_folder_is_dvcs(workspace):
    outs = dvc_lock.locked_outs(Path(workspace / "dvc.lock").read_text())
    folders = [out for out in outs if out.is_folder]
    assert len(folders) >= 5
    assert all(dvc_lock.folder_md5(workspace / out.path) == out.md5 for out in folders)
