import os
from pathlib import Path

from pipeline.ingest.folder import list_folder, printable
from tests.damage import socket_at

LEAVES = "a symbolic link that leaves the folder, to nowhere under data.roots of params.yaml"


def test_names_are_printable_and_never_the_same_for_two_files():
    names = [b"a.mp4", "zé.mp4".encode(), b"\xff.mp4", b"\\xff.mp4", b"new\nline.mp4", b"\\x0a"]
    shown = [printable(Path(os.fsdecode(name))) for name in names]
    assert shown == ["a.mp4", "zé.mp4", "\\xff.mp4", "\\\\xff.mp4", "new\\x0aline.mp4", "\\\\x0a"]


def test_every_file_is_found_once_in_one_order(tmp_path):
    for name in ("b/2.mp4", "b/10.mp4", "a.mp4", "B.mp4", ".hidden"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    entries = list_folder(tmp_path)
    assert [entry.name for entry in entries] == [".hidden", "B.mp4", "a.mp4", "b/10.mp4", "b/2.mp4"]
    assert [bool(entry.paths) for entry in entries] == [False, True, True, True, True]


def test_numbered_images_are_one_entry_beside_the_videos_of_their_folder(tmp_path):
    for name in ("f9.png", "f10.png", "f11.png", "a.mp4"):
        (tmp_path / name).write_bytes(b"x")
    videos, images = list_folder(tmp_path)[1], list_folder(tmp_path)[0]
    assert (images.name, images.is_sequence) == (".", True)
    assert [path.name for path in images.paths] == ["f9.png", "f10.png", "f11.png"]
    assert videos.name == "a.mp4"


def test_a_folder_reached_through_a_link_is_read_but_its_links_out_are_not(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a.mp4").write_bytes(b"x")
    (tmp_path / "secret.mp4").write_bytes(b"x")
    (tmp_path / "real/out.mp4").symlink_to("../secret.mp4")
    (tmp_path / "link").symlink_to("real")
    inside, outside = list_folder(tmp_path / "link")
    assert (inside.name, len(inside.paths)) == ("a.mp4", 1)
    assert (outside.paths, outside.reason) == ((), LEAVES)


def test_links_are_followed_to_files_under_an_allowed_root_and_nowhere_else(tmp_path):
    """A data set hub's snapshot, git-annex: a folder of links into a store elsewhere."""
    for name in ("in", "store/blobs/folder", "stored"):
        (tmp_path / name).mkdir(parents=True)
    for target in ("store/blobs/1", "stored/2", "3"):
        (tmp_path / target).write_bytes(b"x")
    (tmp_path / "alias").symlink_to("store")  # the root itself may be reached through a link
    links = {
        "a.mp4": "../store/blobs/1",
        "back.mp4": "../store/../3",
        "beside.mp4": "../stored/2",
        "folder": "../store/blobs/folder",
        "none.mp4": "../store/blobs/none",
    }
    for name, target in links.items():
        (tmp_path / "in" / name).symlink_to(target)
    (tmp_path / "store/blobs/on").symlink_to("../../3")
    (tmp_path / "in/through.mp4").symlink_to("../store/blobs/on")
    entries = list_folder(tmp_path / "in", [str(tmp_path / "alias")])
    assert {entry.name: entry.reason for entry in entries} == {
        "a.mp4": "",
        "back.mp4": LEAVES,
        "beside.mp4": LEAVES,
        "folder": "a symbolic link to a folder",
        "none.mp4": "cannot be read: No such file or directory",
        "through.mp4": LEAVES,
    }
    assert [entry.paths for entry in entries if entry.paths] == [(tmp_path / "in/a.mp4",)]


def test_what_is_no_regular_file_is_refused_without_being_opened(tmp_path):
    socket_at(tmp_path / "socket.mp4")
    (entry,) = list_folder(tmp_path)
    assert (entry.paths, entry.reason) == ((), "a pipe, a device or a socket, not a file")
