import numpy as np
import pytest

from pipeline.data.arrays import write_array


def frames(count):
    return np.arange(count * 6, dtype=np.uint8).reshape(count, 2, 3, 1)


def test_an_array_reads_back_and_is_what_numpy_would_write(tmp_path):
    assert write_array(tmp_path / "a.npy", iter(frames(5))) == 5

    np.save(tmp_path / "b.npy", frames(5))
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_no_frames_make_no_array(tmp_path):
    assert write_array(tmp_path / "a.npy", iter([])) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_failure_half_way_leaves_nothing(tmp_path):
    def broken():
        yield from frames(2)
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError):
        write_array(tmp_path / "a.npy", broken())
    assert list(tmp_path.iterdir()) == []
