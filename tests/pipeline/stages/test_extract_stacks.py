"""Stacks of pictures and episodes of LeRobot data sets: the right pixels, times and counts."""

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from pipeline.errors import PipelineError
from pipeline.ingest.folder import list_folder
from tests.corpus.build import Encoding, encode, level
from tests.corpus.sources import squares, write_lerobot
from tests.pipeline.stages.sources import SIDE, extracted, folder_of, greys_of, reason_of

pytestmark = pytest.mark.usefixtures("read")


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
