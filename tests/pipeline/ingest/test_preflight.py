import os
import re
import socket

import pytest

from pipeline.errors import DataError
from pipeline.ingest import preflight


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in/deep").mkdir(parents=True)
    (tmp_path / "in/a.mp4").write_bytes(b"x")
    return tmp_path / "in"


def lines_of(folder, roots=()):
    return list(preflight.faults(folder, [str(root) for root in roots]))


def test_a_sound_folder_and_one_that_is_not_there_yet_have_none(folder, tmp_path):
    (folder / "link.mp4").symlink_to("a.mp4")
    (folder / "folder").symlink_to("deep")
    assert lines_of(folder) == lines_of(tmp_path / "none") == lines_of(folder / "a.mp4") == []
    preflight.check(folder, [])


def test_broken_links_are_one_line_with_what_to_do(folder):
    for name in ("b.mp4", "deep/c.mp4"):
        (folder / name).symlink_to("../.git/annex/objects/gone")
    (folder / "circle").symlink_to("circle")
    (line,) = lines_of(folder)
    assert re.fullmatch(r".*b\.mp4: a link to nothing \(\.\./\.git/annex/objects/gone\), as are 2 more; fetch.*", line)
    with pytest.raises(DataError, match="a link to nothing"):
        preflight.check(folder, [])


def test_what_is_no_file_is_named_without_being_opened(folder, monkeypatch):
    os.mkfifo(folder / "deep/pipe.mp4")
    monkeypatch.chdir(folder)  # a socket's path may not be long
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("deep/socket")
        (line,) = lines_of(folder)
    assert "deep/pipe.mp4: a pipe, a device or a socket, not a file, as are 1 more; DVC would wait" in line
    with pytest.raises(DataError, match="DVC would wait"):
        preflight.check(folder, [])


def test_a_name_that_is_not_utf8_is_shown_printable(folder):
    (folder / os.fsdecode(b"\xe9t\xe9.mp4")).write_bytes(b"x")
    (line,) = lines_of(folder)
    assert r"\xe9t\xe9.mp4: its name is not UTF-8" in line


def test_links_into_a_cache_name_the_root_that_lets_them_in(folder, tmp_path):
    """A data set hub's snapshot: every file is a link to a blob."""
    blobs = tmp_path / "hub/blobs"
    blobs.mkdir(parents=True)
    for number in range(3):
        (blobs / str(number)).write_bytes(b"x")
        (folder / f"deep/{number}.mp4").symlink_to(f"../../hub/blobs/{number}")
    (line,) = lines_of(folder)
    assert line.endswith(f"name its folder in data.roots of params.yaml: {blobs}")
    assert "as are 2 more" in line
    assert lines_of(folder, [tmp_path / "hub"]) == []
    preflight.check(folder, [])  # the stage reads a.mp4 and leaves these out
    (folder / "a.mp4").unlink()
    with pytest.raises(DataError, match=r"leads out of .*data\.roots"):
        preflight.check(folder, [])
    preflight.check(folder, [str(blobs)])


def test_links_of_dvcs_own_cache_are_let_in(folder, tmp_path):
    cached = tmp_path / "cache/files/md5/ab/0123456789abcdef0123456789abcd"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"x")
    (folder / "b.mp4").symlink_to(cached)
    assert lines_of(folder) == []
