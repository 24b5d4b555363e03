"""What a person types, and what the terminal says."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline import model_versions
from pipeline.cli import COMMANDS, main
from pipeline.model_dir import load_card, save
from pipeline.video import read_frames

ENDING = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT]


def run(*arguments):
    """What the command ends with: its exit code, or the line for a user's mistake."""
    with pytest.raises(SystemExit) as ending:
        main([str(argument) for argument in arguments])
    return ending.value.code


def test_predict_writes_a_longer_video_and_says_so(tiny, bar_video, tmp_path, capsys):
    out = tmp_path / "new/out.mp4"
    assert run("predict", bar_video, out, "--frames", 3, "--model", tiny.model) == 0
    assert len(list(read_frames(out))) == 15
    assert capsys.readouterr().out == f"{out}: 12 frames of {bar_video}, then 3 generated\n"


def test_several_futures_are_asked_of_a_model_that_knows_them(tiny, bar_video, tmp_path, capsys):
    asked = ["predict", bar_video, tmp_path / "out.mp4", "--frames", 2]
    said = run(*asked, "--samples", 2, "--model", tiny.model)
    assert "knows one future of a past; train with train.noise_channels above 0" in said

    torch.manual_seed(0)
    card = load_card(tiny.model).model_copy(update={"noise_channels": 4})
    save(tmp_path / "noisy", card.build(), card)
    assert run(*asked, "--samples", 2, "--seed", 5, "--model", tmp_path / "noisy") == 0
    assert "out-2.mp4: 12 frames" in capsys.readouterr().out
    futures = [[frame for _, frame in read_frames(tmp_path / f"out-{number}.mp4")] for number in (1, 2)]
    assert all(np.array_equal(one, other) for one, other in zip(*(future[:12] for future in futures), strict=True))
    assert not np.array_equal(futures[0][-1], futures[1][-1])
    # a seed is a future: the second of seed 5 is the first of seed 6
    assert run(*asked, "--seed", 6, "--model", tmp_path / "noisy") == 0
    assert [frame.tolist() for _, frame in read_frames(tmp_path / "out.mp4")] == [f.tolist() for f in futures[1]]


def test_translate_asks_for_a_model_that_translates(tiny, bar_video, tmp_path):
    said = run("translate", bar_video, tmp_path / "out.mp4", "--model", tiny.model)
    assert said.startswith(f"foreframe translate: {tiny.model}: is made to continue videos, not to translate them")


def test_tiles_that_cannot_be_are_refused(capsys):
    assert run("translate", "a.mp4", "b.mp4", "--tile", -32) == 2
    assert "--tile" in capsys.readouterr().err


def test_info_knows_a_video_from_a_model(tiny, bar_video, capsys):
    assert run("info", bar_video) == 0
    assert capsys.readouterr().out.splitlines()[0] == "picture     8 x 8 pixels"
    assert run("info", tiny.model) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("generator      convlstm, ")
    assert "task           predict, 3 frames given, 4 made at a time in training" in lines


def test_info_shows_figures_as_a_table(tmp_path, capsys):
    (tmp_path / "metrics.json").write_text('{"model": {"mse": 1.25, "ssim": 0.5}, "useful_horizon": 0}')
    assert run("info", tmp_path) == 0
    table = "|       |   MSE |   SSIM |\n|:------|------:|-------:|\n| model |  1.25 |  0.500 |\n"
    assert capsys.readouterr().out == table


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "none.mp4", "out.mp4", "--frames", "3"], "data/model: no such"),
        (["info", "none.mp4"], "foreframe info: none.mp4"),
        (["info", "."], "holds no model"),
    ],
)
def test_a_mistake_is_one_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = run(*arguments)
    assert message in said
    assert len(said.splitlines()) == 1


def test_a_mistake_goes_to_standard_error_with_exit_code_1(tmp_path):
    command = [sys.executable, "-m", "pipeline.cli", "info", str(tmp_path / "none.mp4")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"foreframe info: {tmp_path / 'none.mp4'}: cannot be read: No such file or directory\n"


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["info"], ["info", "a.mp4", "--nonsense"]])
def test_wrong_usage_ends_with_2(arguments, capsys):
    assert run(*arguments) == 2
    assert "Usage: foreframe" in capsys.readouterr().err


@pytest.mark.parametrize("frames", ["0", "-3", "many", "1.5"])
def test_a_count_is_a_whole_number_of_one_or_more(frames, capsys):
    assert run("predict", "a.mp4", "b.mp4", "--frames", frames) == 2
    assert "--frames" in capsys.readouterr().err


def test_an_interrupt_ends_quietly(monkeypatch, capsys):
    def interrupted(path):
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.inference.generation.describe_video", interrupted)
    assert run("info", "a.mp4") == 130
    assert capsys.readouterr() == ("", "")


def test_help_has_examples_and_loads_no_torch():
    code = "import sys; from pipeline.cli import main\ntry: main(['--help'])\nfinally: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False"
    assert "foreframe predict walk.mp4 longer.mp4 --frames 30" in done.stdout
    assert "--install-completion" in done.stdout
    for command in COMMANDS:
        assert f"\n  {command} " in done.stdout


def test_the_commands_are_those_that_people_know():
    assert COMMANDS == ["predict", "translate", "info", "rollback", "check"]


@pytest.mark.parametrize(
    ("typed", "completed"), [("foreframe pre", "predict"), ("foreframe predict --sa", "--samples")]
)
def test_a_shell_completes_commands_and_options(typed, completed):
    # as the function that --install-completion installs in bash asks
    asked = {"_FOREFRAME_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    command = [sys.executable, "-m", "pipeline.cli"]
    done = subprocess.run(command, env={**os.environ, **asked}, capture_output=True, text=True)
    assert done.stdout.split() == [completed]


def test_rollback_puts_the_model_before_back_and_says_when_there_is_none(tiny, tmp_path, capsys):
    models = tmp_path / "models"
    for _ in range(2):
        model_versions.activate(model_versions.store(tiny.model, {}, models=models), models)
    assert run("rollback", "--models", models) == 0
    assert capsys.readouterr().out == "v1.0.0 is the champion\n"
    assert model_versions.champion(models) == models / "v1.0.0"
    assert run("rollback", "--models", models) == f"foreframe rollback: {models}: there is no version before v1.0.0"


@pytest.fixture
def start_endless(tiny, bar_video):
    """`foreframe predict` with more frames than it will ever write, once it has begun to write; killed in the end.

    Its caller has ignored one signal at most, whatever was ignored by those who started these tests (nohup, `&`).
    """
    started = []

    def start(out, ignored=None):
        def as_a_shell_does():
            for number in ENDING:
                signal.signal(number, signal.SIG_IGN if number == ignored else signal.SIG_DFL)

        command = [sys.executable, "-m", "pipeline.cli", "predict", str(bar_video), str(out)]
        process = subprocess.Popen(
            [*command, "--frames", "100000000", "--model", str(tiny.model)],
            stderr=subprocess.PIPE,
            preexec_fn=as_a_shell_does,
        )
        started.append(process)
        end = time.monotonic() + 600  # a few seconds on a quiet machine
        while not out.with_name(f".{out.name}.part").exists():
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", ENDING)
def test_a_command_that_is_told_to_end_leaves_nothing(number, start_endless, tmp_path):
    process = start_endless(tmp_path / "out.mp4")
    process.send_signal(number)
    errors = process.communicate(timeout=300)[1]
    assert process.returncode == 128 + number
    assert b"Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_a_signal_that_the_caller_ignores_ends_nothing_and_another_does(number, start_endless, tmp_path):
    process = start_endless(tmp_path / "out.mp4", ignored=number)
    process.send_signal(number)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=300)
    assert process.returncode == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_command_left_is_gone_after_the_next(start_endless, tiny, bar_video, tmp_path):
    out = tmp_path / "out.mp4"
    process = start_endless(out)
    process.kill()
    process.communicate()
    assert [path.name for path in tmp_path.iterdir()] == [".out.mp4.part"]
    assert run("predict", bar_video, out, "--frames", 3, "--model", tiny.model) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert len(list(read_frames(out))) == 15


def test_nobody_who_reads_is_no_mistake(bar_video):
    command = [sys.executable, "-m", "pipeline.cli", "info", str(bar_video)]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
    done = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *command], stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_output_that_does_not_fit_is_one_line(bar_video):
    command = [sys.executable, "-m", "pipeline.cli", "info", str(bar_video)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    message = "foreframe info: standard output: No space left on device; free some space there, then run it again\n"
    assert (done.returncode, done.stderr) == (1, message)


def test_what_the_system_refuses_is_one_line_that_names_the_file(tiny, bar_video, tmp_path):
    (tmp_path / "file").write_text("")
    said = run("predict", bar_video, tmp_path / "file/out.mp4", "--frames", 3, "--model", tiny.model)
    assert said.startswith(f"foreframe predict: {tmp_path}/file")
    assert len(said.splitlines()) == 1
