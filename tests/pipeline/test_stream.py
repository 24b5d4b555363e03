"""`foreframe stream` and `foreframe predict --camera`, as a person uses them."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from pipeline.cli import main
from pipeline.video import camera, probe, raw_frames, read_frames
from tests.conftest import moving_bar
from tests.pipeline.inference.test_onnx_export import NOISE, SIZES, write_model

FRAMES = np.repeat(moving_bar(10, 2), 3, axis=-1)


def run(*arguments):
    with pytest.raises(SystemExit) as ending:
        main([str(argument) for argument in arguments])
    return ending.value.code


@pytest.fixture
def stream(tmp_path, monkeypatch):
    """Runs `foreframe stream` with raw frames on standard input; what it ends with."""

    def stream(*arguments, frames=FRAMES):
        (tmp_path / "raw").write_bytes(frames.tobytes())
        monkeypatch.setattr(raw_frames, "standard_input", lambda: io.FileIO(tmp_path / "raw"))
        return run("stream", *arguments)

    return stream


def test_one_raw_frame_goes_out_for_each_that_comes_in_and_says_what_comes_next(tiny):
    command = [sys.executable, "-m", "pipeline.cli", "stream", "--size", "8x8", "--rate", "30", "--model", tiny.model]
    done = subprocess.run(command, input=FRAMES.tobytes(), capture_output=True)
    assert done.returncode == 0, done.stderr
    made = np.frombuffer(done.stdout, np.uint8).reshape(FRAMES.shape)
    # the tiny model has learnt in ten frames what a bar does
    assert np.abs(made[3:9].astype(int) - FRAMES[4:10]).mean() < 40
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith(f"foreframe stream: {tiny.model} (as asked): 10 frames in ")
    assert "latency p50 " in line


def test_a_video_is_written_at_the_rate_and_the_facts_are_json(tiny, stream, tmp_path, capsys):
    out = tmp_path / "out.mp4"
    assert stream(out, "--size", "8x8", "--rate", 12.5, "--ahead", 2, "--model", tiny.model, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["frames"], facts["ahead"], facts["output"]) == (10, 2, str(out))
    assert set(facts["latency_ms"]) == {"p50", "p95", "p99", "p100"}
    assert len(list(read_frames(out))) == 10
    assert probe(out).fps == 12.5


def test_a_model_that_translates_translates(stream, tmp_path, capsysbinary):
    model = write_model(tmp_path / "model", "foreframe", SIZES["foreframe"], task="translate", translation=NOISE)
    frames = np.random.default_rng(0).integers(0, 256, (5, 16, 24, 3), np.uint8)
    assert stream("--size", "24x16", "--rate", 30, "--model", model, "--quiet", frames=frames) == 0
    assert len(capsysbinary.readouterr().out) == frames.nbytes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--size WIDTHxHEIGHT --rate N"),
        (["--size", "8by8", "--rate", "30"], "should be like 640x360"),
        (["--size", "8x8", "--rate", "30", "--json"], "standard output has the frames"),
    ],
)
def test_wrong_usage_says_what_is_missing(arguments, message, capsys):
    assert run("stream", *arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("frames", "message"), [(FRAMES.ravel()[:-1], "ends within a frame of 8x8"), (FRAMES[:0], "no frame came")]
)
def test_what_is_no_whole_frame_is_a_mistake_in_one_line(frames, message, tiny, stream):
    said = stream("--size", "8x8", "--rate", 30, "--model", tiny.model, frames=frames)
    assert message in said
    assert len(said.splitlines()) == 1


def test_a_model_of_a_frame_rate_of_its_own_takes_no_other(stream, tmp_path):
    model = write_model(tmp_path / "model", "convlstm", SIZES["convlstm"], fps=10.0)
    said = stream("--size", "24x16", "--rate", 30, "--model", model)
    assert "was trained on 10 frames a second, these are 30; --rate 10" in said


def test_ctrl_c_ends_in_order_with_a_whole_video(tiny, tmp_path, monkeypatch, capsys):
    out, over = tmp_path / "out.mp4", threading.Event()

    def frames(pipe, size):
        yield from FRAMES[:4]
        os.kill(os.getpid(), signal.SIGINT)
        over.wait(60)  # nothing more comes

    monkeypatch.setattr(raw_frames, "read_raw_frames", frames)
    assert run("stream", out, "--size", "8x8", "--rate", 30, "--model", tiny.model) == 0
    over.set()
    said = re.search(r"(\d) frames in ", capsys.readouterr().out)
    assert 1 <= int(said[1]) <= 4  # those that still waited are left
    assert len(list(read_frames(out))) == int(said[1])


@pytest.fixture
def bar_camera(monkeypatch):
    """A camera that shows the moving bar."""
    monkeypatch.setattr(camera, "read_camera", lambda number, fps, size: iter(FRAMES))


def test_a_camera_is_predicted_until_it_ends(tiny, tmp_path, bar_camera, capsys):
    out = tmp_path / "out.mp4"
    assert run("predict", "--camera", 0, out, "--frames", 2, "--model", tiny.model, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["frames"] + facts["dropped"] == 10
    assert facts["ahead"] == 2
    assert len(list(read_frames(out))) == facts["frames"]


def test_predict_takes_a_camera_or_a_video_and_not_both(tiny, bar_video, tmp_path, capsys):
    assert run("predict", bar_video, tmp_path / "out.mp4", "--camera", 0, "--frames", 2) == 2
    assert "stands for IN" in capsys.readouterr().err
    assert run("predict", bar_video, "--frames", 2) == 2
    assert "name the video to continue and the one to write" in capsys.readouterr().err


def test_without_a_camera_there_is_one_line(tmp_path):
    said = run("predict", "--camera", 63, tmp_path / "out.mp4", "--frames", 2)
    assert "camera 63: cannot be opened" in said
    assert len(said.splitlines()) == 1
