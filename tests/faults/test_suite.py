"""The suite of faults itself: what breaks in it is told and never passes for a try."""

from tests.faults.fault import Fault
from tests.faults.suite import Results, attempt, table


def breaks(ground, random):
    raise IsADirectoryError("not the program's fault")


def test_a_trial_that_breaks_by_itself_is_told_with_its_place_and_made_again(tmp_path):
    fault = Fault("bit flipped", "a folder", breaks, 1)
    results = Results(tmp_path / "results.jsonl")
    attempt(fault, None, 0, results)
    for known in (results, Results(results.path)):
        row = known.row(fault)
        assert (row.times, row.nothing_lost) == (1, 0)
        assert row.broken == row.lost
        assert row.broken[0].startswith("the trial broke at test_suite.py:8: IsADirectoryError: not the program's")
        assert not known.fine(fault, 0)
    assert "| bit flipped: a folder | 1 | 0 |" in table([row])
