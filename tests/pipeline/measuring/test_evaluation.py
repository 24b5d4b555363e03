"""Values a clip and step, from predictors whose errors are known."""

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline.data.clips import ClipDataset, write_clips
from pipeline.errors import ModelError
from pipeline.measuring.evaluation import MAX_PSNR, batches, check_fit, measure, pick, predictor
from pipeline.model_dir import load


@pytest.fixture
def ramps(make_store, tmp_path):
    """Two clips of 2 x 2 frames, context 1 and horizon 2: levels 0 51 102 and 255 255 255."""
    levels = {"a.mp4": [0, 51, 102], "b.mp4": [255, 255, 255]}
    videos = {
        name: np.array(values, np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)
        for name, values in levels.items()
    }
    table = pd.DataFrame(
        [(v, "test", 0, 3, 1) for v in videos], columns=["video", "split", "start", "stop", "num_clips"]
    )
    write_clips(tmp_path / "clips", table, task="predict", context=1, horizon=2, stride=1)
    return ClipDataset(make_store(videos), tmp_path / "clips", "test")


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_a_value_for_each_clip_and_step(ramps, batch_size):
    predictors = {
        "still": lambda context: context.repeat(1, 2, 1, 1, 1),
        "white": lambda context: torch.ones(len(context), 2, 1, 2, 2),
    }
    measured = measure(predictors, ramps, [0, 1], batch_size)
    assert list(measured) == ["still", "white"]
    # 4 pixels that are 0.2 and 0.4 off, then two clips of errors that are none
    assert measured["still"]["mse"] == pytest.approx(np.array([[0.16, 0.64], [0, 0]]), abs=1e-6)
    assert measured["still"]["mae"] == pytest.approx(np.array([[0.8, 1.6], [0, 0]]), abs=1e-6)
    assert measured["white"]["mse"] == pytest.approx(np.array([[4 * 0.64, 4 * 0.36], [0, 0]]), abs=1e-6)
    assert measured["still"]["psnr"][0] == pytest.approx([-20 * np.log10(0.2), -20 * np.log10(0.4)], abs=1e-4)
    assert measured["still"]["psnr"][1].tolist() == [MAX_PSNR, MAX_PSNR]
    assert measured["still"]["ssim"][1].tolist() == [1.0, 1.0]


def test_batches_hold_context_and_truth(ramps):
    ((context, truth),) = batches(ramps, [1, 0], 5)
    assert context[:, :, 0, 0, 0].tolist() == [[1.0], [-1.0]]
    assert truth[1, :, 0, 0, 0].tolist() == pytest.approx([-0.6, -0.2])


def test_a_model_runs_free_in_any_batch(tiny):
    model, card = load(tiny.model)
    dataset = ClipDataset(tiny.frames, tiny.clips, "test")
    predictors = {"model": predictor(model, card, 4, torch.device("cpu"))}
    together, apart = (measure(predictors, dataset, range(len(dataset)), size)["model"]["mse"] for size in (6, 1))
    assert together.shape == (6, 4)
    assert together == pytest.approx(apart, rel=1e-3, abs=1e-5)


def test_noise_is_the_same_every_time(tiny):
    class Echo(torch.nn.Module):
        """Gives back the plane of noise, which comes after the one of the frame."""

        def forward(self, frames, state=None):
            return frames[:, :, 1:], state

    card = load(tiny.model)[1].model_copy(update={"noise_channels": 1})
    context = torch.zeros(2, 3, 1, 4, 4)
    first, second = (predictor(Echo(), card, 1, torch.device("cpu"))(context) for _ in range(2))
    assert torch.equal(first, second)
    assert first.std() > 0


def test_frames_of_another_shape_are_refused(tiny, ramps):
    with pytest.raises(ModelError, match=r"\(1, 8, 8\).*\(1, 2, 2\).*extract.size"):
        check_fit(load(tiny.model)[1], ramps)
    check_fit(load(tiny.model)[1], ClipDataset(tiny.frames, tiny.clips, "test"))


def test_picked_clips_are_spread_evenly():
    assert pick(5, None) == pick(5, 5) == pick(5, 9) == [0, 1, 2, 3, 4]
    assert pick(10, 4) == [0, 2, 5, 7]
    assert pick(1000, 1) == [0]
