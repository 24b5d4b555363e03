"""The files of a training's history, byte by byte, and that none is ever half there."""

import os

import pytest

from pipeline.training.history import History

ROWS = [{"train_loss": 0.5, "val_mse": 3.25}, {"train_loss": 0.25, "val_mse": 1e-9}]


def test_every_quantity_is_a_table_and_the_last_values_are_one_file(tmp_path):
    (tmp_path / "plots/metrics").mkdir(parents=True)
    (tmp_path / "plots/metrics/of_before.tsv").touch()
    history = History(tmp_path)
    assert (tmp_path / "metrics.json").read_text() == "{}\n"
    for row in ROWS:
        history.add(row)
    files = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {
        "metrics.json": '{\n    "train_loss": 0.25,\n    "val_mse": 1e-09,\n    "step": 1\n}\n',
        "plots/metrics/train_loss.tsv": "step\ttrain_loss\n0\t0.5\n1\t0.25\n",
        "plots/metrics/val_mse.tsv": "step\tval_mse\n0\t3.25\n1\t1e-09\n",
    }


def test_a_disk_that_takes_no_more_leaves_the_files_as_they_were(tmp_path, monkeypatch):
    history = History(tmp_path)
    history.add(ROWS[0])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def full(path, content):
        path.open("wb").write(content[: len(content) // 2])
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*train_loss.tsv'"):
        history.add(ROWS[1])
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
