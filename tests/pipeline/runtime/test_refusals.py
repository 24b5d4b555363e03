"""A full disk and a read-only one: the error names the file and what to do, and what was there stays whole."""

import errno
import os
import subprocess
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline import stage
from pipeline.data.arrays import write_array
from pipeline.data.clips import COLUMNS, write_clips
from pipeline.data.frames import write_index
from pipeline.errors import told
from pipeline.model_dir import load, save
from pipeline.model_versions import store
from pipeline.params import EvaluateParams, RenderParams
from pipeline.runtime.files import naming, write_json, write_text
from pipeline.stages.evaluate import evaluate
from pipeline.stages.render import render
from pipeline.training.checkpoint import CheckpointFile
from pipeline.video import write_animation, write_png, write_video
from tests.conftest import videos_in

NOISE = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), np.uint8)
CLIPS = pd.DataFrame([(f"{i}.mp4", "train", 0, 9, 1) for i in range(1500)], columns=COLUMNS)
WRITERS = {
    "a.json": lambda folder: write_json(folder / "a.json", list(range(5000))),
    "a.mp4": lambda folder: write_video(folder / "a.mp4", NOISE, 10),
    "a.png": lambda folder: write_png(folder / "a.png", NOISE[0].repeat(8, axis=0)),
    "a.webp": lambda folder: write_animation(folder / "a.webp", NOISE, 10),
    "a.npy": lambda folder: write_array(folder / "a.npy", NOISE),
    "index.csv": lambda folder: write_index(folder, [{"path": f"{i}" * 30, "array": ""} for i in range(500)]),
    "clips.csv": lambda folder: write_clips(folder, CLIPS, task="predict", context=4, horizon=5, stride=1),
    "state": lambda folder: CheckpointFile(folder, "key").save({"w": torch.zeros(20_000)}),
}


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 16 KiB with a file `old` on it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("may not mount a file system")
    write_text(folder / "old", "old")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)  # -l: a traceback may hold a file open


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", WRITERS)
def test_on_a_full_disk_no_half_file_stays_and_the_error_names_the_whole_one(name, small_disk):
    with pytest.raises(OSError, match="No space left") as caught:
        WRITERS[name](small_disk)
    line = told(caught.value)
    assert line.startswith(f"{small_disk}/{'key/' if name == 'state' else ''}{name}")
    assert line.endswith(": No space left on device; free some space there, then run it again")
    assert files(small_disk) == ["old"]


def test_on_a_full_disk_the_old_file_stays_whole(small_disk):
    with pytest.raises(OSError, match="No space left"):
        write_text(small_disk / "old", "new" * 10_000)
    assert (small_disk / "old").read_text() == "old"


@pytest.mark.parametrize("name", WRITERS)
def test_a_disk_that_can_only_be_read_is_named(name, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(OSError, match="Read-only") as caught:
        WRITERS[name](small_disk)
    line = told(caught.value)
    assert line.startswith(str(small_disk))
    assert "Read-only file system; it can only be read there: write to another folder" in line


def test_a_model_that_does_not_fit_leaves_no_model_and_no_version(tiny, small_disk):
    model, card = load(tiny.model)
    for write in (lambda: save(small_disk / "model", model, card), lambda: store(tiny.model, {}, models=small_disk)):
        for room in (16, 9, 1):  # KiB: nothing fits, the weights do not, the card does not
            fill(small_disk, room * 1024)
            with suppress(OSError):
                write()
            (small_disk / "filler").unlink()
            assert not any(name.endswith(".part") for name in files(small_disk))
            assert not (small_disk / "v1.0.0").exists() or load(small_disk / "v1.0.0")


def fill(folder, room):
    """Take all but `room` bytes of the disk."""
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_bsize
    (folder / "filler").write_bytes(b"\0" * max(0, free - room))


@pytest.mark.parametrize("room", [0, 4, 8])
def test_a_stage_on_a_full_disk_says_so_in_one_line(room, tiny, small_disk, tmp_path, monkeypatch, capsys):
    parameters = EvaluateParams(batch_size=4, max_clips=None, lpips="off")
    fill(small_disk, room * 1024)

    def measure() -> None:
        evaluate(tiny.frames, tiny.clips, tiny.model, small_disk / "metrics", evaluate=parameters)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["measure"])
    with pytest.raises(SystemExit) as ending:
        stage.run(measure, lambda path: None)
    assert ending.value.code.startswith(f"measure: {small_disk}/metrics")
    assert ending.value.code.endswith("No space left on device; free some space there, then run it again")
    tables = {f"metrics/{name}" for name in ("horizon.csv", "clip_scores.csv", "intervals.csv")}
    assert set(files(small_disk)) <= {"filler", "old", "metrics/metrics.json", "metrics/summary.json"} | tables


def test_a_page_that_does_not_fit_is_not_there(tiny, small_disk, tmp_path):
    evaluate(
        tiny.frames,
        tiny.clips,
        tiny.model,
        tmp_path / "metrics",
        evaluate=EvaluateParams(batch_size=4, max_clips=None, lpips="off"),
    )
    parameters = RenderParams(num_clips=2, long_horizon=8, scale=4, fps=10)
    folders = tiny.model, tmp_path / "training", tmp_path / "metrics", small_disk / "renders"
    with pytest.raises(OSError, match="No space left") as caught:
        render(tiny.frames, tiny.clips, *folders, render=parameters, **videos_in(tmp_path / "none"))
    assert told(caught.value).startswith(f"{small_disk}/renders/")
    assert "renders/index.html" not in files(small_disk)
    assert not any(name.endswith(".part") for name in files(small_disk))


def test_an_error_of_a_library_that_names_no_file_gets_a_name(tmp_path):
    with pytest.raises(OSError, match="No space left") as caught, naming(tmp_path):
        raise OSError(errno.ENOSPC, "full")
    assert told(caught.value) == f"{tmp_path}: No space left on device; free some space there, then run it again"
    with pytest.raises(FileNotFoundError) as missing, naming(tmp_path):
        (tmp_path / "none").read_text()
    assert told(missing.value).startswith(f"{tmp_path}/none: No such file or directory; it was removed or renamed")
