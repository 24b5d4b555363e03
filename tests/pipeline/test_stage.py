"""A stage function becomes a command: paths from argv, sections from params.yaml, one line for a mistake."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from pipeline import stage
from pipeline.errors import DataError
from pipeline.params import TensorizeParams

ROOT = Path(__file__).parents[2]


@pytest.fixture
def in_workspace(tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_paths_come_from_argv_and_sections_from_params_yaml(in_workspace, monkeypatch):
    seen = []

    def cut(frames: Path, clips: Path, *, task: str, tensorize: TensorizeParams) -> None:
        """Cut."""
        seen.extend([frames, clips, task, tensorize.context])

    monkeypatch.setattr(sys, "argv", ["cut", "a", "b"])
    stage.run(cut)
    assert seen == [Path("a"), Path("b"), "predict", 10]


def test_a_users_mistake_is_one_line_and_exit_code_1(in_workspace, monkeypatch):
    def cut(frames: Path) -> None:
        raise DataError(f"{frames}: no videos")

    monkeypatch.setattr(sys, "argv", ["cut", "a"])
    with pytest.raises(SystemExit) as error:
        stage.run(cut)
    assert error.value.code == "cut: a: no videos"  # Python prints a string and exits with 1


def test_a_bug_keeps_its_traceback(in_workspace, monkeypatch):
    def cut(frames: Path) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(sys, "argv", ["cut", "a"])
    with pytest.raises(ZeroDivisionError):
        stage.run(cut)


def test_missing_paths_print_the_usage(in_workspace, monkeypatch, capsys):
    def cut(frames: Path, clips: Path) -> None:
        """Cut frames into clips."""

    monkeypatch.setattr(sys, "argv", ["cut", "a"])
    with pytest.raises(SystemExit) as error:
        stage.run(cut)
    assert error.value.code == 2
    assert "python -m pipeline.stages.cut" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "cut: data/x: No space left on device; free some space there, then run it again"),
        (errno.EROFS, "cut: data/x: Read-only file system; it can only be read there: write to another folder"),
        (errno.EACCES, "cut: data/x: Permission denied; give yourself the permission"),
        (errno.ENOENT, "cut: data/x: No such file or directory; it was removed or renamed meanwhile"),
    ],
)
def test_what_the_system_refuses_is_one_line_with_a_remedy(number, message, in_workspace, monkeypatch):
    def cut(frames: Path) -> None:
        raise OSError(number, os.strerror(number), "data/x")

    monkeypatch.setattr(sys, "argv", ["cut", "a"])
    with pytest.raises(SystemExit) as error:
        stage.run(cut)
    assert error.value.code.startswith(message)
    assert len(error.value.code.splitlines()) == 1


def too_much():
    torch.empty(2**45)  # 128 TiB


def too_much_for_the_gpu():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


@pytest.mark.parametrize(
    ("take", "where"), [(too_much, "memory ran out"), (too_much_for_the_gpu, "the GPU's memory ran out")]
)
def test_memory_that_runs_out_is_one_line_with_a_remedy(take, where, in_workspace, monkeypatch):
    def cut(frames: Path) -> None:
        take()

    monkeypatch.setattr(sys, "argv", ["cut", "a"])
    with pytest.raises(SystemExit) as error:
        stage.run(cut)
    assert error.value.code.startswith(f"cut: {where}")
    assert "batch_size" in error.value.code
    assert len(error.value.code.splitlines()) == 1


def test_another_runtime_error_keeps_its_traceback(in_workspace, monkeypatch):
    def cut(frames: Path) -> None:
        raise RuntimeError("sizes do not match")

    monkeypatch.setattr(sys, "argv", ["cut", "a"])
    with pytest.raises(RuntimeError, match="sizes"):
        stage.run(cut)


@pytest.mark.parametrize("moment", ["in its imports", "at work"])
def test_a_stage_dies_with_the_dvc_that_started_it(moment, in_workspace):
    """With its worker processes: none may go on to write beside the next run."""
    work = (
        "import multiprocessing\n"
        "def work():\n"
        "    Path('worker').write_text(str(os.getpid()))\n"
        "    time.sleep(60)\n\n"
        "multiprocessing.get_context('fork').Process(target=work).start()\n"
    )
    (in_workspace / "endless.py").write_text(
        "import pipeline.stages, os, time\n"
        "from pathlib import Path\n"
        f"{work if moment == 'at work' else ''}"
        "Path('stage').write_text(str(os.getpid()))\n"
        "time.sleep(60)\n"
    )
    parent = start_stage("endless.py")
    names = ("stage", "worker") if moment == "at work" else ("stage",)
    wait_for(lambda: all((in_workspace / name).exists() and (in_workspace / name).read_text() for name in names))
    pids = [int((in_workspace / name).read_text()) for name in names]
    assert all(is_running(pid) for pid in pids)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_for(lambda: not any(is_running(pid) for pid in pids))


def test_a_stage_whose_dvc_was_killed_before_its_first_line_does_nothing(in_workspace):
    (in_workspace / "late.py").write_text(
        "import os, time\n"
        "from pathlib import Path\n"
        "Path('stage').write_text(str(os.getpid()))\n"
        "while not Path('killed').exists():\n"
        "    time.sleep(0.05)\n"
        "import pipeline.stages\n"
        "time.sleep(2)\n"
        "Path('result').write_text('')\n"
    )
    parent = start_stage("late.py")
    wait_for(lambda: (in_workspace / "stage").exists() and (in_workspace / "stage").read_text())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    (in_workspace / "killed").touch()
    wait_for(lambda: not is_running(int((in_workspace / "stage").read_text())))
    assert not (in_workspace / "result").exists()


def start_stage(script: str) -> "subprocess.Popen[bytes]":
    """A process that runs the script as DVC does: by a shell, with its variable, in a session of its own."""
    code = (
        "import os, subprocess, sys; "
        f"subprocess.run(['/bin/sh', '-c', sys.executable + ' {script}; true'], env=os.environ | {{'DVC_STAGE': 'x'}})"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, start_new_session=True)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # nobody may be there to reap an orphan
    except psutil.NoSuchProcess:
        return False


def wait_for(condition, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.05)
