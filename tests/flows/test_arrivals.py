"""New videos are noticed, and none that is still being written is taken."""

import os
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

import pytest

from flows.arrivals import is_written_to, look, settle, watch
from tests.flows.served import Served
from tests.flows.test_retrain import workspace  # noqa: F401 -- a fixture

# writes, stops for longer than the quiet period with the file open, writes again
COPY = """
import sys, time
with open(sys.argv[1], "wb") as file:
    for _ in range(3):
        file.write(b"x" * 1000)
        file.flush()
        time.sleep(0.7)
"""


def copying(path: Path) -> subprocess.Popen:
    process = subprocess.Popen([sys.executable, "-c", COPY, str(path)])
    while not path.exists():
        time.sleep(0.01)
    return process


def test_a_folder_that_has_been_quiet_for_long_is_not_waited_for(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"x")
    os.utime(tmp_path / "a.mp4", (time.time() - 100, time.time() - 100))
    begun = time.monotonic()
    assert settle(tmp_path, 30)
    assert time.monotonic() - begun < 5
    assert settle(tmp_path / "none", 30)


def test_a_file_that_is_open_for_writing_is_waited_for_however_quiet_it_is(tmp_path):
    process = copying(tmp_path / "a.mp4")
    assert is_written_to(tmp_path / "a.mp4")
    assert settle(tmp_path, 0.2)
    assert (tmp_path / "a.mp4").stat().st_size == 3000
    assert process.wait() == 0
    assert not is_written_to(tmp_path / "a.mp4")


def test_a_file_that_never_ends_is_given_up(tmp_path, caplog):
    with (tmp_path / "camera.mp4").open("wb"):
        assert not settle(tmp_path, 0.1, most_seconds=0.5)
    assert "still changes after 0.5 s" in caplog.text


def test_hidden_files_are_not_looked_at(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("a.mp4", ".a.mp4.part", "b/c.mp4"):
        (tmp_path / name).write_bytes(b"123")
    assert {name: size for name, (size, _) in look(tmp_path).items()} == {"a.mp4": 3, "b/c.mp4": 3}


@pytest.fixture
def watched(tmp_path):
    """The sizes of a.mp4 in a watched folder each time that something has arrived, with the time."""
    sizes: list[tuple[float, int]] = []
    stop = threading.Event()
    folder = tmp_path / "videos"

    def arrived():
        sizes.append((time.monotonic(), (folder / "a.mp4").stat().st_size))

    thread = threading.Thread(target=watch, args=(lambda: folder, arrived, 0.3, stop))
    folder.mkdir()
    thread.start()
    time.sleep(1)  # until the kernel watches
    yield folder, sizes
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def test_a_copy_is_one_arrival_after_its_last_byte(watched):
    folder, sizes = watched
    assert copying(folder / "a.mp4").wait() == 0
    ended = time.monotonic()
    while not sizes:
        assert time.monotonic() - ended < 60
        time.sleep(0.05)
    assert sizes[0][1] == 3000
    time.sleep(1.5)
    assert len(sizes) == 1


def test_what_is_removed_or_hidden_is_no_arrival(watched):
    folder, sizes = watched
    (folder / ".a.mp4.part").write_bytes(b"12")
    time.sleep(1)
    assert sizes == []
    (folder / ".a.mp4.part").rename(folder / "a.mp4")  # as rsync ends a file
    deadline = time.monotonic() + 60
    while not sizes and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [size for _, size in sizes] == [2]
    (folder / "a.mp4").unlink()
    time.sleep(1)
    assert len(sizes) == 1


@pytest.mark.slow
def test_a_video_that_is_copied_starts_one_retrain_soon_after_its_last_byte(workspace):  # noqa: F811
    with Served(workspace, dict(os.environ), watch=True, quiet_seconds=1.0) as served:
        assert copying(workspace / "videos/new.mp4").wait() == 0
        ended = time.time()
        waited = served.wait_for(served.runs, 120)
        [run] = served.runs()
        assert (run["name"], run["tags"]) == ("new videos", ["arrival"])
        served.wait_for(lambda: served.run(run["id"])["start_time"], 120)
        begun = datetime.fromisoformat(served.run(run["id"])["start_time"]).timestamp() - ended
        print(f"asked for {waited:.1f} s after the last byte, begun after {begun:.1f} s, load {os.getloadavg()[0]:.0f}")
        assert served.finish(run["id"])["state_type"] == "COMPLETED"
        time.sleep(3)
        assert len(served.runs()) == 1
