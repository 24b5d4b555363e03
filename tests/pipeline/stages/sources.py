"""What the tests of arrays, stacks, data sets and lists share."""

from pipeline.data.frames import FrameStore
from pipeline.stages.extract import extract
from tests.conftest import data_in
from tests.pipeline.stages.test_extract import params

SIDE = 16


def extracted(tmp_path, videos="in", roots=(), **changes):
    wanted = params(**({"size": (SIDE, SIDE)} | changes))
    extract(tmp_path / "out", data=data_in(tmp_path / videos, *roots), extract=wanted)
    return FrameStore(tmp_path / "out")


def folder_of(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def reason_of(store, name):
    row = store.index.loc[name]
    assert (row["status"], row["stored_frames"]) == ("skipped", 0)
    return row["reason"]


def greys_of(store, video):
    return [round((int(grey) - 50) / 20) for grey in store.load(video)[:, 12, 12, 0]]
