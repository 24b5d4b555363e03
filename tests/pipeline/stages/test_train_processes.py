"""Tests of the train stage in several processes: what one learns, after a kill too, and with another number of them."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys

import pandas as pd
import pytest

from flows.overrides import set_params
from pipeline import model_dir

pytestmark = pytest.mark.slow  # each process takes seconds to import torch

ROUNDING = 1e-4  # relative: sums over the parts of a batch are not those over all of it, to the last bit
SMALL = ["model.name=rnn", "model.rnn.hidden_size=8", "model.rnn.recipe.epochs=4", "model.rnn.recipe.batch_size=5"]
KILLED_AT = 9  # of 16 steps, 4 an epoch: in the third epoch
NOBODY = -1  # is killed
GOING_ON = re.compile("going on at step [89] of 16")  # the epoch's end, or later where 30 seconds have passed since


@pytest.fixture(scope="module")
def start(tiny, request):
    """Starts one training in a process per folder, or in torchrun with these options."""
    root = request.config.rootpath

    def run(*folders, killed=NOBODY, torchrun=()):
        processes = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        for rank, folder in enumerate(folders):
            folder.mkdir(exist_ok=True)
            shutil.copy(root / "params.yaml", folder)
            set_params([*SMALL, "train.num_threads=1", "train.precision=float32"], folder / "params.yaml")
            environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
            if len(folders) > 1:
                environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(len(folders))}
                environment |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(len(folders))}
            command = [sys.executable, *(["-m", "torch.distributed.run", *torchrun] if torchrun else [])]
            # the same module without a kill: a checkpoint is for the code that is imported
            command += ["-m", "tests.pipeline.stages.killed_training", str(killed), str(KILLED_AT), "killed"]
            command += [str(tiny.frames), str(tiny.clips), "model", "training"]
            processes.append(subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True))
        return processes

    return run


def ended(processes):
    """What each has written, and its exit status."""
    return [(process.communicate(timeout=900)[1], process.returncode) for process in processes]


def losses(folder):
    """The training's loss by epoch."""
    assert model_dir.load(folder / "model")[1].name == "rnn"
    return pd.read_csv(folder / "training/plots/metrics/train_loss.tsv", sep="\t")["train_loss"].tolist()


@pytest.fixture(scope="module")
def unbroken(start, tmp_path_factory):
    """The loss curve of one process that nothing happens to."""
    folder = tmp_path_factory.mktemp("unbroken")
    assert [status for _, status in ended(start(folder))] == [0]
    curve = losses(folder)
    assert len(curve) == 4
    assert curve[-1] < curve[0]
    return curve


def test_torchrun_learns_what_one_process_does_and_goes_on_after_a_kill(start, unbroken, tmp_path, monkeypatch):
    """A batch is shared among the processes; after the kill torchrun starts both again, which go on at epoch 3.

    Without that variable torchrun's processes look for each other where they were before (torch 2.13).
    """
    monkeypatch.setenv("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    options = ["--standalone", "--nproc_per_node=2", "--max-restarts=1"]
    ((said, status),) = ended(start(tmp_path, killed=1, torchrun=options))
    assert status == 0, said
    assert (tmp_path / "killed").exists()
    assert GOING_ON.search(said), said
    assert losses(tmp_path) == pytest.approx(unbroken, rel=ROUNDING)


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
def test_a_killed_training_goes_on_with_another_number_of_processes(start, unbroken, tmp_path, before, after):
    """The process that is left ends by itself, with one line."""
    *left, (_, status) = ended(start(*[tmp_path] * before, killed=before - 1))
    assert status == -signal.SIGKILL
    for said, status in left:
        assert status == 1
        *log, line = said.strip().splitlines()
        assert line.startswith("train: another of the 2 processes ended, so process 0 does (")
        assert line.endswith("start all of them again: they go on where the last checkpoint was")
        assert not [other for other in log if "Error" in other or "Traceback" in other]

    for said, status in ended(start(*[tmp_path] * after)):
        assert status == 0, said
        assert GOING_ON.search(said), said
    assert losses(tmp_path) == pytest.approx(unbroken, rel=ROUNDING)


def test_a_killed_rank_of_torchrun_ends_the_others_with_one_line_each(start, tmp_path):
    """Before torchrun itself ends them: it looks five seconds apart here, by default ten times a second."""
    options = ["--standalone", "--nproc_per_node=3", "--max-restarts=0", "--monitor-interval=5"]
    ((said, status),) = ended(start(tmp_path, killed=1, torchrun=options))
    assert status == 1
    assert (tmp_path / "killed").exists()
    stages, _, torchruns = said.partition("ChildFailedError")
    assert re.search(r"exitcode +: -9 .*\n.*\n.*SIGKILL", torchruns)
    told = sorted(line for line in stages.splitlines() if line.startswith("train: "))
    for rank, line in zip([0, 2], told, strict=True):
        assert line.startswith(f"train: another of the 3 processes ended, so process {rank} does (")
        assert line.endswith("start all of them again: they go on where the last checkpoint was")
    assert stages.count("Traceback") == 1  # torchrun's own


def test_processes_that_begin_at_different_steps_say_so(start, tmp_path):
    """As on two machines without a common folder, of which one has a checkpoint of an earlier run."""
    ended(start(tmp_path / "here", killed=0))
    for said, status in ended(start(tmp_path / "here", tmp_path / "there")):
        assert status == 1
        assert (
            said.strip().splitlines()[-1].startswith("train: the 2 processes do not train the same: give all of them")
        )
