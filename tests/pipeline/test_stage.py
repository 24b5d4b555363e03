"""A stage function becomes a command: paths from argv, sections from params.yaml, one line for a user's mistake."""

import sys
from pathlib import Path

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
