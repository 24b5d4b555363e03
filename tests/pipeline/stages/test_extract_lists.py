"""data.videos may be a list, or a single file."""

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import DataError
from pipeline.video import write_video
from tests.corpus.build import Encoding, encode
from tests.corpus.sources import squares
from tests.pipeline.stages.sources import SIDE, extracted, folder_of, greys_of, reason_of

pytestmark = pytest.mark.usefixtures("read")


def test_a_list_may_be_a_spreadsheets_with_semicolons(tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    encode(folder / "a.mp4", Encoding(num_frames=10))
    encode(folder / "b, c.mp4", Encoding(num_frames=10))
    rows = "\ufeffpath;split;stop_seconds\na.mp4;train;0,5\nb, c.mp4;train;0.2\n"
    (folder / "list.csv").write_text(rows, encoding="utf-8")
    index = extracted(tmp_path, "archive/list.csv").index
    assert index[["path", "split", "num_frames"]].to_numpy().tolist() == [
        ["a.mp4#t=,0.5", "train", 5],
        ["b, c.mp4#t=,0.2", "train", 2],
    ]


def test_a_list_says_which_files_count_from_when_to_when_and_in_which_split(tmp_path):
    folder = tmp_path / "archive"
    for name in ("a.mp4", "deep/b.mp4", "unlisted.mp4"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        encode(folder / name, Encoding(num_frames=10, first=len(name)))
    np.save(folder / "c.npy", squares(4, 6))
    rows = [
        "path,split,start_seconds,stop_seconds,label",
        "a.mp4,train,0.2,0.5,x",
        "a.mp4,train,0.7,,y",
        "a.mp4,train,,0.3,",
    ]
    rows += ["deep/b.mp4,test,,,z", "c.npy,validation,,,", "gone.mp4,train,,,"]
    (folder / "list.csv").write_text("\n".join(rows) + "\n")
    store = extracted(tmp_path, "archive/list.csv")
    splits = dict(zip(store.index["path"], store.index["split"], strict=True))
    assert splits == {
        "a.mp4#t=,0.3": "train",
        "a.mp4#t=0.2,0.5": "train",
        "a.mp4#t=0.7": "train",
        "c.npy/0": "val",
        "c.npy/1": "val",
        "c.npy/2": "val",
        "c.npy/3": "val",
        "deep/b.mp4": "test",
        "gone.mp4": "train",
    }
    assert [greys_of(store, name) for name in store.videos[:3]] == [[5, 6, 7], [7, 8, 9], [2, 3, 4]]
    assert store.index.loc["a.mp4#t=0.2,0.5", "duration_seconds"] == pytest.approx(0.3)
    assert "No such file" in reason_of(store, "gone.mp4")


@pytest.mark.parametrize("suffix", ["tsv", "jsonl", "parquet"])
def test_a_list_may_be_what_pandas_reads(tmp_path, suffix):

    write_video(tmp_path / "in/a.mp4", [np.full((SIDE, SIDE, 3), 9 * n, np.uint8) for n in range(6)], 10)
    table = pd.DataFrame({"path": ["a.mp4"], "start_seconds": [0.2], "stop_seconds": [None]})
    path = tmp_path / f"in/list.{suffix}"
    if suffix == "tsv":
        table.to_csv(path, sep="\t", index=False)
    elif suffix == "jsonl":
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_parquet(path)
    store = extracted(tmp_path, f"in/list.{suffix}")
    assert store.index["num_frames"].tolist() == [4]
    assert store.videos == ["a.mp4#t=0.2"]


MISTAKES = {
    "file,split\na.mp4,train\n": "has no column path",
    "path\n": "lists no video",
    "path,split\na.mp4,holdout\n": "row 1: split is holdout; wanted is train, val or test",
    "path,start_seconds,stop_seconds\na.mp4,1,2\na.mp4,3,2\n": r"row 2: stop_seconds \(2\) is not after",
    "path,start_seconds\na.mp4,soon\n": "row 1: start_seconds is soon; wanted is a number",
    "path,split\na.mp4,train\na.mp4,test\n": "a.mp4 is in two splits",
    "path\nhttps://example.org/a.mp4\n": "is an address",
    "path,target\na.mp4,b.mp4\nc.mp4,\n": "some rows have a target",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_in_a_list_is_one_line(tmp_path, text):
    (folder_of(tmp_path) / "list.csv").write_text(text)
    with pytest.raises(DataError, match=MISTAKES[text]):
        extracted(tmp_path, "in/list.csv")


def test_a_list_may_name_files_under_an_allowed_root_and_nowhere_else(tmp_path):
    for name in ("in", "store", "other"):
        (tmp_path / name).mkdir()
    np.save(tmp_path / "store/a.npy", squares(1, 3)[0])
    np.save(tmp_path / "other/b.npy", squares(2, 3)[1])
    (tmp_path / "in/list.csv").write_text(f"path\n{tmp_path}/store/a.npy\n../other/b.npy\n")
    store = extracted(tmp_path, "in/list.csv", roots=[tmp_path / "store"])
    inside, outside = sorted(store.index["path"], key=lambda name: name.endswith("b.npy"))
    assert (store.videos, inside) == ([inside], f"{tmp_path}/store/a.npy"[1:])
    assert "nowhere under data.roots" in reason_of(store, outside)


def test_targets_of_a_list_become_pairs_in_two_folders(tmp_path):
    folder = folder_of(tmp_path)
    for number, name in enumerate(("day/a", "day/b", "night/x", "night/y")):
        (folder / name).parent.mkdir(exist_ok=True)
        np.save(folder / f"{name}.npy", squares(5, 6)[number])
    (folder / "list.csv").write_text("path,target\nday/a.npy,night/x.npy\nday/b.npy,night/y.npy\n")
    store = extracted(tmp_path, "in/list.csv")
    assert store.videos == [f"{side}/day/{name}.npy" for side in ("source", "target") for name in "ab"]
    np.testing.assert_array_equal(store.load("target/day/b.npy")[..., 0], squares(5, 6)[3])


def test_a_single_file_may_stand_for_the_folder(tmp_path):
    np.save(folder_of(tmp_path) / "a.npy", squares(4, 6))
    np.save(tmp_path / "in/b.npy", squares(5, 6)[4])
    assert extracted(tmp_path, "in/a.npy").videos == [f"a.npy/{number}" for number in range(4)]
