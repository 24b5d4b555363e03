"""foreframe from Python."""

import subprocess
import sys

import numpy as np
import pytest
from ruamel.yaml import YAML

import pipeline
from pipeline import Generator, ModelError, read_frames
from pipeline.cli import main


def bars(tiny_frames):
    return np.repeat(np.load(tiny_frames), 3, axis=-1)


@pytest.fixture
def frames(tiny):
    return bars(tiny.frames / "test/0.mp4.npy")


def test_importing_the_package_loads_nothing_and_every_stable_name_is_there():
    code = "import sys, pipeline; print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    assert set(pipeline.__all__) == set(pipeline._HOMES)
    for name in pipeline.__all__:
        assert getattr(pipeline, name).__name__ == name
    with pytest.raises(AttributeError, match="nonsense"):
        _ = pipeline.nonsense


def test_an_array_is_continued_as_the_stream_says(tiny, frames):
    generator = Generator.from_pretrained(tiny.model)
    future = generator.continue_frames(frames[:6], 3)
    assert (future.shape, future.dtype) == ((3, 8, 8, 3), np.uint8)
    # the tiny model has learnt what a bar does
    assert np.abs(future[0].astype(int) - frames[6]).mean() < 40
    assert np.array_equal(future[1], list(zip(generator.stream(frames[:6]), range(2), strict=False))[1][0])


def test_a_video_is_continued(tiny, bar_video, tmp_path):
    Generator.from_pretrained(tiny.model).continue_video(bar_video, tmp_path / "out.mp4", num_frames=2)
    assert len(list(read_frames(tmp_path / "out.mp4"))) == 14


def test_a_model_that_continues_does_not_translate(tiny, frames):
    with pytest.raises(ModelError, match="is made to continue videos"):
        Generator.from_pretrained(tiny.model).translate(frames)


def test_a_saved_generator_is_the_same_and_has_a_card(tiny, frames, tmp_path):
    generator = Generator.from_pretrained(str(tiny.model))
    generator.save_pretrained(tmp_path / "bars", licence="apache-2.0", data="moving bars")
    again = Generator.from_pretrained(tmp_path / "bars")
    assert np.array_equal(again.continue_frames(frames, 2), generator.continue_frames(frames, 2))
    _, front, text = (tmp_path / "bars/README.md").read_text().split("---\n", 2)
    facts = YAML(typ="safe").load(front)
    assert facts["library_name"] == "foreframe"
    assert facts["pipeline_tag"] == "video-to-video"
    assert facts["license"] == "apache-2.0"
    assert facts["model-index"][0]["results"][0]["dataset"]["name"] == "moving bars"
    assert 'Generator.from_pretrained("bars")' in text


def test_the_card_tells_what_was_measured_beside_the_baselines(tiny, tmp_path):
    (tmp_path / "metrics.json").write_text(
        '{"model": {"intervals": {"mse": [1, 2]}, "mse": 1.5, "ssim": 0.9}, "last_frame": {"mse": 3.0, "ssim": 0.5}, '
        '"useful_horizon": 4}'
    )
    with pytest.raises(SystemExit) as ending:
        main(["export", str(tiny.model), str(tmp_path / "out"), "--card", "--metrics", str(tmp_path / "metrics.json")])
    assert ending.value.code == 0
    text = (tmp_path / "out/README.md").read_text()
    assert "|            |   MSE |   SSIM |\n|:-----------|------:|-------:|\n| model      |  1.50 |  0.900 |" in text
    assert "| last frame |  3.00 |  0.500 |" in text
    result = YAML(typ="safe").load(text.split("---\n")[1])["model-index"][0]["results"][0]
    assert result["metrics"] == [
        {"type": "mse", "name": "MSE", "value": 1.5},
        {"type": "ssim", "name": "SSIM", "value": 0.9},
    ]
    assert result["dataset"]["split"] == "test"


def test_metrics_that_are_none_are_one_line(tiny, tmp_path):
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(SystemExit) as ending:
        main(["export", str(tiny.model), str(tmp_path / "out"), "--card", "--metrics", str(tmp_path / "metrics.json")])
    assert "metrics.json: is damaged" in ending.value.code
    assert not (tmp_path / "out").exists()


def test_a_card_does_not_replace_the_model_that_it_is_of(tiny):
    with pytest.raises(SystemExit) as ending:
        main(["export", str(tiny.model), str(tiny.model), "--card"])
    assert "is the model directory itself" in ending.value.code
