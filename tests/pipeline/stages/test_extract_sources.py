"""Arrays, stacks, data sets and lists go through the stage with the right pixels, times and counts."""

import importlib
import json
import shutil
from contextlib import contextmanager, nullcontext
from dataclasses import asdict

import cv2
import h5py
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from pipeline.data.frames import FrameStore, faults
from pipeline.errors import DataError, PipelineError
from pipeline.ingest import video_job, workers
from pipeline.ingest.folder import list_folder
from pipeline.stages.extract import extract
from pipeline.video import write_video
from tests.conftest import data_in
from tests.corpus.build import Encoding, encode, level
from tests.corpus.sources import squares, write_lerobot
from tests.pipeline.stages.test_extract import params, store_bytes

SIDE = 16


@pytest.fixture(autouse=True)
def read(request, monkeypatch):
    """The paths that were read, in this process; with the mark `processes` workers do it as in real life."""
    paths = []
    original = workers.local

    def as_json(value):
        return json.loads(json.dumps(asdict(value)))

    @contextmanager
    def here(task, count):
        module = importlib.import_module(task.module)
        job_type, outcome_type = getattr(module, task.job_type), getattr(module, task.outcome_type)

        def run(jobs):
            for number, job in enumerate(jobs):
                outcome = getattr(module, task.function)(job_type(**as_json(job)), lambda: None, lambda: 0)
                yield number, outcome_type(**as_json(outcome))

        with original(task, count) if "in_processes" in request.fixturenames else nullcontext(run) as do:

            def noted(jobs):
                paths.extend(job.paths[0] for job in jobs if task.module == video_job.__name__)
                return do(jobs)

            yield noted

    monkeypatch.setattr(workers, "local", here)
    return paths


@pytest.fixture
def in_processes():
    """Worker processes read, as in real life; it takes seconds."""


def extracted(tmp_path, videos="in", roots=(), **changes):
    wanted = params(**({"size": (SIDE, SIDE)} | changes))
    extract(tmp_path / "out", data=data_in(tmp_path / videos, *roots), extract=wanted)
    return FrameStore(tmp_path / "out")


def folder_of(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def reason_of(store, name):
    row = store.index.loc[name]
    assert (row["status"], row["stored_frames"]) == ("skipped", 0)
    return row["reason"]


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


# stacks


def deep(count=5):
    return (np.arange(count * SIDE * SIDE).reshape(count, SIDE, SIDE) % 256 * 257).astype(np.uint16)


STACKS = {
    "plain": {"photometric": "minisblack"},
    "zlib": {"photometric": "minisblack", "compression": "zlib"},
    "tiled": {"photometric": "minisblack", "tile": (16, 16)},
    "big": {"photometric": "minisblack", "bigtiff": True},
    "turned": {"photometric": "minisblack", "byteorder": ">"},
}


@pytest.mark.parametrize("case", STACKS)
@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_of_several_pages_is_a_video(tmp_path, case, bits):
    frames = deep() if bits == 16 else (deep() >> 8).astype(np.uint8)
    tifffile.imwrite(folder_of(tmp_path) / "a.tif", frames, **STACKS[case])
    store = extracted(tmp_path)
    np.testing.assert_array_equal(store.load("a.tif")[..., 0], deep() >> 8)
    assert store.index.loc["a.tif", "codec"] == f"tiff uint{bits}"


def test_a_tiff_that_only_opencv_can_unpack_is_read_by_it(tmp_path):
    pictures = [Image.fromarray((frame >> 8).astype(np.uint8)) for frame in deep(20)]
    pictures[0].save(folder_of(tmp_path) / "a.tiff", save_all=True, append_images=pictures[1:], compression="tiff_lzw")
    np.testing.assert_array_equal(extracted(tmp_path).load("a.tiff")[..., 0], deep(20) >> 8)


def test_white_as_zero_and_palettes_are_shown_as_a_viewer_shows_them(tmp_path):
    folder = folder_of(tmp_path)
    frames = (deep() >> 8).astype(np.uint8)
    tifffile.imwrite(folder / "white.tif", frames, photometric="miniswhite")
    colours = np.stack([np.arange(256), np.arange(256)[::-1], np.zeros(256)]).astype(np.uint16) * 257
    tifffile.imwrite(folder / "palette.tif", frames, photometric="palette", colormap=colours)
    store = extracted(tmp_path, color="rgb")
    np.testing.assert_array_equal(store.load("white.tif")[..., 0], 255 - frames)
    np.testing.assert_array_equal(store.load("palette.tif"), np.stack([frames, 255 - frames, frames * 0], axis=-1))


def test_the_time_between_the_pictures_of_imagej_counts(tmp_path):
    metadata = {"axes": "TYX", "finterval": 0.5}
    tifffile.imwrite(folder_of(tmp_path) / "a.tif", deep(), imagej=True, metadata=metadata)
    row = extracted(tmp_path).index.loc["a.tif"]
    assert (row["fps"], row["duration_seconds"]) == (2.0, 2.5)


def test_a_stack_in_more_than_one_way_is_refused(tmp_path):
    folder = folder_of(tmp_path)
    np.save(folder / "good.npy", squares(1, 3)[0])
    tifffile.imwrite(folder / "a.tif", np.stack([deep()] * 3), imagej=True, metadata={"axes": "TZYX"})
    assert "3 along T, 5 along Z" in reason_of(extracted(tmp_path), "a.tif")


def test_a_page_that_is_a_thumbnail_makes_no_stack_of_numbered_pictures(tmp_path):
    folder = folder_of(tmp_path)
    for number, frame in enumerate((deep() >> 8).astype(np.uint8)):
        with tifffile.TiffWriter(folder / f"f{number}.tif") as file:
            file.write(frame, photometric="minisblack", metadata=None)
            file.write(frame[::4, ::4], photometric="minisblack", subfiletype=1, metadata=None)
    (entry,) = list_folder(folder)
    assert (entry.is_sequence, len(entry.paths)) == (True, 5)


def test_numbered_stacks_are_videos_each_and_no_sequence_of_first_pages(tmp_path):
    folder = folder_of(tmp_path)
    for number in (1, 2):
        tifffile.imwrite(folder / f"f{number}.tif", squares(3, 5)[number], photometric="minisblack")
    store = extracted(tmp_path)
    assert store.videos == ["f1.tif", "f2.tif"]
    np.testing.assert_array_equal(store.load("f2.tif")[..., 0], squares(3, 5)[2])


def test_an_animated_webp_has_the_times_of_its_durations(tmp_path):
    pictures = [Image.fromarray(np.full((SIDE, SIDE, 3), level(number), np.uint8)) for number in range(5)]
    durations = [100, 200, 50, 1, 300]  # a browser shows what is shorter than 11 ms for a tenth of a second
    file = folder_of(tmp_path) / "a.webp"
    pictures[0].save(file, save_all=True, append_images=pictures[1:], duration=durations, lossless=True)
    store = extracted(tmp_path, fps=20.0)
    row = store.index.loc["a.webp"]
    assert (row["num_frames"], row["duration_seconds"], row["codec"]) == (5, pytest.approx(0.75), "webp")
    shown = [0, 0, 1, 1, 1, 1, 2, 3, 3, 4, 4, 4, 4, 4, 4]  # at 0, 0.05, 0.1 …
    assert store.load("a.webp")[:, 3, 3, 0].tolist() == [level(number) for number in shown]


def test_what_is_transparent_in_a_webp_lies_on_black(tmp_path):
    first, second = (np.full((SIDE, SIDE, 4), 200, np.uint8) for _ in range(2))
    first[:8, :, 3], second[:, :, 3] = 0, 128
    pictures = [Image.fromarray(picture) for picture in (first, second)]
    pictures[0].save(folder_of(tmp_path) / "a.webp", save_all=True, append_images=pictures[1:], lossless=True)
    frames = extracted(tmp_path).load("a.webp")[:, :, 3, 0].astype(int)
    assert (frames[0, 3], frames[0, 12]) == (0, round(200 * 200 / 255))
    assert abs(frames[1, 12] - round(200 * 128 / 255)) <= 1


def test_an_animated_png_is_one_among_numbered_pictures(tmp_path):
    folder = folder_of(tmp_path)
    animation = cv2.Animation()
    animation.frames = [np.full((SIDE, SIDE, 3), level(number), np.uint8) for number in range(4)]
    animation.durations = np.array([100, 200, 100, 100])
    assert cv2.imwriteanimation(str(folder / "f1.png"), animation)
    cv2.imwrite(str(folder / "f2.png"), animation.frames[0])
    store = extracted(tmp_path)
    assert store.index.loc["f1.png", "num_frames"] == 4
    assert store.index.loc["f1.png", "duration_seconds"] == pytest.approx(0.5)
    assert store.load("f1.png")[:, 3, 3, 0].tolist() == [level(number) for number in range(4)]


# LeRobot


def greys_of(store, video):
    return [round((int(grey) - 50) / 20) for grey in store.load(video)[:, 12, 12, 0]]


def test_an_episode_of_a_lerobot_data_set_is_a_video(tmp_path):
    write_lerobot(tmp_path / "in/push", [4, 3, 2])
    store = extracted(tmp_path)
    names = [f"push/episode_{number:06}" for number in range(3)]
    assert store.index["path"].tolist() == names
    assert [greys_of(store, name) for name in names] == [[0, 1, 2, 3], [4, 5, 6], [7, 8]]
    row = store.index.loc[names[1]]
    assert (row["num_frames"], row["fps"], row["duration_seconds"]) == (3, pytest.approx(10), pytest.approx(0.3))
    assert (row["height"], row["width"], row["codec"], row["split"]) == (64, 64, "libdav1d", "train")


def test_the_camera_of_a_lerobot_data_set_is_chosen(tmp_path):
    write_lerobot(tmp_path / "in", [3, 3], ("observation.images.top", "observation.images.wrist"))
    with pytest.raises(PipelineError, match=r"2 cameras: write one of observation.images.top, .* as extract.camera"):
        extracted(tmp_path)
    store = extracted(tmp_path, camera="wrist")
    assert [greys_of(store, name) for name in store.videos] == [[3, 4, 5], [6, 7, 8]]
    with pytest.raises(PipelineError, match=r"has no camera left"):
        extracted(tmp_path, camera="left")


def test_an_episode_that_has_not_its_frames_is_damaged_and_one_without_video_refused(tmp_path):
    write_lerobot(tmp_path / "in/a", [3, 3])
    write_lerobot(tmp_path / "in/b", [3, 3])
    video = "videos/observation.images.top/chunk-000/file-000.mp4"
    encode(tmp_path / "in/a" / video, Encoding(num_frames=5, size=(64, 64), first=1))
    (tmp_path / "in/b" / video).unlink()
    index = extracted(tmp_path).index
    assert index["status"].tolist() == ["ok", "damaged", "skipped", "skipped"]
    assert index.loc["a/episode_000001", "reason"] == "has 2 of the 3 frames that it should have"
    assert index.loc["b/episode_000000", "reason"] == f"its video {video} is missing"


# lists


def test_a_list_says_which_files_count_from_when_to_when_and_in_which_split(tmp_path):
    folder = tmp_path / "archive"
    for name in ("a.mp4", "deep/b.mp4", "unlisted.mp4"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        encode(folder / name, Encoding(num_frames=10, first=len(name)))
    np.save(folder / "c.npy", squares(4, 6))
    rows = [
        "path,split,start_seconds,stop_seconds,label",
        "a.mp4,train,0.2,0.5,x",
        "a.mp4,train,0.7,,y",
        "a.mp4,train,,0.3,",
    ]
    rows += ["deep/b.mp4,test,,,z", "c.npy,validation,,,", "gone.mp4,train,,,"]
    (folder / "list.csv").write_text("\n".join(rows) + "\n")
    store = extracted(tmp_path, "archive/list.csv")
    splits = dict(zip(store.index["path"], store.index["split"], strict=True))
    assert splits == {
        "a.mp4#t=,0.3": "train",
        "a.mp4#t=0.2,0.5": "train",
        "a.mp4#t=0.7": "train",
        "c.npy/0": "val",
        "c.npy/1": "val",
        "c.npy/2": "val",
        "c.npy/3": "val",
        "deep/b.mp4": "test",
        "gone.mp4": "train",
    }
    assert [greys_of(store, name) for name in store.videos[:3]] == [[5, 6, 7], [7, 8, 9], [2, 3, 4]]
    assert store.index.loc["a.mp4#t=0.2,0.5", "duration_seconds"] == pytest.approx(0.3)
    assert "No such file" in reason_of(store, "gone.mp4")


@pytest.mark.parametrize("suffix", ["tsv", "jsonl", "parquet"])
def test_a_list_may_be_what_pandas_reads(tmp_path, suffix):
    import pandas as pd

    write_video(tmp_path / "in/a.mp4", [np.full((SIDE, SIDE, 3), 9 * n, np.uint8) for n in range(6)], 10)
    table = pd.DataFrame({"path": ["a.mp4"], "start_seconds": [0.2], "stop_seconds": [None]})
    path = tmp_path / f"in/list.{suffix}"
    if suffix == "tsv":
        table.to_csv(path, sep="\t", index=False)
    elif suffix == "jsonl":
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_parquet(path)
    store = extracted(tmp_path, f"in/list.{suffix}")
    assert store.index["num_frames"].tolist() == [4]
    assert store.videos == ["a.mp4#t=0.2"]


MISTAKES = {
    "file,split\na.mp4,train\n": "has no column path",
    "path\n": "lists no video",
    "path,split\na.mp4,holdout\n": "row 1: split is holdout; wanted is train, val or test",
    "path,start_seconds,stop_seconds\na.mp4,1,2\na.mp4,3,2\n": r"row 2: stop_seconds \(2\) is not after",
    "path,start_seconds\na.mp4,soon\n": "row 1: start_seconds is soon; wanted is a number",
    "path,split\na.mp4,train\na.mp4,test\n": "a.mp4 is in two splits",
    "path\nhttps://example.org/a.mp4\n": "is an address",
    "path,target\na.mp4,b.mp4\nc.mp4,\n": "some rows have a target",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_in_a_list_is_one_line(tmp_path, text):
    (folder_of(tmp_path) / "list.csv").write_text(text)
    with pytest.raises(DataError, match=MISTAKES[text]):
        extracted(tmp_path, "in/list.csv")


def test_a_list_may_name_files_under_an_allowed_root_and_nowhere_else(tmp_path):
    for name in ("in", "store", "other"):
        (tmp_path / name).mkdir()
    np.save(tmp_path / "store/a.npy", squares(1, 3)[0])
    np.save(tmp_path / "other/b.npy", squares(2, 3)[1])
    (tmp_path / "in/list.csv").write_text(f"path\n{tmp_path}/store/a.npy\n../other/b.npy\n")
    store = extracted(tmp_path, "in/list.csv", roots=[tmp_path / "store"])
    inside, outside = sorted(store.index["path"], key=lambda name: name.endswith("b.npy"))
    assert (store.videos, inside) == ([inside], f"{tmp_path}/store/a.npy"[1:])
    assert "nowhere under data.roots" in reason_of(store, outside)


def test_targets_of_a_list_become_pairs_in_two_folders(tmp_path):
    folder = folder_of(tmp_path)
    for number, name in enumerate(("day/a", "day/b", "night/x", "night/y")):
        (folder / name).parent.mkdir(exist_ok=True)
        np.save(folder / f"{name}.npy", squares(5, 6)[number])
    (folder / "list.csv").write_text("path,target\nday/a.npy,night/x.npy\nday/b.npy,night/y.npy\n")
    store = extracted(tmp_path, "in/list.csv")
    assert store.videos == [f"{side}/day/{name}.npy" for side in ("source", "target") for name in "ab"]
    np.testing.assert_array_equal(store.load("target/day/b.npy")[..., 0], squares(5, 6)[3])


def test_a_single_file_may_stand_for_the_folder(tmp_path):
    np.save(folder_of(tmp_path) / "a.npy", squares(4, 6))
    np.save(tmp_path / "in/b.npy", squares(5, 6)[4])
    assert extracted(tmp_path, "in/a.npy").videos == [f"a.npy/{number}" for number in range(4)]
