"""Videos through a translating model: frames, rate, size and state; errors of one line."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from pipeline import model_dir
from pipeline.data.translation import Translation
from pipeline.errors import ModelError, PipelineError
from pipeline.inference.generation import describe_model
from pipeline.inference.translation import compare_video, plan, to_picture, to_source, translate_video, translated
from pipeline.model_dir import ModelCard
from pipeline.nn.colorization import Coloring
from pipeline.nn.residual import Residual
from pipeline.nn.rollout import translate
from pipeline.runtime import memory
from pipeline.video import (
    TimedFrame,
    probe,
    read_frames,
    read_timed_frames,
    write_png,
    write_timed_video,
    write_video,
)

CPU = torch.device("cpu")


def make_card(degradation="noise", strength=25.0, channels=3, name="convlstm", **changes):
    sizes = {"hidden_channels": 6, "num_layers": 1, "kernel_size": 3, "patch_size": 2}
    fields = {
        "name": name,
        "sizes": sizes if name == "convlstm" else {"hidden_size": 4, "num_layers": 1},
        "frame_shape": (channels, 16, 24),
        "out_channels": channels,
        "noise_channels": 0,
        "task": "translate",
        "translation": Translation(source=None, target=None, degradation=degradation, strength=strength, seed=0),
        "residual": True,
        "context": 2,
        "horizon": 2,
        "data": "none",
        "metrics": {},
    }
    return ModelCard(**fields | changes)


@pytest.fixture
def model(tmp_path):
    def make(**changes):
        card = make_card(**changes)
        torch.manual_seed(0)
        model_dir.save(tmp_path / "model", card.build(), card)
        return tmp_path / "model"

    return make


@pytest.fixture
def video(tmp_path):
    """40 x 56 pixels, 9 frames at 12.5 a second: a gradient that moves."""
    x = np.arange(56)
    frames = (np.broadcast_to(((x + 5 * t) * 4 % 256)[None, :, None], (40, 56, 3)).astype(np.uint8) for t in range(9))
    write_video(tmp_path / "in.mp4", frames, 12.5)
    return tmp_path / "in.mp4"


def pictures(path):
    return np.stack([image for _, image in read_frames(path)])


def test_every_frame_is_translated_with_the_state_of_those_before(video):
    card = make_card()
    torch.manual_seed(0)
    generator = card.build().eval()
    frames = [to_source(image, card, degrade=True, number=t) for t, image in enumerate(pictures(video))]
    result = torch.cat(list(translated(generator, card, iter(frames), CPU, None, None)), dim=1)
    source = torch.cat(frames, dim=1)
    with torch.no_grad():
        assert torch.allclose(result, translate(generator, source), atol=1e-5)
        assert not torch.allclose(result[:, 5:6], translate(generator, source[:, 5:6]), atol=1e-2)


def test_a_video_keeps_its_frames_rate_and_size(model, video, tmp_path):
    assert translate_video(video, tmp_path / "out.mp4", model(), degrade=False, tile=None) == 9
    assert pictures(tmp_path / "out.mp4").shape == (9, 40, 56, 3)
    assert probe(tmp_path / "out.mp4").fps == 12.5


def test_a_variable_frame_rate_is_kept(model, tmp_path):
    stamps = [0.0, 0.1, 0.2, 0.7, 1.7]
    images = [np.full((40, 56, 3), 40 * number, np.uint8) for number in range(len(stamps))]
    frames = map(TimedFrame, stamps, [*stamps[1:], 2.7], images)
    write_timed_video(tmp_path / "in.mkv", frames)
    translate_video(tmp_path / "in.mkv", tmp_path / "out.mp4", model(), degrade=False, tile=None)
    assert [frame.pts_seconds for frame in read_timed_frames(tmp_path / "out.mp4")] == pytest.approx(stamps)


def test_what_was_fed_and_what_became_of_it_lie_side_by_side(model, video, tmp_path):
    out, both = tmp_path / "out.mp4", tmp_path / "both.mp4"
    translate_video(video, out, model(), degrade=True, tile=None)
    compare_video(video, out, both, tmp_path / "model", degrade=True)
    shown, made, source = ([image for _, image in read_frames(path)] for path in (both, out, video))
    assert (len(shown), shown[0].shape) == (9, (40, 112, 3))
    # of noise, H.264 keeps brightness and a quarter of the colour
    assert np.abs(shown[4][:, 56:].mean(axis=-1) - made[4].mean(axis=-1)).mean() < 6
    assert np.abs(shown[4][:, :56].astype(int) - source[4]).mean() > 8  # noise of 25 levels
    with pytest.raises(PipelineError, match="is the source itself"):
        compare_video(video, out, out, tmp_path / "model", degrade=True)


def test_a_folder_of_numbered_images_is_translated_as_the_silent_video_it_is(model, tmp_path):
    for number in range(3):
        write_png(tmp_path / "walk" / f"{number}.png", np.full((40, 56, 3), 80 * number, np.uint8))
    assert translate_video(tmp_path / "walk", tmp_path / "out.mp4", model(), degrade=False, tile=None) == 3
    assert pictures(tmp_path / "out.mp4").shape == (3, 40, 56, 3)


def test_a_model_says_what_it_undoes(model):
    assert describe_model(model())["task"] == "translate, noise 25, 4 frames at a time in training"


def test_a_low_resolution_comes_out_as_many_times_larger(model, video, tmp_path):
    directory = model(degradation="low_resolution", strength=2.0)
    translate_video(video, tmp_path / "out.mp4", directory, degrade=False, tile=None)
    assert pictures(tmp_path / "out.mp4").shape == (9, 80, 112, 3)
    translate_video(video, tmp_path / "trial.mp4", directory, degrade=True, tile=None)
    assert pictures(tmp_path / "trial.mp4").shape == (9, 40, 56, 3)


def test_a_gray_model_gives_gray_pictures(model, video, tmp_path):
    translate_video(video, tmp_path / "out.mp4", model(channels=1), degrade=True, tile=None)
    result = pictures(tmp_path / "out.mp4").astype(int)
    assert np.abs(result[..., 0] - result[..., 1]).max() <= 3


def test_tiles_give_the_same_video(video):
    card = make_card()
    torch.manual_seed(0)
    generator = card.build().eval()
    frames = torch.rand(5, 1, 1, 3, 150, 170) * 2 - 1
    whole = torch.cat(list(translated(generator, card, iter(frames), CPU, 0, None)))
    pieces = torch.cat(list(translated(generator, card, iter(frames), CPU, 128, None)))
    assert (whole - pieces).abs().max() < 1 / 255


def test_the_lower_precision_is_near_enough():
    card = make_card()
    torch.manual_seed(0)
    generator = card.build().eval()
    frames = torch.rand(5, 1, 1, 3, 40, 40) * 2 - 1
    full = torch.cat(list(translated(generator, card, iter(frames), CPU, 0, None)))
    lower = torch.cat(list(translated(generator, card, iter(frames), CPU, 0, torch.bfloat16)))
    assert 0 < (full - lower).abs().mean() < 0.5 / 127.5


def test_memory_decides_whether_frames_are_cut(monkeypatch):
    generator = make_card().build()
    shape = torch.Size([1, 1, 3, 1080, 1920])
    monkeypatch.setattr(memory, "available", lambda device: 2**40)
    whole = plan(generator, shape, 0, CPU)
    assert whole.tile is None
    monkeypatch.setattr(memory, "available", lambda device: whole.num_bytes // 2)
    cut = plan(generator, shape, 0, CPU)
    assert cut.tile in (512, 768, 1024)
    assert cut.num_bytes <= whole.num_bytes // 2
    monkeypatch.setattr(memory, "available", lambda device: 10 * 2**20)
    with pytest.raises(
        ModelError, match=r"1920x1080 needs about 0\.\d GiB of memory, 0\.0 GiB are free; lower the size"
    ):
        plan(generator, shape, 0, CPU)


def test_a_model_is_built_as_its_card_says():
    sizes = {"hidden_channels": 4, "num_scales": 1, "num_motions": 2, "patch_size": 2}
    foreframe = make_card("grey", 1.0).model_copy(
        update={"name": "foreframe", "sizes": sizes, "residual": False, "carry": 0.1}
    )
    model = foreframe.build()
    assert isinstance(model, Coloring)
    assert model.model.carry
    assert isinstance(make_card("grey", 1.0).build().model, Residual)
    assert isinstance(make_card().build(), Residual)


def test_a_picture_of_seven_pixels_is_refused():
    with pytest.raises(ModelError, match="a frame of 7x20 pixels is too small; 8 a side are needed"):
        to_source(np.zeros((20, 7, 3), np.uint8), make_card(), degrade=False, number=0)


def test_a_source_is_made_gray_where_the_model_is():
    image = np.zeros((8, 8, 3), np.uint8)
    image[..., 1] = 255
    frame = to_source(image, make_card(channels=1), degrade=False, number=0)
    assert frame.shape == (1, 1, 1, 8, 8)
    assert to_picture(frame)[0, 0].tolist() == [150, 150, 150]


def test_a_model_that_predicts_is_refused(model, video, tmp_path):
    directory = model(task="predict", translation=None, residual=False)
    with pytest.raises(ModelError, match="made to continue videos, not to translate them; use foreframe predict"):
        translate_video(video, tmp_path / "out.mp4", directory, degrade=False, tile=None)


def test_a_generator_for_one_size_says_which(model, video, tmp_path):
    directory = model(name="lstm")
    with pytest.raises(ModelError, match="lstm takes frames of 24x16 pixels only, not 56x40; a convolutional one"):
        translate_video(video, tmp_path / "out.mp4", directory, degrade=False, tile=None)
    assert not (tmp_path / "out.mp4").exists()


def test_there_is_no_degradation_to_try_where_pairs_were_given(model, video, tmp_path):
    pairs = Translation(source="rough", target="clean", degradation=None, strength=None, seed=0)
    with pytest.raises(ModelError, match=r"trained on pairs of videos \(rough -> clean\), not on a degradation"):
        translate_video(video, tmp_path / "out.mp4", model(translation=pairs), degrade=True, tile=None)


def test_the_source_is_not_overwritten(model, video):
    with pytest.raises(PipelineError, match="is the source itself"):
        translate_video(video, video, model(), degrade=False, tile=None)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length_of_the_video(model, tmp_path):
    directory = model()
    script = (
        "import resource, sys; from pathlib import Path; from pipeline.inference.translation import translate_video; "
        "translate_video(*map(Path, sys.argv[1:]), degrade=True, tile=None); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for num_frames in (40, 240):
        source = tmp_path / f"{num_frames}.mp4"
        write_video(source, (np.full((96, 128, 3), t % 256, np.uint8) for t in range(num_frames)), 25.0)
        command = [
            sys.executable,
            "-c",
            script,
            str(source),
            str(tmp_path / f"out{num_frames}.mp4"),
            str(directory),
        ]
        peaks.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    assert peaks[1] < 1.05 * peaks[0]
