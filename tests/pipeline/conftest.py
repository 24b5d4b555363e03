"""What the tests of several models share."""

from contextlib import nullcontext

import pytest

from pipeline.nn import packed_convolutions
from pipeline.nn.packed_convolutions import PackedWeights


@pytest.fixture(autouse=True)
def check_packed_weights(monkeypatch):
    """Every PackedWeights that a test enters notices weights that change meanwhile."""
    monkeypatch.setattr(packed_convolutions, "CHECK", True)


@pytest.fixture(params=[PackedWeights, nullcontext])
def scope(request):
    """The test runs with weights that are packed once, and with plain ones."""
    with request.param():
        yield
