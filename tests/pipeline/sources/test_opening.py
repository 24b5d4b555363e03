import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.errors import VideoError
from pipeline.inference.output import write_frames
from pipeline.sources.opening import probe, read_frames
from tests.conftest import CONTEXT, moving_bar
from tests.corpus.sources import squares


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
