"""Inputs that are not what they should be: model directories, small files, parameters, videos.

Each is a harmless stand-in: whoever opens one all the same gets an error or a small file, and nothing grows.
"""

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from tests.faults.commands import foreframe, stage
from tests.faults.fault import Fault, Trial, refused, tracebacks
from tests.faults.ground import Ground
from tests.faults.kills import PREDICT

Change = Callable[[Path], None]  # of a workspace's folder
TRAINING_SECONDS = 600.0
SECONDS = 60.0  # in which a refusal has come; a second on a quiet machine


def hostile(change: Change, command: list[str], *words: str, may_pass: bool = False) -> Trial:
    """A trial of one change: the command refuses it, or, if it `may_pass`, shows no traceback."""

    def trial(ground: Ground, random: Random) -> list[str]:
        workspace = ground.copy(ground.staged)
        change(workspace.folder)
        ran = workspace.quick(command, TRAINING_SECONDS if command == TRAIN else SECONDS)
        lost = tracebacks(ran) if may_pass else refused(ran, *words)
        if not lost and ran.code and len(ran.output) > 3000:
            lost = [f"the message has {len(ran.output)} characters"]
        workspace.remove()
        return lost

    return trial


def card(**fields: Any) -> Change:
    """Other fields in the model card; a dictionary changes only the keys that it has."""

    def change(folder: Path) -> None:
        path = folder / "data/model/model.json"
        content = json.loads(path.read_text())
        for name, value in fields.items():
            content[name] = {**content[name], **value} if isinstance(value, dict) else value
        path.write_text(json.dumps(content))

    return change


def text(name: str, content: str | bytes) -> Change:
    """Another content of a file."""

    def change(folder: Path) -> None:
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return change


def gone(name: str) -> Change:
    """A file or folder that is not there."""

    def change(folder: Path) -> None:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def folder_instead(name: str) -> Change:
    """A folder where a file is expected."""

    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return change


def socket_instead(name: str) -> Change:
    """A socket where a file is expected: no regular file, and opening it is an error at once."""

    def change(folder: Path) -> None:
        (folder / name).unlink()
        short = folder / "s"
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(short))
        short.rename(folder / name)

    return change


def index(column: str, value: object) -> Change:
    """Another value in the first row of index.csv."""

    def change(folder: Path) -> None:
        import pandas as pd

        path = folder / "data/frames/index.csv"
        table = pd.read_csv(path, dtype="str", keep_default_na=False)
        table.loc[0, column] = str(value)
        table.to_csv(path, index=False)

    return change


def outside(folder: Path) -> None:
    """An array beside the store, named by the index."""
    array = next((folder / "data/frames").glob("*.npy"))
    shutil.copy(array, folder / "data/beside.npy")
    index("array", "../beside.npy")(folder)


def both(*changes: Change) -> Change:
    """Several changes."""

    def all_of_them(folder: Path) -> None:
        for change in changes:
            change(folder)

    return all_of_them


def texts(pattern: str) -> Change:
    """Text in place of every file of a pattern."""

    def change(folder: Path) -> None:
        for path in sorted(folder.glob(pattern)):
            if path.is_file():
                path.write_text("x")

    return change


WEIGHTS, CARD = "data/model/model.safetensors", "data/model/model.json"
INFO = foreframe("info", "data/model")
EVALUATE, TENSORIZE, TRAIN = stage("evaluate"), stage("tensorize"), stage("train")
ALIASES = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"  # small: nothing grows
MODELS: dict[str, tuple[Change, list[str]]] = {
    "weights are a folder": (folder_instead(WEIGHTS), PREDICT),
    "weights are a socket": (socket_instead(WEIGHTS), PREDICT),
    "weights are text": (text(WEIGHTS, "weights\n"), PREDICT),
    "weights are missing": (gone(WEIGHTS), PREDICT),
    "card is missing": (gone(CARD), PREDICT),
    "card is a folder": (folder_instead(CARD), INFO),
    "card is no JSON": (text(CARD, "{"), INFO),
    "card is a list": (text(CARD, "[1, 2]"), INFO),
    "card is not UTF-8": (text(CARD, b"\xff\xfe{}"), INFO),
    "unknown generator": (card(name="no_such"), PREDICT),
    "generator that is a path": (card(name="../rnn"), PREDICT),
    "unknown size": (card(sizes={"no_such": 1}), PREDICT),
    "size that is text": (card(sizes={"hidden_channels": "8"}), PREDICT),
    "size below zero": (card(sizes={"hidden_channels": -8}), PREDICT),
    "a million channels": (card(sizes={"hidden_channels": 1_000_000}), PREDICT),
    "frames without height": (card(frame_shape=[1, 0, 16]), PREDICT),
    "frames of a million pixels a side": (card(frame_shape=[1, 1_000_000, 1_000_000]), PREDICT),
    "context of none": (card(context=0), PREDICT),
    "horizon below zero": (card(horizon=-1), PREDICT),
    "a billion frames a second": (card(fps=1e9), PREDICT),
    "frames a second below zero": (card(fps=-1.0), PREDICT),
    "newer format": (card(format_version=99), PREDICT),
    "metrics that are no numbers": (card(metrics={"mse": "low"}), INFO),
}
OTHERS: dict[str, tuple[Change, list[str]]] = {
    "index.csv names an array outside the store": (outside, TENSORIZE),
    "index.csv names no array": (index("array", ""), TENSORIZE),
    "index.csv with a count that is no number": (index("stored_frames", "many"), TENSORIZE),
    "index.csv with another count": (index("stored_frames", 11), TENSORIZE),
    "index.csv is text": (text("data/frames/index.csv", "text"), TENSORIZE),
    "index.csv is empty": (text("data/frames/index.csv", ""), TENSORIZE),
    "array is text": (texts("data/frames/*.npy"), TENSORIZE),
    "array is missing": (lambda folder: next((folder / "data/frames").glob("*.npy")).unlink(), TENSORIZE),
    "clips.csv is empty": (text("data/clips/clips.csv", ""), EVALUATE),
    "clips.csv without its columns": (text("data/clips/clips.csv", "a,b\n1,2\n"), EVALUATE),
    "clips.csv names no video": (
        text("data/clips/clips.csv", "video,split,start,stop,num_clips\nx.mp4,test,0,12,3\n"),
        EVALUATE,
    ),
    "clips.csv with a stop beyond the video": (
        lambda folder: text(
            "data/clips/clips.csv", (folder / "data/clips/clips.csv").read_text().replace(",12,", ",9999,")
        )(folder),
        EVALUATE,
    ),
    "clips.json is no JSON": (text("data/clips/clips.json", "{"), EVALUATE),
    "clips.json is a list": (text("data/clips/clips.json", "[]"), EVALUATE),
    "clips.json without task": (text("data/clips/clips.json", "{}"), EVALUATE),
    "metrics.json is no JSON": (text("data/metrics/metrics.json", "{"), foreframe("info", "data/metrics")),
    "metrics.json is a list": (text("data/metrics/metrics.json", "[1]"), foreframe("info", "data/metrics")),
    "metrics.json, rendered": (text("data/metrics/metrics.json", "{}"), stage("render")),
    "metrics.json is missing": (gone("data/metrics/metrics.json"), stage("render")),
    "params.yaml is missing": (gone("params.yaml"), TENSORIZE),
    "params.yaml is a list": (text("params.yaml", "[1]"), TENSORIZE),
    "params.yaml is no YAML": (text("params.yaml", "a: [1"), TENSORIZE),
    "params.yaml with aliases in aliases": (text("params.yaml", ALIASES), TENSORIZE),
    "params.yaml with a tag": (text("params.yaml", "data: !!python/name:os.getcwd\n"), TENSORIZE),
    "the video is a folder": (lambda folder: None, foreframe("predict", "data", "out.mp4", "--frames", "3")),
    "the video is missing": (gone("in.mp4"), PREDICT),
    "the video is empty": (text("in.mp4", ""), PREDICT),
    "the video is a playlist": (text("in.mp4", "#EXTM3U\n#EXTINF:5,\nown.mp4\n#EXT-X-ENDLIST\n"), PREDICT),
    "the output is in no format": (lambda folder: None, foreframe("predict", "in.mp4", "out.xyz", "--frames", "3")),
    "the output is a folder": (lambda folder: (folder / "out.mp4").mkdir(), PREDICT),
    "the output is the input": (lambda folder: None, foreframe("predict", "in.mp4", "in.mp4", "--frames", "3")),
}
MAY_PASS: dict[str, tuple[Change, list[str]]] = {
    "hashes.json is no JSON": (text("data/.frames/hashes.json", "{"), stage("extract")),
    "hashes.json is a list": (text("data/.frames/hashes.json", "[1]"), stage("extract")),
    "training state is text": (
        both(texts(".train/*/*"), gone("data/model")),
        TRAIN,
    ),
    "promotion.json is a list": (text("models/v1.0.0/promotion.json", "[1]"), foreframe("rollback")),
    "promotion.json without its fields": (text("models/v2.0.0/promotion.json", "{}"), foreframe("rollback")),
    "the champion is a folder": (
        both(lambda folder: (folder / "models/champion").unlink(), lambda folder: (folder / "models/champion").mkdir()),
        foreframe("rollback"),
    ),
}
FAULTS = [
    *(Fault("hostile input", f"model: {name}", hostile(*case), 1, 1) for name, case in MODELS.items()),
    *(Fault("hostile input", name, hostile(*case), 1, 1) for name, case in OTHERS.items()),
    *(Fault("hostile input", name, hostile(*case, may_pass=True), 1, 1) for name, case in MAY_PASS.items()),
]
