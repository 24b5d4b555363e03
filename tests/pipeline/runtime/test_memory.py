"""Memory is estimated without being taken, and what does not fit is one line with what to change."""

from types import SimpleNamespace

import psutil
import pytest
import torch

from pipeline.errors import ModelError
from pipeline.models import build
from pipeline.runtime import memory


def training(batch, size):
    model = build("convlstm", (3, 32, 32), 3, hidden_channels=16, num_layers=2, kernel_size=3, patch_size=4)

    def step():
        frames = torch.zeros(batch, 4, 3, size, size)
        outputs, _ = model(frames)
        torch.autograd.grad(outputs.square().mean(), list(model.parameters()))

    return memory.estimate(step)


def test_the_estimate_takes_no_memory_itself():
    before = psutil.Process().memory_info().rss
    needed = training(64, 1024)
    assert needed > 50 * 2**30
    assert psutil.Process().memory_info().rss - before < 2**29


def test_the_estimate_grows_as_batch_and_pixels_do():
    small = training(2, 128)
    assert training(4, 128) == pytest.approx(2 * small, rel=0.1)
    assert training(2, 256) == pytest.approx(4 * small, rel=0.1)


def test_tensors_that_are_gone_do_not_count():
    def work():
        for _ in range(10):
            torch.zeros(1000, 1000)

    assert memory.estimate(work) <= memory.OVERHEAD * 2 * 4e6


def test_what_fits_is_let_through_and_what_does_not_is_one_line():
    memory.check("training", 10, 10, "train.crop")
    with pytest.raises(
        ModelError, match=r"^training needs about 3\.0 GiB of memory, 2\.0 GiB are free; lower train\.crop$"
    ):
        memory.check("training", 3 * 2**30, 2 * 2**30, "train.crop")


@pytest.mark.parametrize(
    ("limit", "used", "free"),
    [
        ("6000\n", "1000\n", 5000),  # a container may take less than the machine has
        ("9000\n", "1000\n", 7000),  # or more
        ("max\n", "1000\n", 7000),  # or has no limit, as cgroups v2 write it
        (None, None, 7000),
    ],
)
def test_what_is_free_is_the_machines_or_what_the_container_has_left(tmp_path, monkeypatch, limit, used, free):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=7000))
    monkeypatch.setattr(memory, "LIMITS", ((tmp_path / "limit", tmp_path / "used"),))
    if limit is not None:
        (tmp_path / "limit").write_text(limit)
        (tmp_path / "used").write_text(used)
    assert memory.available(torch.device("cpu")) == free
