"""Tests of pipeline/runtime/files.py: a file is whole or not there, whatever happens to its writer."""

import json

import pytest

from pipeline.runtime import files
from pipeline.runtime.files import replacing, write_bytes, write_json, write_text


class Failed(Exception):
    """Stands for whatever stops a writer."""


def fail_half_way(path):
    with replacing(path) as part:
        part.write_text("half of the n")
        raise Failed


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_writer_that_fails_leaves_the_file_as_it_was_and_nothing_beside_it(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(Failed):
        fail_half_way(path)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_writer_that_fails_the_first_time_leaves_no_file(tmp_path):
    with pytest.raises(Failed):
        fail_half_way(tmp_path / "a.txt")
    assert names(tmp_path) == []


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


def test_what_a_killed_writer_left_is_overwritten(tmp_path):
    path = tmp_path / "a.txt"
    with replacing(path) as part:
        part.write_text("first")
        leftover = part
    leftover.write_text("a longer text, which a killed process had begun to write")
    write_text(path, "second")
    assert path.read_text() == "second"
    assert names(tmp_path) == ["a.txt"]


def test_the_parent_is_made(tmp_path):
    write_bytes(tmp_path / "deep/er/a.bin", b"\0\xff")
    assert (tmp_path / "deep/er/a.bin").read_bytes() == b"\0\xff"


def test_the_content_is_on_the_disk_before_the_name_and_the_name_before_the_end(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(files, "sync", lambda path: synced.append((path.name, names(tmp_path))))
    write_text(tmp_path / "a.txt", "text")
    assert synced == [(".a.txt.part", [".a.txt.part"]), (tmp_path.name, ["a.txt"])]
    write_text(tmp_path / "a.txt", "text", durable=False)
    assert len(synced) == 2


def test_text_is_utf8_and_json_is_sorted_and_ends_in_a_newline(tmp_path):
    write_text(tmp_path / "a.txt", "é\n")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xa9\n"
    write_json(tmp_path / "a.json", {"b": 1, "a": [2]})
    assert (tmp_path / "a.json").read_text() == '{\n  "a": [\n    2\n  ],\n  "b": 1\n}\n'
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [2], "b": 1}
