"""A folder of videos, said quickly."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import zarr

from pipeline.cli import main
from pipeline.video import reading, write_png
from tests.corpus.sources import squares, write_lerobot


def said(path, capsys):
    with pytest.raises(SystemExit) as ending:
        main(["info", str(path)])
    assert ending.value.code == 0
    return capsys.readouterr().out


def test_a_folder_lists_its_videos_and_what_is_none(bar_video, tmp_path, capsys):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/bar.mp4").write_bytes(bar_video.read_bytes())
    (tmp_path / "notes.txt").write_text("no video")
    lines = said(tmp_path, capsys).splitlines()
    assert lines[0] == "a/bar.mp4  8 x 8 pixels, 12.5 frames a second, 0.96 seconds"
    assert lines[1].startswith("notes.txt  no video: ")


def test_numbered_images_are_a_video(tmp_path, capsys):
    for number in range(3):
        write_png(tmp_path / f"{number:03d}.png", np.full((8, 8, 3), 80 * number, np.uint8))
    assert said(tmp_path, capsys) == ".  8 x 8 pixels, 25 frames a second, 0.12 seconds\n"


def test_arrays_data_sets_and_lists_say_what_is_in_them(bar_video, tmp_path, capsys):
    np.save(tmp_path / "a.npy", squares(2, 10))
    each = "16 x 16 pixels, 25 frames a second, 0.40 seconds"
    assert said(tmp_path / "a.npy", capsys) == f"a.npy/0  {each}\na.npy/1  {each}\n"
    zarr.save(str(tmp_path / "b.zarr"), squares(1, 10)[0])
    assert said(tmp_path / "b.zarr", capsys) == f".  {each}\n"
    write_lerobot(tmp_path / "push", [6, 4])
    lines = said(tmp_path / "push", capsys).splitlines()
    assert lines[1] == "episode_000001  64 x 64 pixels, 10 frames a second, 0.40 seconds"
    shutil.copy(bar_video, tmp_path / "bar.mp4")
    (tmp_path / "list.csv").write_text("path,start_seconds,stop_seconds\nbar.mp4,0.2,0.5\nnone.mp4,,\n")
    lines = said(tmp_path / "list.csv", capsys).splitlines()
    assert lines[0] == "bar.mp4#t=0.2,0.5  8 x 8 pixels, 12.5 frames a second, 0.30 seconds"
    assert lines[1].startswith("none.mp4           no video: cannot be read: No such file")


def test_a_file_that_fails_as_nobody_foresaw_does_not_hide_the_others(bar_video, tmp_path, capsys, monkeypatch):
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(bar_video, tmp_path / name)
    probe = reading.probe

    def fails_at_a(path, images=()):
        if path.name == "a.mp4":
            raise ValueError("31 is not a valid Type")
        return probe(path, images)

    monkeypatch.setattr(reading, "probe", fails_at_a)
    lines = said(tmp_path, capsys).splitlines()
    assert lines[0] == "a.mp4  no video: cannot be read (ValueError: 31 is not a valid Type)"
    assert lines[1].startswith("b.mp4  8 x 8 pixels")


def test_a_long_list_is_cut_off(bar_video, tmp_path, capsys):
    for number in range(23):
        (tmp_path / f"{number:02d}.mp4").write_bytes(bar_video.read_bytes())
    assert said(tmp_path, capsys).splitlines()[-1].split(maxsplit=1) == ["…", "and 3 more"]


def test_torch_is_not_loaded_for_videos(bar_video):
    code = "import sys; from pipeline.cli import main\ntry: main(['info', *sys.argv[1:]])\n"
    code += "finally: print('torch' in sys.modules)"
    for path in (bar_video, bar_video.parent):
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
        assert done.stdout.splitlines()[-1] == "False"
