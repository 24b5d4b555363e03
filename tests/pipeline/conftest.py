"""What the tests of several models share."""

from contextlib import nullcontext

import pytest

from pipeline.nn.packed import PackedWeights


@pytest.fixture(params=[PackedWeights, nullcontext])
def scope(request):
    """The test runs with weights that are packed once, and with plain ones."""
    with request.param():
        yield
