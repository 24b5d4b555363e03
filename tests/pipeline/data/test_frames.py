import numpy as np
import pandas as pd
import pytest

from pipeline.data.frames import COLUMNS, FrameStore, write_array, write_index
from pipeline.errors import DataError


def row(path, **values):
    return dict.fromkeys(COLUMNS) | {"path": path, "status": "ok", "reason": "", "sha256": "", "array": ""} | values


def frames(count, value=0):
    return np.arange(count * 6, dtype=np.uint8).reshape(count, 2, 3, 1) + np.uint8(value)


def test_the_store_loads_videos_that_have_frames_memory_mapped(tmp_path):
    write_array(tmp_path / "one.npy", frames(5))
    write_array(tmp_path / "two.npy", frames(4, value=100))
    write_index(
        tmp_path,
        [
            row("b/2.mp4", status="damaged", stored_frames=4, array="two.npy", num_frames=4, fps=10.0),
            row("a/1.mp4", stored_frames=5, array="one.npy"),
            row("a/x.txt", status="skipped", reason="not a video", stored_frames=0),
        ],
    )
    store = FrameStore(tmp_path)

    assert store.videos == ["a/1.mp4", "b/2.mp4"]
    assert store.frame_shape == (1, 2, 3)
    loaded = store.load("b/2.mp4")
    assert isinstance(loaded, np.memmap)
    assert (loaded == frames(4, value=100)).all()
    assert store.index.loc["a/x.txt", "reason"] == "not a video"
    assert store.index.loc["b/2.mp4", "fps"] == 10.0
    assert store.index.loc["a/1.mp4", "num_frames"] is pd.NA


def test_names_that_look_like_missing_values_or_break_lines_survive(tmp_path):
    names = ["NA", "null", "a,b.mp4", 'q"uote.mp4', " leading.mp4", "zé.mp4"]
    write_index(tmp_path, [row(name, stored_frames=1) for name in names])
    assert FrameStore(tmp_path).videos == sorted(names)


def test_a_folder_without_an_index_says_what_to_run(tmp_path):
    with pytest.raises(DataError, match="run the extract stage first"):
        FrameStore(tmp_path)


def test_a_store_without_videos_has_no_frame_shape(tmp_path):
    write_index(tmp_path, [row("a.txt", status="skipped", stored_frames=0)])
    with pytest.raises(DataError, match="holds no video"):
        _ = FrameStore(tmp_path).frame_shape


def test_a_damaged_index_and_arrays_that_lie_elsewhere_are_one_line_that_says_what_to_do(tmp_path):
    write_index(
        tmp_path, [row("a.mp4", stored_frames=1, array="../a.npy"), row("b.mp4", stored_frames=1, array="b.npy")]
    )
    store = FrameStore(tmp_path)
    with pytest.raises(DataError, match=r"a\.mp4 lies outside the store \(\.\./a\.npy\); remove it and run `dvc"):
        store.load("a.mp4")
    (tmp_path / "b.npy").write_bytes(b"no array")
    with pytest.raises(DataError, match=r"b\.npy: cannot be read .*remove it and run `dvc repro extract`"):
        store.load("b.mp4")
    whole = (tmp_path / "index.csv").read_bytes()
    for damaged in (
        whole.replace(b",1,", b",one,"),
        whole.replace(b"a.mp4", b"\xff.mp4"),
        whole.replace(b"b.mp4", b"b,,"),
    ):
        (tmp_path / "index.csv").write_bytes(damaged)
        with pytest.raises(DataError, match=r"index\.csv: is damaged .*remove it and run `dvc repro extract`"):
            _ = FrameStore(tmp_path).index
