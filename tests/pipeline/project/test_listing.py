"""A folder of videos, said quickly."""

import subprocess
import sys

import pytest

from pipeline.cli import main
from pipeline.video import write_png


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
    import numpy as np

    for number in range(3):
        write_png(tmp_path / f"{number:03d}.png", np.full((8, 8, 3), 80 * number, np.uint8))
    assert said(tmp_path, capsys) == ".  8 x 8 pixels, 25 frames a second, 0.12 seconds\n"


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
