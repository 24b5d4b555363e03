"""Compressed frames: no value is lost, they are indexed as arrays are, and damage is told."""

import random
import sys
from contextlib import suppress

import numpy as np
import pytest

from pipeline.data import compressed
from pipeline.data.compressed import CHUNK_BYTES, CompressedFrames, codec, write_compressed
from pipeline.data.frames import FrameStore
from pipeline.errors import DataError
from tests.conftest import moving_bar, write_store
from tests.damage import flip_bit


@pytest.fixture
def noise():
    """Frames of which none is like another; 150 of them are two chunks and a part."""
    return np.random.default_rng(0).integers(0, 256, (150, 6, 5, 3), np.uint8)


def written(path, frames):
    assert write_compressed(path, iter(frames)) == len(frames)
    return CompressedFrames(path)


def test_what_was_written_is_read_however_it_is_indexed(tmp_path, noise):
    stored = written(tmp_path / "a.frames", noise)
    assert (stored.shape, len(stored), stored.ndim, stored.dtype) == (noise.shape, 150, 4, np.uint8)
    for key in (0, 63, 64, 149, -1, np.int64(70), slice(0, 150), slice(63, 65), slice(120, None), slice(5, 5)):
        assert np.array_equal(stored[key], noise[key])
    for key in ((slice(60, 140), slice(1, 3), slice(2, 5)), (7, slice(None), 0), slice(140, 400), slice(9, 2)):
        assert np.array_equal(stored[key], noise[key])
    assert all(np.array_equal(one, other) for one, other in zip(stored, noise, strict=True))
    with pytest.raises(IndexError):
        stored[150]


@pytest.mark.parametrize("num_frames", [1, 63, 64, 65, 128])
def test_the_last_chunk_may_be_full_or_not(tmp_path, noise, num_frames):
    assert np.array_equal(written(tmp_path / "a.frames", noise[:num_frames])[:], noise[:num_frames])


def test_frames_that_are_large_make_short_chunks(tmp_path):
    large = np.zeros((20, CHUNK_BYTES // 10, 1, 1), np.uint8)
    large[:, 0] = np.arange(20)[:, None, None]
    stored = written(tmp_path / "a.frames", large)
    assert np.array_equal(stored[:], large)
    assert stored._chunk_frames == 10


def test_chunks_of_any_length_are_read(tmp_path, noise, monkeypatch):
    """As of stores that were written when chunks were longer."""
    for length in (3, 20, 70):
        monkeypatch.setattr(compressed, "FEWEST", length)
        monkeypatch.setattr(compressed, "CHUNK_BYTES", length * noise[0].size)
        monkeypatch.setattr(compressed, "MOST", length)
        stored = written(tmp_path / f"{length}.frames", noise)
        assert stored._chunk_frames == length
        for start, stop in ((0, 1), (length - 1, length + 1), (2, 2 * length), (length, 2 * length), (7, 150)):
            assert np.array_equal(stored[start:stop], noise[start:stop])


def test_images_in_a_buffer_that_is_used_again_are_kept(tmp_path, noise):
    def reused():
        buffer = np.empty_like(noise[0])
        for image in noise:
            buffer[:] = image
            yield buffer

    write_compressed(tmp_path / "a.frames", reused())
    assert np.array_equal(CompressedFrames(tmp_path / "a.frames")[:], noise)


def test_frames_that_are_alike_take_little_room(tmp_path):
    bar = moving_bar(512, 0)
    written(tmp_path / "a.frames", bar)
    assert (tmp_path / "a.frames").stat().st_size < bar.nbytes / 10


def test_without_frames_there_is_no_file(tmp_path):
    assert write_compressed(tmp_path / "a.frames", iter([])) == 0
    assert not (tmp_path / "a.frames").exists()


@pytest.mark.parametrize("seed", range(20))
def test_a_flipped_bit_is_an_error_or_changes_nothing(tmp_path, noise, seed):
    """It may be in a byte that says nothing, such as of the level that the encoder had."""
    path = tmp_path / "a.frames"
    written(path, noise)
    flip_bit(path, random.Random(seed))
    with suppress(ValueError, DataError):
        assert np.array_equal(CompressedFrames(path)[:], noise)


def compressed_store(folder, frames):
    """A store of one video, a.mp4, and the path of its frames."""
    write_store(folder, {"a.mp4": frames})
    write_compressed(folder / "a.mp4.frames", iter(frames))
    index = (folder / "index.csv").read_text()
    (folder / "index.csv").write_text(index.replace("a.mp4.npy", "a.mp4.frames"))
    return folder / "a.mp4.frames"


def test_damage_names_the_file_and_what_to_do(tmp_path, noise):
    path = compressed_store(tmp_path, noise)
    whole = path.read_bytes()
    path.write_bytes(whole[:1000] + bytes(100) + whole[1100:])
    with pytest.raises(DataError, match=rf"{path}: frames 0 to 10 cannot be read \(.*; remove it and run `dvc repro e"):
        FrameStore(tmp_path).load("a.mp4")[:10]
    for content in (whole[:-1], whole[:100], b"", whole[1:], whole[:-40] + b"0" * 24 + whole[-16:]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=rf"{path}: cannot be read \(.*; remove it and run `dvc repro extract`"):
            FrameStore(tmp_path).load("a.mp4")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "numcodecs.zstd", None)
    codec.cache_clear()
    with pytest.raises(DataError, match=r"numcodecs; pip install 'foreframe\[formats\]'"):
        codec()
    codec.cache_clear()
