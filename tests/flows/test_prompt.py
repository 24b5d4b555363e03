"""What a person at a terminal sees of a mistake."""

import logging

import pytest

from flows import at_the_prompt
from pipeline.errors import ParamsError


def test_a_mistake_at_the_prompt_is_one_line():
    def broken() -> None:
        raise ParamsError("params.yaml: a: is missing")

    with pytest.raises(SystemExit, match=r"^broken: params\.yaml: a: is missing$"):
        at_the_prompt(broken)
    logger = logging.getLogger("prefect.flow_runs")
    for error, shown in ((ParamsError("a"), False), (ValueError("a"), True)):  # the second is our mistake
        record = logger.makeRecord("", logging.ERROR, "", 0, "failed", (), (type(error), error, None))
        assert logger.filter(record)
        assert bool(record.exc_info) is shown
