import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import dask
import numpy as np
import pytest
from distributed import Client, LocalCluster, WorkerPlugin

from pipeline.data.frames import FrameStore, faults
from pipeline.errors import PipelineError, VideoError
from pipeline.ingest import workers
from pipeline.params import ExtractParams, load_params
from pipeline.stages.extract import extract
from pipeline.video import write_video
from tests.conftest import data_in
from tests.corpus.build import Encoding, encode
from tests.damage import flip_bit

ROOT = Path(__file__).parents[3]


def params(**changes):
    values = {"fps": None, "size": (8, 8), "fit": "stretch", "color": "gray", "on_error": "skip", "image_fps": 25.0}
    values |= {"max_pixels": 10**7, "max_seconds": 1000.0, "timeout_seconds": 30.0, "max_memory_mb": 2048}
    values |= {
        "executor": "local",
        "array_range": None,
        "array_axes": None,
        "camera": None,
        "decoder": "pyav",
        "store": "arrays",
        "store_url": None,
    }
    return ExtractParams(**(values | changes))


def greys(count, start=0):
    """Frames of one grey each: 10 x (start + i)."""
    return [np.full((16, 16, 3), 10 * (start + i), dtype=np.uint8) for i in range(count)]


def test_every_file_gets_a_row_and_every_video_its_frames(tmp_path):
    write_video(tmp_path / "in/train/a.mp4", greys(5), fps=10)
    write_video(tmp_path / "in/b.mp4", greys(3, start=10), fps=10)
    (tmp_path / "in/notes.txt").write_text("not a video")

    extract(tmp_path / "out", data=data_in(tmp_path / "in"), extract=params())

    store = FrameStore(tmp_path / "out")
    assert store.index["path"].tolist() == ["b.mp4", "notes.txt", "train/a.mp4"]
    assert store.index["status"].tolist() == ["ok", "skipped", "ok"]
    frames = store.load("train/a.mp4")
    assert frames.shape == (5, 8, 8, 1)
    assert np.abs(frames[:, 4, 4, 0].astype(int) - [0, 10, 20, 30, 40]).max() <= 2
    row = store.index.loc["train/a.mp4"]
    assert (row["num_frames"], row["fps"], row["height"], row["width"]) == (5, 10.0, 16, 16)
    assert row["duration_seconds"] == pytest.approx(0.5)


def test_a_file_that_cannot_be_read_stops_the_stage_if_asked(tmp_path):
    write_video(tmp_path / "in/a.mp4", greys(2), fps=10)
    (tmp_path / "in/notes.txt").write_text("not a video")
    with pytest.raises(VideoError, match=r"notes\.txt"):
        extract(tmp_path / "out", data=data_in(tmp_path / "in"), extract=params(on_error="fail"))


def test_hidden_files_and_copies_do_not_stop_it(tmp_path):
    write_video(tmp_path / "in/a.mp4", greys(2), fps=10)
    for name in (".hidden.mp4", "b.mp4"):
        (tmp_path / "in" / name).write_bytes((tmp_path / "in/a.mp4").read_bytes())
    extract(tmp_path / "out", data=data_in(tmp_path / "in"), extract=params(on_error="fail"))
    index = FrameStore(tmp_path / "out").index
    assert index["reason"].tolist() == ["hidden file", "", "same content as a.mp4"]


def test_no_folder_says_where_it_is_named(tmp_path):
    with pytest.raises(PipelineError, match=r"data\.videos"):
        extract(tmp_path / "out", data=data_in(tmp_path / "in"), extract=params())


def test_a_folder_without_any_video_says_so_and_why(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(PipelineError, match=r"in: holds no file; put videos there.*data\.videos"):
        extract(tmp_path / "out", data=data_in(tmp_path / "in"), extract=params())
    (tmp_path / "in/a.txt").write_text("text one")
    (tmp_path / "in/b.txt").write_text("text two")
    (tmp_path / "in/c.mp4").touch()
    with pytest.raises(VideoError, match=r"none of its 3 files is a video.*2 x text, not a video; 1 x empty file"):
        extract(tmp_path / "out", data=data_in(tmp_path / "in"), extract=params())


def store_bytes(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def write_some(folder, names, first=0):
    for number, name in enumerate(names, start=first):
        write_video(folder / name, greys(4, start=number), fps=10)


def run_counting(monkeypatch, tmp_path, **changes):
    """Extract `in` to `out`; returns how many videos were decoded."""
    jobs = []
    original = workers.local

    @contextmanager
    def counting(task, count):
        with original(task, count) as run:

            def noted(todo):
                jobs.extend(todo)
                return run(todo)

            yield noted

    monkeypatch.setattr(workers, "local", counting)
    extract(tmp_path / "out", data=data_in(tmp_path / "in"), extract=params(**changes))
    monkeypatch.setattr(workers, "local", original)
    return len(jobs)


def test_a_second_run_does_only_what_is_new_and_equals_one_from_scratch(tmp_path, monkeypatch):
    write_some(tmp_path / "in", ["a.mp4", "b.mp4", "c.mp4"])
    (tmp_path / "in/notes.txt").write_text("no video")
    assert run_counting(monkeypatch, tmp_path) == 4
    first = store_bytes(tmp_path / "out")
    assert run_counting(monkeypatch, tmp_path) == 0
    assert store_bytes(tmp_path / "out") == first

    write_some(tmp_path / "in", ["d.mp4"], first=3)
    assert run_counting(monkeypatch, tmp_path) == 1
    (tmp_path / "in/a.mp4").rename(tmp_path / "in/z.mp4")
    (tmp_path / "in/b.mp4").unlink()
    assert run_counting(monkeypatch, tmp_path) == 0
    after = store_bytes(tmp_path / "out")
    assert FrameStore(tmp_path / "out").videos == ["c.mp4", "d.mp4", "z.mp4"]

    extract(tmp_path / "scratch", data=data_in(tmp_path / "in"), extract=params())
    assert store_bytes(tmp_path / "scratch") == after


def test_other_parameters_redo_every_video_and_leave_nothing_behind(tmp_path, monkeypatch):
    write_some(tmp_path / "in", ["a.mp4", "b.mp4"])
    run_counting(monkeypatch, tmp_path)
    assert run_counting(monkeypatch, tmp_path, size=(4, 4)) == 2
    assert len(store_bytes(tmp_path / "out")) == 4  # index, hashes and two arrays
    assert FrameStore(tmp_path / "out").frame_shape == (1, 4, 4)
    assert run_counting(monkeypatch, tmp_path, size=(4, 4), on_error="fail") == 0


def test_a_changed_file_of_the_same_size_and_time_is_seen(tmp_path, monkeypatch):
    write_some(tmp_path / "in", ["a.mp4"])
    path = tmp_path / "in/a.mp4"
    os.utime(path, (1, 1))
    run_counting(monkeypatch, tmp_path)
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1
    path.write_bytes(bytes(changed))
    os.utime(path, (1, 1))
    assert run_counting(monkeypatch, tmp_path) == 1


def test_a_lost_or_short_array_is_made_again(tmp_path, monkeypatch):
    write_some(tmp_path / "in", ["a.mp4", "b.mp4"])
    run_counting(monkeypatch, tmp_path)
    before = store_bytes(tmp_path / "out")
    lost, short = sorted((tmp_path / "out").glob("*.npy"))
    lost.unlink()
    short.write_bytes(short.read_bytes()[:-10])
    assert run_counting(monkeypatch, tmp_path) == 2
    assert store_bytes(tmp_path / "out") == before


def damaged_store(monkeypatch, tmp_path):
    """A store of three videos and a file that is none, extracted twice so that all of it is known to be good."""
    write_some(tmp_path / "in", ["a.mp4", "b.mp4", "c.mp4"])
    (tmp_path / "in/notes.txt").write_text("no video")
    for _ in range(2):
        run_counting(monkeypatch, tmp_path)
    return store_bytes(tmp_path / "out")


@pytest.mark.parametrize("seed", range(4))
def test_a_flipped_bit_in_an_array_is_found_and_that_video_decoded_again(tmp_path, monkeypatch, caplog, seed):
    before = damaged_store(monkeypatch, tmp_path)
    rng = random.Random(seed)
    array = rng.choice(sorted((tmp_path / "out").glob("*.npy")))
    flip_bit(array, rng)
    assert [line.split(":")[0] for line in faults(tmp_path / "out")] == [str(array)]
    assert run_counting(monkeypatch, tmp_path) == 1
    assert store_bytes(tmp_path / "out") == before
    assert list(faults(tmp_path / "out")) == []
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(said) == 1
    assert re.fullmatch(rf"{array}: is damaged \(its content hash differs\); decoding [abc]\.mp4 again", said[0])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", ["index.csv", "hashes.json"])
def test_a_flipped_bit_in_what_is_said_about_the_arrays_is_put_right(tmp_path, monkeypatch, seed, name):
    before = damaged_store(monkeypatch, tmp_path)
    flip_bit(tmp_path / "out" / name, random.Random(seed))
    assert list(faults(tmp_path / "out")) != []
    assert run_counting(monkeypatch, tmp_path) <= 4
    assert store_bytes(tmp_path / "out") == before
    assert list(faults(tmp_path / "out")) == []


def test_a_damaged_field_of_the_index_costs_only_its_own_video(tmp_path, monkeypatch, caplog):
    before = damaged_store(monkeypatch, tmp_path)
    index = tmp_path / "out/index.csv"
    index.write_text(index.read_text().replace("b.mp4,ok", "b.mp4,no").replace("a.mp4,ok,", "a.mp4,ok,,"))
    assert run_counting(monkeypatch, tmp_path) == 2
    assert "2 of its rows are damaged: their videos are decoded again" in caplog.text
    assert store_bytes(tmp_path / "out") == before


def test_a_store_without_hashes_is_decoded_again(tmp_path, monkeypatch, caplog):
    before = damaged_store(monkeypatch, tmp_path)
    (tmp_path / "out/hashes.json").unlink()
    assert "nothing can be checked" in "".join(faults(tmp_path / "out"))
    assert run_counting(monkeypatch, tmp_path) == 4
    assert "hashes.json: is missing or damaged: every video is decoded again" in caplog.text
    assert store_bytes(tmp_path / "out") == before


def test_another_form_of_store_is_decoded_once_and_repaired_like_arrays(tmp_path, monkeypatch):
    before = damaged_store(monkeypatch, tmp_path)
    assert run_counting(monkeypatch, tmp_path, store="compressed") == 4
    stored = sorted((tmp_path / "out").glob("*.frames"))
    assert len(stored) == 3
    assert not list((tmp_path / "out").glob("*.npy"))
    assert run_counting(monkeypatch, tmp_path, store="compressed") == 0
    flip_bit(stored[1], random.Random(0))
    assert [line.split(":")[0] for line in faults(tmp_path / "out")] == [str(stored[1])]
    assert run_counting(monkeypatch, tmp_path, store="compressed") == 1
    assert list(faults(tmp_path / "out")) == []
    run_counting(monkeypatch, tmp_path)
    assert store_bytes(tmp_path / "out") == before


def test_a_copy_of_a_store_elsewhere_is_checked_as_well(tmp_path, monkeypatch):
    damaged_store(monkeypatch, tmp_path)
    shutil.copytree(tmp_path / "out", tmp_path / "copy")
    flip_bit(sorted((tmp_path / "copy").glob("*.npy"))[0], random.Random(0))
    (tmp_path / "out").rename(tmp_path / "old")
    (tmp_path / "copy").rename(tmp_path / "out")
    assert run_counting(monkeypatch, tmp_path) == 1
    assert store_bytes(tmp_path / "out") == store_bytes(tmp_path / "old")


def test_links_into_a_cache_are_replaced_and_never_written_through(tmp_path):
    write_some(tmp_path / "in", ["a.mp4"])
    extract(tmp_path / "out", data=data_in(tmp_path / "in"), extract=params())
    (tmp_path / "cache").mkdir()
    for path in sorted((tmp_path / "out").iterdir()):
        cached = tmp_path / "cache" / path.name
        path.rename(cached)
        cached.chmod(0o444)
        path.symlink_to(cached) if path.suffix == ".npy" else path.hardlink_to(cached)
    before = store_bytes(tmp_path / "cache")
    write_some(tmp_path / "in", ["b.mp4"], first=1)
    extract(tmp_path / "out", data=data_in(tmp_path / "in"), extract=params())
    (tmp_path / "in/a.mp4").unlink()
    extract(tmp_path / "out", data=data_in(tmp_path / "in"), extract=params())
    assert store_bytes(tmp_path / "cache") == before
    assert FrameStore(tmp_path / "out").videos == ["b.mp4"]


def test_videos_behind_links_of_dvcs_cache_are_read(tmp_path):
    cached = tmp_path / "cache/files/md5/ab/0123456789abcdef0123456789abcd"
    write_video(tmp_path / "a.mp4", greys(3), fps=10)
    cached.parent.mkdir(parents=True)
    (tmp_path / "a.mp4").rename(cached)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.mp4").symlink_to(cached)
    extract(tmp_path / "out", data=data_in(tmp_path / "in"), extract=params())
    assert FrameStore(tmp_path / "out").videos == ["a.mp4"]


def test_a_run_killed_at_any_moment_is_finished_by_the_next_with_the_same_bytes(tmp_path):
    write_some(tmp_path / "in", [f"{number}.mp4" for number in range(12)])
    extract(tmp_path / "whole", data=data_in(tmp_path / "in"), extract=params())
    text = (ROOT / "params.yaml").read_text().replace("videos: data/sample", "videos: in", 1)
    (tmp_path / "params.yaml").write_text(text.replace("size: [32, 32]", "size: [8, 8]"))
    small = load_params(tmp_path / "params.yaml").extract
    extract(tmp_path / "whole", data=data_in(tmp_path / "in"), extract=small)
    command = [sys.executable, "-m", "pipeline.stages.extract", "out"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for milliseconds in (700, 900, 1100, 1300):
        with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL) as process:
            time.sleep(milliseconds / 1000)
            process.kill()
    # two at once: one waits for the other
    both = [subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert store_bytes(tmp_path / "out") == store_bytes(tmp_path / "whole")


def test_frames_are_chosen_by_time(tmp_path):
    # of variable rate: frame i is on show from the time with its number
    encode(tmp_path / "in.mkv", Encoding("ffv1", "matroska", times=(0, 100, 150, 400, 410, 900, 1000, 1500)))
    (tmp_path / "in").mkdir()
    (tmp_path / "in.mkv").rename(tmp_path / "in/a.mkv")
    extract(tmp_path / "out", data=data_in(tmp_path / "in"), extract=params(fps=5.0, size=(12, 12), color="rgb"))
    frames = FrameStore(tmp_path / "out").load("a.mkv")
    # at 0, 0.2, 0.4 … 1.4 s, and as far as the last frame lasts
    shown = [0, 2, 3, 4, 4, 6, 6, 6]
    assert [round((int(grey) - 50) / 20) for grey in frames[:8, 9, 9, 0]] == shown


def test_fit_crops_pads_or_stretches(tmp_path):
    image = np.zeros((16, 32, 3), dtype=np.uint8)
    image[:, 8:24] = 200
    write_video(tmp_path / "in/a.mp4", [image] * 2, fps=10)
    middle = {}
    for fit in ("crop", "pad", "stretch"):
        extract(tmp_path / "out", data=data_in(tmp_path / "in"), extract=params(fit=fit))
        middle[fit] = FrameStore(tmp_path / "out").load("a.mp4")[0, :, :, 0].astype(int)
    assert np.abs(middle["crop"] - 200).max() <= 4
    assert np.abs(middle["pad"][:, 4] - [0, 0, 200, 200, 200, 200, 0, 0]).max() <= 4
    assert np.abs(middle["stretch"][4] - [0, 0, 200, 200, 200, 200, 0, 0]).max() <= 4


def test_a_dask_cluster_makes_the_same_bytes(tmp_path, monkeypatch):
    write_some(tmp_path / "in", ["a.mp4", "b.mp4", "c.mp4"])
    extract(tmp_path / "here", data=data_in(tmp_path / "in"), extract=params())
    with (
        dask.config.set({"distributed.worker.daemon": True}),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
    ):
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", cluster.scheduler_address)
        extract(tmp_path / "there", data=data_in(tmp_path / "in"), extract=params(executor="dask"))
    assert store_bytes(tmp_path / "there") == store_bytes(tmp_path / "here")


class DiesOnce(WorkerPlugin):
    """Kills the Dask worker that is the first to begin a job, in its middle: a decoder takes longer to start."""

    def __init__(self, marker):
        self.marker = marker

    def setup(self, worker):
        self.worker = worker

    def transition(self, key, start, finish, **kwargs):
        if finish == "executing":
            with suppress(FileExistsError):
                self.marker.touch(exist_ok=False)
                threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGKILL)).start()


def test_a_dask_worker_that_is_killed_in_the_middle_costs_no_byte(tmp_path, monkeypatch):
    write_some(tmp_path / "in", ["a.mp4", "b.mp4", "c.mp4", "d.mp4"])
    extract(tmp_path / "here", data=data_in(tmp_path / "in"), extract=params())
    with (
        dask.config.set({"distributed.worker.daemon": True}),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
    ):
        before = {worker.pid for worker in cluster.workers.values()}
        with Client(cluster) as client:
            client.register_plugin(DiesOnce(tmp_path / "marker"))
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", cluster.scheduler_address)
        extract(tmp_path / "there", data=data_in(tmp_path / "in"), extract=params(executor="dask"))
        assert {worker.pid for worker in cluster.workers.values()} != before
    assert (tmp_path / "marker").exists()
    assert store_bytes(tmp_path / "there") == store_bytes(tmp_path / "here")
