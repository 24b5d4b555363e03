"""Arrays go through the stage with the right pixels, times and counts."""

import shutil

import h5py
import numpy as np
import pytest
import zarr

from pipeline.data.frames import FrameStore, faults
from pipeline.stages.extract import extract
from tests.conftest import data_in
from tests.corpus.sources import squares
from tests.pipeline.stages.sources import SIDE, extracted, folder_of, reason_of
from tests.pipeline.stages.test_extract import params, store_bytes

pytestmark = pytest.mark.usefixtures("read")

LAYOUTS = {
    "NTHW": lambda array: array,
    "TNHW": lambda array: array.transpose(1, 0, 2, 3),
    "NTHWC": lambda array: np.repeat(array[..., None], 3, axis=-1),
    "NTCHW": lambda array: np.repeat(array[:, :, None], 3, axis=2),
    "TNHWC": lambda array: array.transpose(1, 0, 2, 3)[..., None],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_sequence_of_an_array_is_a_video_whichever_axis_is_time(tmp_path, layout):
    sequences = squares(12, 10)
    np.save(folder_of(tmp_path) / "a.npy", LAYOUTS[layout](sequences))
    store = extracted(tmp_path)
    assert store.videos == [f"a.npy/{number:02}" for number in range(12)]
    for number, video in enumerate(store.videos):
        np.testing.assert_array_equal(store.load(video)[..., 0], sequences[number])
    row = store.index.loc["a.npy/07"]
    assert (row["num_frames"], row["fps"], row["height"], row["width"]) == (10, 25.0, SIDE, SIDE)
    assert (row["duration_seconds"], row["codec"]) == (pytest.approx(0.4), "npy uint8")
    assert list(faults(tmp_path / "out")) == []


def test_single_videos_keep_the_name_of_their_file(tmp_path):
    folder = folder_of(tmp_path)
    video = squares(1, 6)[0]
    np.save(folder / "gray.npy", video)
    np.save(folder / "colour.npy", np.stack([video, video // 2, video * 0], axis=-1))
    np.save(folder / "first.npy", np.stack([video * 0, video, video // 2], axis=1))  # T, C, H, W
    store = extracted(tmp_path, color="rgb")
    assert store.videos == ["colour.npy", "first.npy", "gray.npy"]
    np.testing.assert_array_equal(store.load("colour.npy"), np.stack([video, video // 2, video * 0], axis=-1))
    np.testing.assert_array_equal(store.load("first.npy"), np.stack([video * 0, video, video // 2], axis=-1))
    np.testing.assert_array_equal(store.load("gray.npy"), np.repeat(video[..., None], 3, axis=-1))


def test_npz_hdf5_and_zarr_hold_named_arrays_and_what_is_no_video_is_left_out(tmp_path, in_processes):
    folder = folder_of(tmp_path)
    sequences = squares(9, 6)
    np.savez(folder / "plain.npz", clips=sequences[[0, 1, 2, 8]], labels=np.arange(4))
    np.savez_compressed(folder / "packed.npz", clips=sequences[3:5], more=sequences[5])
    with h5py.File(folder / "b.h5", "w") as file:
        file.create_dataset("group/clip", data=sequences[6], compression="gzip")
        file.create_dataset("labels", data=np.arange(4))
    array = zarr.open(store=str(folder / "c.zarr"), mode="w", shape=sequences[7].shape, chunks=(2, 9, 9), dtype="u1")
    array[:] = sequences[7]
    store = extracted(tmp_path)
    expected = {f"plain.npz/clips/{n}": sequence for n, sequence in enumerate((0, 1, 2, 8))}
    expected |= {"packed.npz/clips/0": 3, "packed.npz/clips/1": 4, "packed.npz/more": 5, "b.h5": 6, "c.zarr": 7}
    assert store.videos == sorted(expected)
    assert len(store.index) == len(expected)
    for video, number in expected.items():
        np.testing.assert_array_equal(store.load(video)[..., 0], sequences[number])
    assert store.index.loc["c.zarr", "codec"] == "zarr uint8"


RANGES = {
    "bytes as integers": (np.int64, lambda x: x, None),
    "0 to 1": (np.float32, lambda x: x / 255, None),
    "-1 to 1": (np.float64, lambda x: x / 127.5 - 1, None),
    "0 to 255": (np.float32, lambda x: x, None),
    "16 bits": (np.uint16, lambda x: x * 257.0, None),
    "big-endian": (">u2", lambda x: x * 257.0, None),
    "12 bits, stated": (np.uint16, lambda x: np.rint(x * 4095 / 255), (0.0, 4095.0)),
    "negative, stated": (np.int16, lambda x: x * 4.0 - 510, (-510.0, 510.0)),
    "half": (np.float16, lambda x: x / 255, None),
}


@pytest.mark.parametrize("case", RANGES)
def test_values_become_levels_by_their_range(tmp_path, case):
    dtype, change, stated = RANGES[case]
    levels = np.arange(6 * SIDE * SIDE).reshape(6, SIDE, SIDE) % 256
    np.save(folder_of(tmp_path) / "a.npy", change(levels).astype(dtype))
    frames = extracted(tmp_path, array_range=stated).load("a.npy")[..., 0]
    assert np.abs(frames.astype(int) - levels).max() <= (1 if case == "half" else 0)


def bright(height, width, num_frames):
    """A square that goes right over a picture of many small ones, as MATLAB saves it: (H, W, T)."""
    picture = np.kron(np.random.default_rng(0).integers(30, 220, (height // 4 + 1, width // 4 + 1)), np.ones((4, 4)))
    frames = picture[:height, :width, None].repeat(num_frames, axis=2).astype(np.uint8)
    for t in range(num_frames):
        frames[8:16, t : t + 8, t] = 255
    return frames


UNCLEAR = {
    "12 bits": (np.full((4, 9, 9), 4000, np.uint16), "from 4000 to 4000 (uint16).*extract.array_range.*4095"),
    "a mask": (np.eye(9, dtype=np.uint8)[None].repeat(4, 0), "from 0 to 1 (uint8).*array_range"),
    "radar": (np.full((4, 9, 9), 9.5, np.float32), "from 9.5 to 9.5 (float32).*array_range"),
    "holes": (np.full((4, 9, 9), np.nan, np.float32), "nan.*array_range.*not finite as black"),
    "below zero": (np.full((4, 9, 9), -3, np.int32), "from -3 to -3 (int32).*array_range"),
    "complex": (np.full((4, 9, 9), 1j), "holds complex128"),
    "pickled": (np.full((4, 9, 9), None, object), "pickled.*never loaded"),
    "labels": (np.arange(9), r"shape (9,) is no video"),
    "one picture": (np.zeros((40, 30, 3), np.uint8), r"shape (40, 30, 3) is one picture"),
    "noise": (np.random.default_rng(0).integers(0, 255, (5, 6, 9, 9), np.uint8), "axes cannot be told.*NTHW or TNHW"),
    "three": (squares(3, 6), "axes cannot be told.*NTHW or CTHW"),
    "time last": (bright(64, 80, 20), r"told from shape (64, 80, 20).*extract.array_axes (THW or HWT)"),
    "time last, square": (bright(48, 48, 90), r"told from shape (48, 48, 90).*extract.array_axes (THW or HWT)"),
    "time before colours": (bright(64, 80, 20)[..., None].repeat(3, -1), "extract.array_axes (THWC or HWTC)"),
    "time after colours": (bright(64, 80, 20)[:, :, None].repeat(3, 2), "extract.array_axes (HWCT or NTHW)"),
    "nothing": (np.zeros((0, 9, 9), np.uint8), r"no whole frame"),
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_what_cannot_be_told_is_said_and_not_guessed(tmp_path, case):
    array, expected = UNCLEAR[case]
    folder = folder_of(tmp_path)
    np.save(folder / "a.npy", array)
    np.save(folder / "good.npy", squares(1, 3)[0])
    reason = reason_of(extracted(tmp_path), "a.npy")
    position = 0
    for words in expected.split(".*"):
        position = reason.find(words, position)
        assert position >= 0, reason


def test_of_a_file_without_a_video_the_largest_array_says_why(tmp_path):
    # PDEBench's layout: coordinates stand before `tensor`, and one of several batches is as long as colours are many
    np.savez(folder_of(tmp_path) / "a.npz", axis=np.arange(6), tensor=squares(3, 6))
    np.save(tmp_path / "in/good.npy", squares(1, 3)[0])
    assert reason_of(extracted(tmp_path), "a.npz").startswith("tensor: its axes cannot be told from shape (3, 6, ")


def test_an_array_that_may_be_a_video_is_told_of_beside_those_that_are(tmp_path):
    (tmp_path / "in").mkdir()
    np.savez(tmp_path / "in/d.npz", X_train=squares(6, 10), X_val=squares(3, 10), labels=np.arange(6))
    extract(tmp_path / "out", data=data_in(tmp_path / "in"), extract=params())
    index = FrameStore(tmp_path / "out").index
    assert index["status"].value_counts().to_dict() == {"ok": 6, "skipped": 1}
    assert index.loc["d.npz", "reason"].startswith("X_val: its axes cannot be told from shape (3, 10, 16, 16)")


def test_time_may_be_the_last_axis_where_that_is_said(tmp_path):
    frames = bright(SIDE, 80, 20)[:, :SIDE]
    np.save(folder_of(tmp_path) / "a.npy", frames)
    np.testing.assert_array_equal(
        extracted(tmp_path, array_axes="HWT").load("a.npy")[..., 0], frames.transpose(2, 0, 1)
    )


@pytest.mark.parametrize("shape", [(48, 64, 80), (20, 96, 40), (48, 48, 48), (10, 16, 9), (48, 48, 90)])
def test_an_array_of_frames_needs_no_word_on_its_axes(tmp_path, shape):
    num_frames, height, width = shape
    frames = bright(height, width + num_frames, num_frames)[:, :width].transpose(2, 0, 1)
    np.save(folder_of(tmp_path) / "a.npy", frames)
    assert extracted(tmp_path).index.loc["a.npy", "num_frames"] == num_frames


def test_stated_axes_settle_what_content_does_not(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (5, 6, SIDE, SIDE), np.uint8)
    np.save(folder_of(tmp_path) / "a.npy", noise)
    store = extracted(tmp_path, array_axes="TNHW")
    assert len(store.videos) == 6
    np.testing.assert_array_equal(store.load("a.npy/4")[..., 0], noise[:, 4])


def test_a_stated_range_leaves_bytes_as_they_are_and_shows_holes_black(tmp_path):
    folder = folder_of(tmp_path)
    np.save(folder / "bytes.npy", squares(1, 3)[0])
    holes = np.full((3, SIDE, SIDE), 3000.0)
    holes[1] = np.nan
    np.save(folder / "holes.npy", holes)
    store = extracted(tmp_path, array_range=(0.0, 6000.0))
    np.testing.assert_array_equal(store.load("bytes.npy")[..., 0], squares(1, 3)[0])
    assert [int(frame.max()) for frame in store.load("holes.npy")] == [128, 0, 128]


def test_only_new_content_is_read_again_when_arrays_come_go_and_grow(tmp_path, read):
    def num_read():
        before = len(read)
        extracted(tmp_path)
        return len(read) - before

    folder = folder_of(tmp_path)
    sequences = squares(20, 6)
    np.save(folder / "a.npy", sequences[:8])
    np.save(folder / "b.npy", sequences[8])
    assert num_read() == 9
    assert num_read() == 0
    np.save(folder / "c.npy", sequences[9:13])
    assert num_read() == 4
    np.save(folder / "a.npy", sequences[[0, 1, 2, 3, 4, 5, 6, 7, 15]])  # one more: the others are what they were
    assert num_read() == 1
    (folder / "c.npy").unlink()
    (folder / "b.npy").rename(folder / "z.npy")
    assert num_read() == 0
    assert FrameStore(tmp_path / "out").videos == [*(f"a.npy/{n}" for n in range(9)), "z.npy"]
    after = store_bytes(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    assert num_read() == 10
    assert store_bytes(tmp_path / "out") == after


def test_an_array_whose_file_breaks_off_gives_what_is_whole(tmp_path):
    folder = folder_of(tmp_path)
    for name, array in (("single.npy", squares(9, 6)[8]), ("many.npy", squares(5, 6))):
        np.save(folder / name, array)
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) - SIDE * SIDE - 5])
    store = extracted(tmp_path)
    assert store.videos == [*(f"many.npy/{number}" for number in range(4)), "single.npy"]
    assert reason_of(store, "many.npy") == "breaks off: 4 of 5 along its first axis are there"
    row = store.index.loc["single.npy"]
    assert (row["status"], row["stored_frames"]) == ("damaged", 4)
    assert row["reason"] == "breaks off: 4 of 6 along its first axis are there"


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.h5", "a.tif", "a.webp"])
def test_a_damaged_file_is_a_row_with_a_reason(tmp_path, name):
    folder = folder_of(tmp_path)
    np.save(folder / "good.npy", squares(1, 3)[0])
    (folder / name).write_bytes(bytes(range(256)) * 8)
    store = extracted(tmp_path)
    assert store.videos == ["good.npy"]
    assert reason_of(store, name)


def test_bytes_that_changed_in_a_packed_array_are_noticed(tmp_path):
    folder = folder_of(tmp_path)
    np.save(folder / "good.npy", squares(1, 3)[0])
    np.savez_compressed(folder / "a.npz", x=squares(2, 9))
    content = bytearray((folder / "a.npz").read_bytes())
    content[len(content) // 2] ^= 0x10
    (folder / "a.npz").write_bytes(bytes(content))
    assert reason_of(extracted(tmp_path), "a.npz")


def test_openstls_folder_of_arrays_keeps_its_split(tmp_path):
    folder = folder_of(tmp_path)
    sequences = squares(18, 6)
    for name, part in (("train", sequences[:8]), ("val", sequences[8:13]), ("test", sequences[13:])):
        np.save(folder / f"{name}.npy", part)
    index = extracted(tmp_path).index
    assert dict(zip(index["path"], index["split"], strict=True)) == {
        f"{name}.npy/{n}": name for name, count in (("train", 8), ("val", 5), ("test", 5)) for n in range(count)
    }


def test_three_sequences_of_a_split_are_no_colours(tmp_path):
    folder = folder_of(tmp_path)
    sequences = squares(12, 6)
    for name, part in (("train", sequences[:6]), ("val", sequences[6:9]), ("test", sequences[9:])):
        np.save(folder / f"{name}.npy", part)
    index = extracted(tmp_path).index
    assert index["split"].value_counts().to_dict() == {"train": 6, "val": 3, "test": 3}
    assert (index["status"] == "ok").all()
