import numpy as np
import pytest

from pipeline.errors import PipelineError, VideoError
from pipeline.frames import FrameStore
from pipeline.params import ExtractParams
from pipeline.stages.extract import extract, resample, resize
from pipeline.video import write_video


def params(**changes):
    values = {"fps": None, "size": (8, 8), "fit": "stretch", "color": "gray", "on_error": "skip"}
    return ExtractParams(**(values | changes))


def greys(count, start=0):
    """Frames of one grey each: 10 x (start + i)."""
    return [np.full((16, 16, 3), 10 * (start + i), dtype=np.uint8) for i in range(count)]


def test_every_file_gets_a_row_and_every_video_its_frames(tmp_path):
    write_video(tmp_path / "in/train/a.mp4", greys(5), fps=10)
    write_video(tmp_path / "in/b.mp4", greys(3, start=10), fps=10)
    (tmp_path / "in/notes.txt").write_text("not a video")

    extract(tmp_path / "in", tmp_path / "out", extract=params())

    store = FrameStore(tmp_path / "out")
    assert store.index["path"].tolist() == ["b.mp4", "notes.txt", "train/a.mp4"]
    assert store.index["status"].tolist() == ["ok", "skipped", "ok"]
    frames = store.load("train/a.mp4")
    assert frames.shape == (5, 8, 8, 1)
    assert np.abs(frames[:, 4, 4, 0].astype(int) - [0, 10, 20, 30, 40]).max() <= 2
    row = store.index.loc["train/a.mp4"]
    assert (row["num_frames"], row["fps"], row["height"], row["width"]) == (5, 10.0, 16, 16)
    assert row["duration_seconds"] == pytest.approx(0.5)


def test_a_file_that_cannot_be_read_stops_the_stage_if_asked(tmp_path):
    write_video(tmp_path / "in/a.mp4", greys(2), fps=10)
    (tmp_path / "in/notes.txt").write_text("not a video")
    with pytest.raises(VideoError, match=r"notes\.txt"):
        extract(tmp_path / "in", tmp_path / "out", extract=params(on_error="fail"))


def test_no_folder_says_where_it_is_named(tmp_path):
    with pytest.raises(PipelineError, match=r"data\.videos"):
        extract(tmp_path / "in", tmp_path / "out", extract=params())


def test_resample_takes_the_frame_on_show():
    times = [0.0, 0.1, 0.5, 0.6]  # of variable rate
    shown = list(resample(((t, t) for t in times), fps=5.0))
    assert shown == [0.0, 0.1, 0.1, 0.6]  # at 0, 0.2, 0.4, 0.6


def test_fit_crops_pads_or_stretches():
    image = np.zeros((4, 8, 3), dtype=np.uint8)
    image[:, 2:6] = 200
    assert (resize(image, (4, 4), "crop", "gray") == 200).all()
    assert resize(image, (8, 8), "pad", "gray")[:, 4, 0].tolist() == [0, 0, 200, 200, 200, 200, 0, 0]
    assert resize(image, (4, 4), "stretch", "rgb")[0, :, 0].tolist() == [0, 200, 200, 0]
