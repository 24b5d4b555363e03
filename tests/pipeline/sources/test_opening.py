import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import pipeline
from pipeline.cli import app
from pipeline.errors import VideoError
from pipeline.inference.output import write_frames
from pipeline.sources.opening import probe, read_frames
from tests.conftest import CONTEXT, moving_bar
from tests.corpus.build import HEIGHT, NUM_FRAMES, WIDTH, level, picture
from tests.corpus.sources import squares, write_lerobot
from tests.corpus.tagged import TAGGED


def test_a_sequence_is_named_by_its_number(tmp_path):
    sequences = squares(12, 10)
    np.save(tmp_path / "a.npy", sequences)
    for name in ("07", "7"):
        frames = list(read_frames(tmp_path / "a.npy" / name))
        np.testing.assert_array_equal([image[..., 1] for _, image in frames], sequences[7])
    assert [round(pts, 2) for pts, _ in frames[:3]] == [0, 0.04, 0.08]
    with pytest.raises(VideoError, match=r"a\.npy: holds 12 videos; name one of them, such as .*a\.npy/00$"):
        next(read_frames(tmp_path / "a.npy"))
    with pytest.raises(VideoError, match=r"holds no 12, but 00 to 11"):
        next(read_frames(tmp_path / "a.npy/12"))


def test_a_stack_says_what_it_is(tmp_path):
    pictures = [Image.fromarray(np.full((20, 30, 3), 60 * n, np.uint8)) for n in range(3)]
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:], duration=[100, 100, 300])
    info = probe(tmp_path / "a.webp")
    assert (info.height, info.width, info.fps, info.duration_seconds) == (20, 30, pytest.approx(6), pytest.approx(0.5))


def test_an_array_without_colours_is_written_without_them(tmp_path):
    gray = np.repeat(moving_bar(5, 0), 3, axis=-1)
    write_frames(tmp_path / "a.npy", gray)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), gray[..., 0])
    coloured = gray.copy()
    coloured[4, 0, 0] = (9, 8, 7)
    write_frames(tmp_path / "b.npy", coloured)
    np.testing.assert_array_equal(np.load(tmp_path / "b.npy"), coloured)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npy", "b.npy"]


def test_predict_takes_an_array_and_writes_one(tmp_path, tiny):
    np.save(tmp_path / "in.npy", moving_bar(CONTEXT + 2, 1)[..., 0])
    arguments = ["predict", str(tmp_path / "in.npy"), str(tmp_path / "out.npy"), "--frames", "4"]
    result = CliRunner().invoke(app, [*arguments, "--model", str(tiny.model)])
    assert result.exit_code == 0, result.output
    written = np.load(tmp_path / "out.npy")
    assert (written.shape, written.dtype) == ((CONTEXT + 6, 8, 8), np.uint8)
    np.testing.assert_array_equal(written[: CONTEXT + 2], moving_bar(CONTEXT + 2, 1)[..., 0])
    np.testing.assert_array_equal(written[CONTEXT + 2 :] > 127, moving_bar(4, CONTEXT + 3)[..., 0] > 127)


def test_python_reads_what_extraction_reads(tmp_path):
    np.save(tmp_path / "a.npy", squares(1, 10)[0])
    assert pipeline.probe(tmp_path / "a.npy").num_frames == 10
    frames = [image[..., 0] for _, image in pipeline.read_frames(tmp_path / "a.npy")]
    np.testing.assert_array_equal(frames, squares(1, 10)[0])
    for name in ("exif_upright.webp", "page_by_page.tif"):
        TAGGED[name][0](tmp_path / name)
        info = pipeline.probe(tmp_path / name)
        assert (info.num_frames, info.height, info.width) == (NUM_FRAMES, HEIGHT, WIDTH)
        frames = [image for _, image in pipeline.read_frames(tmp_path / name)]
        np.testing.assert_array_equal(frames, [picture(number) for number in range(NUM_FRAMES)])


def test_an_array_that_was_written_anew_is_read_anew(tmp_path):
    np.save(tmp_path / "a.npy", squares(1, 10)[0])
    assert len(list(read_frames(tmp_path / "a.npy"))) == 10
    np.save(tmp_path / "a.npy", squares(1, 7, side=20)[0])
    assert [image.shape for _, image in read_frames(tmp_path / "a.npy")] == [(20, 20, 3)] * 7


def test_an_episode_of_a_data_set_is_named_by_its_number(tmp_path):
    write_lerobot(tmp_path / "push", [4, 3, 2])
    info = probe(tmp_path / "push/episode_000001")
    assert (info.num_frames, info.duration_seconds) == (3, pytest.approx(0.3))
    frames = list(read_frames(tmp_path / "push/episode_000001"))
    assert [pts for pts, _ in frames] == pytest.approx([0, 0.1, 0.2])
    assert [image[50, 50, 0] for _, image in frames] == pytest.approx([level(4), level(5), level(6)], abs=6)
    with pytest.raises(VideoError, match=r"push: holds 3 videos; name one of them, such as .*push/episode_000000$"):
        next(read_frames(tmp_path / "push"))
