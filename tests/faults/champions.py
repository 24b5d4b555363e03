"""A champion that is damaged or gone: no worse model takes its place, and it comes back as it was."""

import shutil
import subprocess
from collections.abc import Callable
from random import Random

from tests.faults.commands import PYTHON, Workspace
from tests.faults.fault import Fault, Trial, differences, finished, refused
from tests.faults.flips import flip
from tests.faults.ground import Ground
from tests.faults.kills import CHAMPION

RETRAIN = [PYTHON, "-m", "flows.retrain"]
Damage = Callable[[Workspace, Random], None]


def flipped(name: str) -> Damage:
    """One bit of the champion's file `name` is another."""
    return lambda workspace, random: flip((workspace.folder / "models/champion").resolve() / name, random)


def without(name: str) -> Damage:
    """The champion's file `name` is not there."""
    return lambda workspace, random: ((workspace.folder / "models/champion").resolve() / name).unlink()


def without_models(workspace: Workspace, random: Random) -> None:
    """There is no folder of models."""
    shutil.rmtree(workspace.folder / "models")


def cleaned(workspace: Workspace, random: Random) -> None:
    """Nothing is there but what git knows: no models, no data, no cache."""
    subprocess.run(["git", "clean", "-qfdx"], cwd=workspace.folder, check=True)


def damaged(damage: Damage, *, stops: bool) -> Trial:
    """A trial of `retrain restore`, and, where it `stops` at this damage, of `retrain` before."""

    def trial(ground: Ground, random: Random) -> list[str]:
        workspace = ground.copy(ground.promoted)
        workspace.environment["PREFECT_API_URL"] = ground.api
        expected = workspace.hashes(*CHAMPION)
        damage(workspace, random)
        lost = refused(workspace.quick([*RETRAIN, "-S", "train.seed=2"]), "restore") if stops else []
        lost += finished(workspace.quick([*RETRAIN, "restore"])) + differences(expected, workspace.hashes(*CHAMPION))
        workspace.remove()
        return lost

    return trial


def rolled_back(damage: Damage) -> Trial:
    """A trial of `retrain rollback`: the version before is the champion, with the bytes that it had."""

    def trial(ground: Ground, random: Random) -> list[str]:
        workspace = ground.copy(ground.promoted)
        expected = workspace.hashes("models/v1.0.0/model.json", "models/v1.0.0/model.safetensors")
        damage(workspace, random)
        lost = finished(workspace.quick([*RETRAIN, "rollback"]))
        again = {name.replace("champion", "v1.0.0"): value for name, value in workspace.hashes(*CHAMPION).items()}
        workspace.remove()
        return lost + differences(expected, again)

    return trial


FAULTS = [
    Fault("champion", "a bit of its weights flipped", damaged(flipped("model.safetensors"), stops=True), 3),
    Fault("champion", "a bit of its card flipped", damaged(flipped("model.json"), stops=True), 3),
    Fault("champion", "weights missing", damaged(without("model.safetensors"), stops=True), 1),
    Fault("champion", "no models/", damaged(without_models, stops=False), 1),
    Fault("champion", "`git clean -fdx`, with a remote", damaged(cleaned, stops=False), 1),
    Fault("champion", "`rollback` after `git clean -fdx`, with a remote", rolled_back(cleaned), 1),
    Fault("champion", "`rollback` without models/", rolled_back(without_models), 1),
]
