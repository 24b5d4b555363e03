"""One bit of a file is another: it is noticed or mended, and what comes of it is never taken for the truth.

"Mended" is the bytes of an undisturbed run, "noticed" an error that names the file. What people write themselves
(params.yaml, their videos) may say something else with a bit changed; it must only be no traceback.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from random import Random

from flows.sealed import write_sealed
from tests.faults.commands import PYTHON, Ran, Workspace, foreframe, stage
from tests.faults.fault import Fault, Trial, differences, finished, tracebacks
from tests.faults.ground import Ground
from tests.faults.kills import DATA, PREDICT, flow_of

DVC = [PYTHON, "-m", "dvc", "repro"]


@dataclass(frozen=True)
class Read:
    """A kind of file, and a command that reads it."""

    file: str  # a pattern
    command: list[str]
    outs: tuple[str, ...] = ()  # what it writes, compared; none: only what is said counts
    forget: tuple[str, ...] = ()  # removed before: the command is to make it anew
    of: str = "staged"
    words: tuple[str, ...] = ()  # one of which a refusal says, beside the file's name


def flip(path: Path, random: Random, *, keep_time: bool = False) -> None:
    """Change one bit in place; `keep_time`: as a disk does, which touches no date."""
    status = path.stat()
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    bit = random.randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    if keep_time:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def flipped(read: Read) -> Trial:
    """A trial of one file of a kind."""

    def trial(ground: Ground, random: Random) -> list[str]:
        workspace, path = _damaged(ground, read, random, keep_time=False)
        if read.command[2].startswith("flows."):
            workspace.environment["PREFECT_API_URL"] = ground.api
        expected = getattr(ground, read.of).hashes(*read.outs)
        if read.outs == ("out.mp4",):
            expected = ground.undisturbed(read.of, read.command, *read.outs)[0]
        ran = workspace.quick(read.command, 900)
        lost = tracebacks(ran)
        if read.outs and not lost:
            lost = _mended_or_noticed(workspace, ran, read, path, expected)
        workspace.remove()
        return lost

    return trial


def checked(pattern: str) -> Trial:
    """A trial of `foreframe check`, which finds what a disk did without touching any date."""

    def trial(ground: Ground, random: Random) -> list[str]:
        workspace, path = _damaged(ground, Read(pattern, []), random, keep_time=True)
        ran = workspace.quick(foreframe("check"))
        workspace.remove()
        if ran.code == 0:
            return ["was not noticed"]
        return tracebacks(ran) or ([] if path.name in ran.output else [f"{path.name} is not named: {ran.last_line}"])

    return trial


def noted_promotion(ground: Ground, random: Random) -> list[str]:
    """The note of a promotion that was killed, by which its version is taken back: never another version."""
    workspace = ground.copy(ground.staged)
    versions = "models/v1.0.0", "models/v2.0.0"
    expected = workspace.hashes(*versions)
    note = workspace.folder / "models/promoting.json"
    write_sealed(note, {"version": "v3.0.0", "tags_before": []})
    flip(note, random)
    ran = workspace.quick(flow_of("retrain", "restore"))
    lost = tracebacks(ran) + differences(expected, workspace.hashes(*versions))
    if note.name not in ran.output:
        lost.append(f"names no file: {ran.last_line}")
    workspace.remove()
    return lost


def noted_overrides(ground: Ground, random: Random) -> list[str]:
    """The note of overrides of a run that was killed, by which params.yaml is as before: never as something else."""
    workspace = ground.copy(ground.reproduced)
    workspace.environment["PREFECT_API_URL"] = ground.api
    params = workspace.folder / "params.yaml"
    written, note = params.read_text(), workspace.folder / ".dvc/tmp/overrides.json"
    write_sealed(note, {"before": f"# as before\n{written}", "written": written})
    flip(note, random)
    ran = workspace.quick(flow_of("repro", "extract"), 900)
    lost = tracebacks(ran) + finished(ran)
    if params.read_text() != written:
        lost.append("params.yaml has what a damaged note says")
    if note.name not in ran.output:
        lost.append(f"names no file: {ran.last_line}")
    workspace.remove()
    return lost


def _damaged(ground: Ground, read: Read, random: Random, *, keep_time: bool) -> tuple[Workspace, Path]:
    workspace = ground.copy(getattr(ground, read.of if read.command else "reproduced"))
    files = [path for path in sorted(workspace.folder.glob(read.file)) if path.is_file() and path.stat().st_size]
    path = random.choice(files)
    flip(path, random, keep_time=keep_time)
    for out in read.forget:
        shutil.rmtree(workspace.folder / out)
    return workspace, path


def _mended_or_noticed(workspace: Workspace, ran: Ran, read: Read, path: Path, expected: dict[str, str]) -> list[str]:
    if ran.code:
        known = [path.name, path.parent.name, *read.words]
        return [] if any(word in ran.output for word in known) else [f"names no file: {ran.last_line}"]
    wrong = differences(expected, workspace.hashes(*read.outs))
    return [f"taken for the truth: {what}" for what in wrong] or finished(ran)


def _object_of_model(of: str = "reproduced") -> Read:
    return Read(
        ".dvc/cache/files/md5/??/*",
        flow_of("repro"),
        DATA,
        forget=("data/model", "data/frames", "data/clips", "data/sample", "data/renders"),
        of=of,
        words=("cache",),
    )


ROLLBACK = foreframe("rollback")
READS = {
    "array of frames, `extract`": Read("data/frames/*.npy", stage("extract"), ("data/frames",)),
    "index.csv, `extract`": Read("data/frames/index.csv", stage("extract"), ("data/frames",)),
    "index.csv, `tensorize`": Read("data/frames/index.csv", stage("tensorize")),
    "videos.json, `extract`": Read("data/.frames/videos.json", stage("extract"), ("data/frames",)),
    "clips.csv, `evaluate`": Read("data/clips/clips.csv", stage("evaluate")),
    "clips.json, `evaluate`": Read("data/clips/clips.json", stage("evaluate")),
    "model.json, `predict`": Read("data/model/model.json", PREDICT, ("out.mp4",)),
    "model.safetensors, `predict`": Read("data/model/model.safetensors", PREDICT, ("out.mp4",)),
    "model.json, `info`": Read("data/model/model.json", foreframe("info", "data/model")),
    "training state, `train`": Read(
        ".train/*/*", stage("train"), ("data/model",), forget=("data/model", "data/training")
    ),
    "clips.csv, `train`": Read("data/clips/clips.csv", stage("train")),
    "table of the training, `render`": Read("data/training/plots/**/*", stage("render")),
    "horizon.csv, `render`": Read("data/metrics/horizon.csv", stage("render")),
    "intervals.csv, `render`": Read("data/metrics/intervals.csv", stage("render")),
    "hashes.json, `evaluate`": Read("data/frames/hashes.json", stage("evaluate"), ("data/metrics",)),
    "metrics.json, `info`": Read("data/metrics/metrics.json", foreframe("info", "data/metrics")),
    "metrics.json, `render`": Read("data/metrics/metrics.json", stage("render")),
    "params.yaml, `tensorize`": Read("params.yaml", stage("tensorize")),
    "promotion.json, `rollback`": Read("models/v*/promotion.json", ROLLBACK),
    "a version's weights, `rollback`": Read(
        "models/v1.0.0/model.safetensors", ROLLBACK, ("nothing",), words=("v1.0.0",)
    ),
    "video, `extract`": Read("data/sample/train/*.mp4", stage("extract")),
    "video, `predict`": Read("in.mp4", PREDICT),
    "pretrained weights, `predict`": Read(
        "pipeline/pretrained/model.safetensors", [*PREDICT[:-1], "pipeline/pretrained"], ("out.mp4",)
    ),
    "pretrained card, `predict`": Read(
        "pipeline/pretrained/model.json", [*PREDICT[:-1], "pipeline/pretrained"], ("out.mp4",)
    ),
}
REPRODUCED = {
    "array of frames": "data/frames/*.npy",
    "index.csv": "data/frames/index.csv",
    "clips.csv": "data/clips/clips.csv",
    "model.safetensors": "data/model/model.safetensors",
    "metrics.json": "data/metrics/metrics.json",
}
CHECKED = REPRODUCED | {
    "DVC's cache": ".dvc/cache/files/md5/??/*",
    "model.json": "data/model/model.json",
    "promotion.json": "models/v*/promotion.json",
    "the champion": "models/v2.0.0/model.safetensors",
}
LONG = (  # seconds each
    "training state, `train`", "clips.csv, `train`", "metrics.json, `render`", "horizon.csv, `render`",
    "intervals.csv, `render`", "table of the training, `render`", "pretrained weights, `predict`",
)  # fmt: skip
FAULTS = [
    *(Fault("bit flipped", name, flipped(read), 10, int(name not in LONG)) for name, read in READS.items()),
    *(
        Fault("bit flipped", f"{name}, `dvc repro`", flipped(Read(pattern, DVC, DATA, of="reproduced")), 3)
        for name, pattern in REPRODUCED.items()
    ),
    Fault(
        "bit flipped",
        "dvc.lock, `flows.repro`",
        flipped(Read("dvc.lock", flow_of("repro"), DATA, of="reproduced", words=("dvc.lock",))),
        5,
    ),
    Fault("bit flipped", "dvc.yaml, `flows.repro`", flipped(Read("dvc.yaml", flow_of("repro"), of="reproduced")), 5),
    Fault("bit flipped", "object of DVC's cache, `flows.repro`", flipped(_object_of_model()), 4),
    *(Fault("bit flipped", f"{name}, `foreframe check`", checked(pattern), 3) for name, pattern in CHECKED.items()),
    Fault("bit flipped", "note of a promotion, `flows.retrain restore`", noted_promotion, 5, 1),
    Fault("bit flipped", "note of overrides, `flows.repro`", noted_overrides, 5),
]
