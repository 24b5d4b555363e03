"""A stage function becomes a command: paths from argv, sections from params.yaml, one line for a user's mistake."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

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


def test_a_stage_dies_with_the_dvc_that_started_it(in_workspace):
    """With its worker processes: none may go on to write beside the next run."""
    (in_workspace / "endless.py").write_text(
        "import multiprocessing, os, time\n"
        "from pathlib import Path\n"
        "from pipeline import stage\n\n"
        "def work():\n"
        "    Path('worker').write_text(str(os.getpid()))\n"
        "    time.sleep(60)\n\n"
        "def endless():\n"
        "    multiprocessing.Process(target=work).start()\n"
        "    Path('stage').write_text(str(os.getpid()))\n"
        "    time.sleep(60)\n\n"
        "if __name__ == '__main__':\n"
        "    stage.run(endless)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", "import subprocess, sys; subprocess.run([sys.executable, 'endless.py'])"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "DVC_STAGE": "endless"},
    )
    wait_for(lambda: all((in_workspace / name).exists() and (in_workspace / name).read_text() for name in PROCESSES))
    pids = [int((in_workspace / name).read_text()) for name in PROCESSES]
    assert all(is_running(pid) for pid in pids)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_for(lambda: not any(is_running(pid) for pid in pids))


PROCESSES = ("stage", "worker")


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # nobody may be there to reap an orphan
    except psutil.NoSuchProcess:
        return False


def wait_for(condition, seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.05)
