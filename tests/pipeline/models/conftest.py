"""What the tests of several models share."""

from contextlib import nullcontext

import pytest

from pipeline.models.convolution import FixedWeights


@pytest.fixture(params=[FixedWeights, nullcontext])
def scope(request):
    """The test runs with weights that are packed once, and with plain ones."""
    with request.param():
        yield
