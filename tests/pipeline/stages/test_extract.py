import numpy as np
import pytest

from pipeline.errors import PipelineError, VideoError
from pipeline.frames import FrameStore
from pipeline.params import ExtractParams
from pipeline.stages.extract import extract
from pipeline.video import write_video


def params(**changes):
    values = {"fps": None, "size": (8, 8), "fit": "stretch", "color": "gray", "on_error": "skip", "image_fps": 25.0}
    values |= {"max_pixels": 10**7, "max_seconds": 1000.0, "timeout_seconds": 30.0, "max_memory_mb": 2048}
    values |= {"executor": "local"}
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
