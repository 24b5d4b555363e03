"""A video goes in and comes out longer: same size, same rate, the model's frames after its own."""

import shutil
from itertools import islice

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.data.translation import Translation
from pipeline.errors import ModelError, PipelineError, VideoError
from pipeline.inference.generation import (
    Past,
    at_rate,
    continuation,
    continue_video,
    describe_model,
    load_model,
)
from pipeline.model_dir import load, save
from pipeline.project.listing import describe_video
from pipeline.video import TimedFrame, probe, read_frames, read_timed_frames, write_timed_video, write_video
from tests.conftest import moving_bar


def pictures(path):
    return np.stack([image for _, image in read_frames(path)])


def test_a_video_is_continued_in_its_size_and_rate(tiny, bar_video, tmp_path):
    assert continue_video(bar_video, tmp_path / "out.mp4", tiny.model, 5) == 12
    info = probe(tmp_path / "out.mp4")
    assert (info.height, info.width, info.fps) == (8, 8, 12.5)
    source, made = pictures(bar_video), pictures(tmp_path / "out.mp4")
    assert len(made) == 17
    assert np.abs(made[:12].astype(int) - source).mean() < 3  # compressed twice


def test_a_variable_frame_rate_is_kept_and_goes_on_as_it_was_last(tiny, tmp_path):
    stamps = [0.0, 0.1, 0.2, 0.3, 0.8, 1.3, 1.8, 2.3, 2.8]
    frames = moving_bar(len(stamps), 0, channels=3)
    times = zip(stamps, [*stamps[1:], 3.3], frames, strict=True)
    write_timed_video(tmp_path / "in.webm", (TimedFrame(*frame) for frame in times))
    continue_video(tmp_path / "in.webm", tmp_path / "out.mp4", tiny.model, 2)
    written = [frame.pts_seconds for frame in read_timed_frames(tmp_path / "out.mp4")]
    assert written == pytest.approx([*stamps, 3.3, 3.8], abs=0.002)


def test_the_bar_goes_on_where_it_was_going(tiny, bar_video, tmp_path):
    continue_video(bar_video, tmp_path / "out.mp4", tiny.model, 4)
    expected = moving_bar(16, 2)[12:].astype(int)
    assert np.abs(pictures(tmp_path / "out.mp4")[12:] - expected).mean() < 0.15 * 255


def test_other_shapes_of_picture_are_kept(tiny, tmp_path):
    frames = np.repeat(moving_bar(6, 0, channels=3), 3, axis=1).repeat(5, axis=2)  # 24 x 40
    write_video(tmp_path / "in.mp4", iter(frames), 30000 / 1001)
    continue_video(tmp_path / "in.mp4", tmp_path / "out.mkv", tiny.model, 2)
    info = probe(tmp_path / "out.mkv")
    assert (info.height, info.width) == (24, 40)
    assert info.fps == pytest.approx(29.97, abs=0.01)


def test_a_video_shorter_than_the_context_is_continued_with_a_word(tiny, tmp_path, caplog):
    write_video(tmp_path / "in.mp4", iter(moving_bar(2, 0, channels=3)), 10.0)
    assert continue_video(tmp_path / "in.mp4", tmp_path / "out.mp4", tiny.model, 3) == 2
    assert len(pictures(tmp_path / "out.mp4")) == 5
    assert "has 2 of the 3 frames" in caplog.text


def test_only_the_last_frames_are_looked_at(tiny, tmp_path):
    class Counter(nn.Module):
        """Says, as a level, how many frames it has been given."""

        def forward(self, frames, state=None):
            count = frames.shape[1] + (0 if state is None else state)
            return torch.full_like(frames, count / 10), count

    card = load(tiny.model)[1]
    frames = [np.zeros((8, 8, 3), np.uint8)] * card.context
    made = list(islice(continuation(Counter(), card, frames, torch.device("cpu")), 3))
    # 3 frames of context, then each output fed back: (level + 1) * 127.5
    assert [picture[0, 0, 0] for picture in made] == [round(127.5 * (1 + n / 10)) for n in (3, 4, 5)]
    assert made[0].shape == (8, 8, 3)


def test_a_model_with_a_rate_of_its_own_is_shown_frames_at_that_rate():
    past = Past(3, 4.0)
    for number in range(10):  # 10 frames a second, the last at 0.9 s
        past.add(number / 10, np.full((1, 1, 3), number, np.uint8))
        assert len(past.kept) <= 6  # of half a second
    # at 0.9, 0.65 and 0.4 s a player shows frames 9, 6 and 4
    assert [int(picture[0, 0, 0]) for picture in past.pictures()] == [4, 6, 9]
    short = Past(3, 4.0)
    short.add(0.0, np.zeros((1, 1, 3), np.uint8))
    short.add(0.3, np.ones((1, 1, 3), np.uint8))
    assert [int(picture[0, 0, 0]) for picture in short.pictures()] == [0, 1]


def test_times_that_a_container_rounded_to_milliseconds_are_of_the_frames_that_they_stand_for():
    past = Past(3, 12.0)
    for number in range(24):  # 24 frames per second, as Matroska has them: the last at 0.958 s, the 21st at 0.875
        past.add(round(number / 24, 3), np.full((1, 1, 3), number, np.uint8))
    assert [int(picture[0, 0, 0]) for picture in past.pictures()] == [19, 21, 23]


def test_without_a_rate_frames_follow_each_other():
    past = Past(2, None)
    for number in range(5):
        past.add(number / 7, np.full((1, 1, 3), number, np.uint8))
    assert [int(picture[0, 0, 0]) for picture in past.pictures()] == [3, 4]


def test_what_is_made_is_shown_at_the_rate_of_the_source():
    assert list(islice(at_rate(iter(range(1, 100)), 0.4, 1.0), 6)) == [1, 1, 2, 2, 2, 3]
    assert list(islice(at_rate(iter(range(1, 100)), 2.5, 1.0), 4)) == [3, 5, 8, 10]
    assert list(islice(at_rate(iter(range(1, 100)), 1.0, 1.0), 3)) == [1, 2, 3]


def test_a_model_of_half_the_rate_makes_every_frame_twice(tiny, bar_video, tmp_path):
    model, card = load(tiny.model)
    save(tmp_path / "slow", model, card.model_copy(update={"fps": 6.25}))
    continue_video(bar_video, tmp_path / "out.mp4", tmp_path / "slow", 6)
    made = pictures(tmp_path / "out.mp4")[12:].astype(int)
    change = np.abs(np.diff(made, axis=0)).mean(axis=(1, 2, 3))
    assert (change[[0, 2, 4]] < 4).all()
    assert (change[[1, 3]] > 15).all()


def test_more_detail_than_in_training_is_a_matter_of_size(tiny, bar_video, tmp_path):
    seen = []

    class Looks(nn.Module):
        def forward(self, frames, state=None):
            seen.append(tuple(frames.shape))
            return frames, state

    card = load(tiny.model)[1]
    picture = np.zeros((32, 48, 3), np.uint8)
    next(continuation(Looks(), card, [picture] * 2, torch.device("cpu"), 16))
    assert seen[-1] == (1, 2, 1, 16, 16)  # the tiny model's frames were stretched; before it, memory was estimated
    next(continuation(Looks(), card.model_copy(update={"fit": "crop"}), [picture] * 2, torch.device("cpu"), 16))
    assert seen[-1] == (1, 2, 1, 16, 24)


def test_a_gray_model_continues_a_colour_video_in_colour(tiny, tmp_path, caplog):
    frames = [np.full((16, 16, 3), (200, 40, 40), np.uint8)] * 4
    write_video(tmp_path / "in.mp4", frames, 10.0)
    continue_video(tmp_path / "in.mp4", tmp_path / "out.mp4", tiny.model, 1)
    assert "gray" not in caplog.text
    red, green, blue = pictures(tmp_path / "out.mp4")[-1].reshape(-1, 3).astype(int).T
    assert (red - np.maximum(green, blue)).min() > 120


def test_mistakes_are_said_before_any_work(tiny, bar_video, tmp_path):
    with pytest.raises(PipelineError, match="is the source itself"):
        continue_video(bar_video, bar_video, tiny.model, 1)
    with pytest.raises(VideoError, match=r"should end in \.mp4"):
        continue_video(bar_video, tmp_path / "out.avi", tiny.model, 1)
    with pytest.raises(ModelError, match="holds no model"):
        continue_video(bar_video, tmp_path / "out.mp4", tmp_path, 1)
    with pytest.raises(VideoError, match=r"no\.mp4"):
        continue_video(tmp_path / "no.mp4", tmp_path / "out.mp4", tiny.model, 1)
    model, card = load(tiny.model)
    noise = Translation(source=None, target=None, degradation="noise", strength=25.0, seed=0)
    save(tmp_path / "translator", model, card.model_copy(update={"task": "translate", "translation": noise}))
    with pytest.raises(ModelError, match="made to translate"):
        continue_video(bar_video, tmp_path / "out.mp4", tmp_path / "translator", 1)
    assert not list(tmp_path.glob("*.mp4"))


def test_a_model_is_loaded_once_until_it_changes(tiny, tmp_path):
    model_dir = tmp_path / "model"
    shutil.copytree(tiny.model, model_dir)
    first = load_model(model_dir)[0]
    assert load_model(model_dir)[0] is first
    model, card = load(model_dir)
    save(model_dir, model, card.model_copy(update={"data": "other"}))
    again, fresh, _ = load_model(model_dir)
    assert again is not first
    assert fresh.data == "other"


def test_models_and_videos_are_described(tiny, bar_video):
    facts = describe_model(tiny.model)
    assert facts["frames"] == "8 x 8 pixels, gray, stretched, frames a second as the videos have"
    assert facts["task"] == "predict, 3 frames given, 4 made at a time in training"
    parameters = sum(parameter.numel() for parameter in load(tiny.model)[0].parameters())
    assert facts["generator"] == f"convlstm, {parameters:,} parameters"
    assert describe_video(bar_video) == {
        "picture": "8 x 8 pixels",
        "frame rate": "12.5 frames a second",
        "length": "0.96 seconds",
    }
