"""The short form of the faults: each that is quick, once or twice. The long one: `python -m tests.faults`."""

import pytest

from tests.faults.fault import Skipped
from tests.faults.ground import Ground
from tests.faults.suite import FAULTS, Results, attempt

QUICK = [fault for fault in FAULTS if fault.short]


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    """Where workspaces are made."""
    ground = Ground(tmp_path_factory.mktemp("faults"))
    yield ground
    ground.close()


@pytest.mark.parametrize("fault", QUICK, ids=lambda fault: f"{fault.kind}: {fault.name}")
def test_nothing_is_lost(ground, fault):
    results = Results()
    try:
        for number in range(fault.short):
            attempt(fault, ground, number, results)
    except Skipped as reason:
        pytest.skip(str(reason))
    assert results.row(fault).lost == []
