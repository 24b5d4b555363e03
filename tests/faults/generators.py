"""Every generator with every objective and task, through the real stages."""

from itertools import product
from random import Random

from ruamel.yaml import YAML

from tests.faults.commands import PYTHON
from tests.faults.fault import Fault, Trial, finished
from tests.faults.ground import Ground
from tests.workspace import ROOT

SECTIONS = YAML(typ="safe").load(ROOT / "params.yaml")["model"]
GENERATORS = [name for name in SECTIONS if name != "name"]
COMBINATIONS = list(product(GENERATORS, ("pixel", "adversarial"), ("predict", "translate")))


def passes(*combination: str) -> Trial:
    """A trial of one combination; what it writes is looked at by tests/pipeline/stages/test_train_combinations.py."""

    def trial(ground: Ground, random: Random) -> list[str]:
        return finished(ground.staged.quick([PYTHON, "-m", "tests.faults.combinations", "--only", *combination], 900))

    return trial


FAULTS = [Fault("combination", " × ".join(combination), passes(*combination), 1) for combination in COMBINATIONS]
