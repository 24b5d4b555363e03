"""Odd numbers in params.yaml and on the command line: refused in one line, or the results are finite numbers."""

import json
import math
from pathlib import Path
from random import Random

from tests.faults.commands import STAGES, foreframe, stage
from tests.faults.fault import Fault, Trial, refused, tracebacks
from tests.faults.ground import Ground
from tests.faults.kills import PREDICT

RECIPE = "model__foreframe__recipe__"


def odd(first: str, **values: object) -> Trial:
    """A trial of the stages from `first` on with other parameters: one refuses, or all results are finite."""

    def trial(ground: Ground, random: Random) -> list[str]:
        workspace = ground.copy(ground.staged)
        workspace.set(**values)
        lost = []
        for name in list(STAGES)[list(STAGES).index(first) :]:
            ran = workspace.quick(stage(name), 600)
            lost = tracebacks(ran)
            if lost or ran.code:
                break
        else:
            lost = _not_finite(workspace.folder)
        workspace.remove()
        return lost

    return trial


def _not_finite(folder: Path) -> list[str]:
    rows = json.loads((folder / "data/metrics/metrics.json").read_text())
    model = rows["model"]
    bad = [name for name, value in model.items() if name != "intervals" and not _is_number(value)]
    return [f"{name} of the model is no number, and nobody was told" for name in bad]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def never_better(rate: float) -> Trial:
    """A trial of a learning rate with which nothing is learnt: an error says so, or the log does."""

    def trial(ground: Ground, random: Random) -> list[str]:
        workspace = ground.copy(ground.staged)
        workspace.set(**{f"{RECIPE}learning_rate": rate})
        ran = workspace.quick(stage("train"), 600)
        workspace.remove()
        said = "learning_rate" in ran.output if ran.code else "never got better" in ran.output
        return tracebacks(ran) or ([] if said else [f"exit status {ran.code} and nothing said: {ran.last_line}"])

    return trial


def short_segments(ground: Ground, random: Random) -> list[str]:
    """A trial of a training in bfloat16 on frames of 16 × 16, in segments of some frames, with odd numbers.

    oneDNN once crashed in such trainings (exit status 139), with learning rates too high and with harmless ones.
    """
    workspace = ground.copy(ground.staged)
    workspace.set(
        train__precision="bf16", train__bptt_steps=random.choice([1, 2, 3, 3, 3]),
        train__noise_channels=random.choice([1, 2, 2]), train__accumulate=random.choice([1, 2, 2, 3]),
        train__adversary__start=0.0, model__foreframe__hidden_channels=random.choice([1, 3, 5, 8]),
        model__foreframe__num_motions=random.choice([1, 3]), model__foreframe__patch_size=random.choice([1, 2, 4, 4]),
        **{
            f"{RECIPE}objective": random.choice(["pixel", "adversarial"]),
            f"{RECIPE}batch_size": random.choice([1, 2, 3, 4, 5, 7]),
            f"{RECIPE}learning_rate": random.choice([1e-5, 4e-3, 4e-3, 0.1, 10.0, 1e6, 1e30]),
            f"{RECIPE}sampling": random.choice(["free", "teacher", "scheduled"]),
        },
    )  # fmt: skip
    ran = workspace.quick(stage("train"), 600)
    workspace.remove()
    lost = tracebacks(ran) + ([f"exit status {ran.code}"] if ran.code not in (0, 1) else [])
    last = ran.output.strip().rpartition("\n")[2]
    return lost + ([f"no message: {last}"] if ran.code and not last.startswith("train: ") else [])


def option(*command: str) -> Trial:
    """A trial of an odd number on the command line, which must be refused."""

    def trial(ground: Ground, random: Random) -> list[str]:
        workspace = ground.copy(ground.staged)
        lost = refused(workspace.quick(foreframe(*command), 60))
        workspace.remove()
        return lost

    return trial


ODD = {
    "context 1, horizon 1": odd("tensorize", tensorize__context=1, tensorize__horizon=1),
    "context 0": odd("tensorize", tensorize__context=0),
    "horizon of a million": odd("tensorize", tensorize__horizon=1_000_000),
    "stride of a million": odd("tensorize", tensorize__stride=1_000_000),
    "fractions that add to more than one": odd("tensorize", tensorize__val_fraction=0.9, tensorize__test_fraction=0.9),
    "kernel_size 2": odd("train", model__name="convlstm", model__convlstm__kernel_size=2),
    "kernel_size 1": odd("train", model__name="convlstm", model__convlstm__kernel_size=1),
    "patch_size 3 on frames of 16": odd("train", model__foreframe__patch_size=3),
    "patch_size 32 on frames of 16": odd("train", model__foreframe__patch_size=32),
    "batch_size of a million": odd("train", **{f"{RECIPE}batch_size": 1_000_000}),
    "epochs 0": odd("train", **{f"{RECIPE}epochs": 0}),
    "learning_rate nan": odd("train", **{f"{RECIPE}learning_rate": math.nan}),
    "learning_rate inf": odd("train", **{f"{RECIPE}learning_rate": math.inf}),
    "learning_rate -1": odd("train", **{f"{RECIPE}learning_rate": -1.0}),
    "learning_rate 1e6": never_better(1e6),
    "learning_rate 1e30": never_better(1e30),
    "loss weight 1e38": odd("train", **{f"{RECIPE}loss__l2": 1e38}),
    "clip_norm 1e-30": odd("train", **{f"{RECIPE}clip_norm": 1e-30}),
    "threads: a million": odd("train", train__num_threads=1_000_000),
    "seed -1": odd("train", train__seed=-1),
    "seed 2**70": odd("train", train__seed=2**70),
    "evaluate: batch of a million": odd("evaluate", evaluate__batch_size=1_000_000),
    "evaluate: no clips": odd("evaluate", evaluate__max_clips=0),
    "render: a billion frames a second": odd("render", render__fps=1e9),
    "render: a frame in a million seconds": odd("render", render__fps=1e-6),
    "render: scale of a million": odd("render", render__scale=1_000_000),
    "extract: size of a million": odd("extract", extract__size=[1_000_000, 1_000_000]),
    "extract: fps of a billion": odd("extract", extract__fps=1e9),
    "`predict --frames` 10**9": option(*PREDICT[3:6], "--frames", str(10**9), "--size", "99999999"),
    "`predict --frames` 0": option("predict", "in.mp4", "out.mp4", "--frames", "0"),
    "`predict --seed` 2**70": option("predict", "in.mp4", "out.mp4", "--frames", "3", "--seed", str(2**70)),
    "`predict --samples` 10**9": option("predict", "in.mp4", "out.mp4", "--frames", "3", "--samples", str(10**9)),
    "`translate --tile` 7": option("translate", "in.mp4", "out.mp4", "--model", "translator", "--tile", "7"),
}
TRAINS = {  # these are taken, and a training takes seconds
    "stride of a million", "kernel_size 1", "patch_size 3 on frames of 16", "patch_size 32 on frames of 16",
    "batch_size of a million", "learning_rate 1e6", "loss weight 1e38", "clip_norm 1e-30", "threads: a million",
    "seed 2**70",
}  # fmt: skip
FAULTS = [Fault("odd number", name, trial, 1, int(name not in TRAINS)) for name, trial in ODD.items()]
FAULTS.append(Fault("bfloat16", "short segments of small frames, odd numbers", short_segments, 36))
