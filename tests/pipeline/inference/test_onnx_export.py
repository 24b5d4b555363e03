"""A generator as ONNX gives what torch gives, at any size and batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pipeline.cli import main
from pipeline.data.translation import Translation
from pipeline.errors import ModelError, PipelineError
from pipeline.inference import onnx_export
from pipeline.inference.onnx_export import TOLERANCE, UNTOLD, export_onnx
from pipeline.model_dir import ModelCard, load, save
from pipeline.nn.optical_flow import backward_flow
from tests.test_docs import ROOT, code_blocks

os.environ.setdefault(UNTOLD, "1")
onnxruntime = pytest.importorskip("onnxruntime")

EXPORT = """
import sys
from pathlib import Path
from pipeline.inference.onnx_export import export_onnx
export_onnx(Path(sys.argv[1]), Path(sys.argv[2]))
"""
SIZES = {
    "foreframe": {"hidden_channels": 4, "num_scales": 2, "num_motions": 3, "patch_size": 4},
    "convlstm": {"hidden_channels": 4, "num_layers": 2, "kernel_size": 3, "patch_size": 4},
    "stlstm": {"hidden_channels": 4, "num_layers": 2, "kernel_size": 3, "patch_size": 4, "decoupling": 0.05},
    "cnn_lstm": {"hidden_channels": 4, "num_layers": 1, "kernel_size": 3, "patch_size": 2},
    "minconv": {"cell": "gru", "hidden_channels": 4, "num_layers": 2, "kernel_size": 3, "patch_size": 4},
    "cnn": {"hidden_channels": 4, "num_blocks": 1, "num_frames": 4, "patch_size": 4},
}
NOISE = Translation(source=None, target=None, degradation="noise", strength=25.0, seed=0)


def write_model(folder, name, sizes, **changed):
    fields = {
        "noise_channels": 0,
        "task": "predict",
        "context": 3,
        "horizon": 4,
        "data": "x",
        "metrics": {"val_mse": 1.5},
    }
    card = ModelCard(name=name, sizes=sizes, frame_shape=(3, 16, 16), out_channels=3, **(fields | changed))
    torch.manual_seed(0)
    model = card.build()
    for parameter in model.parameters():
        parameter.data += 0.03 * torch.randn_like(parameter)  # beyond weights that change nothing
    save(folder, model, card)
    return folder


def test_an_export_leaves_nothing_at_home_and_tells_nobody_of_itself(tmp_path):
    model = write_model(tmp_path / "model", "cnn", SIZES["cnn"])
    home = tmp_path / "home"
    home.mkdir()
    places = {"HOME": str(home), "TMPDIR": str(home)}
    environment = {name: text for name, text in os.environ.items() if name not in ("CI", "XDG_CACHE_HOME", UNTOLD)}
    command = [sys.executable, "-c", EXPORT, model, tmp_path / "m.onnx"]
    subprocess.run(command, check=True, env=environment | places)
    assert [path.name for path in home.rglob("*") if "onnxruntime" in path.name or path.name == ".ses"] == []


@pytest.mark.parametrize("name", SIZES)
def test_thirty_steps_are_those_of_torch_at_sizes_and_batches_that_were_not_recorded(name, tmp_path):
    files, difference = export_onnx(write_model(tmp_path / "model", name, SIZES[name]), tmp_path / "m.onnx")
    assert difference < TOLERANCE
    assert [path.name for path in files] == ["m-begin.onnx", "m.onnx"]
    session = onnxruntime.InferenceSession(files[1])
    inputs, outputs = ([value.name for value in values] for values in (session.get_inputs(), session.get_outputs()))
    assert inputs[0] == "frame"
    assert outputs == ["next_frame", *(f"next_{name}" for name in inputs[1:])]
    assert session.get_inputs()[0].shape == ["batch", 3, "height", "width"]
    assert all(value.shape[0] == "batch" for value in session.get_inputs())


def test_translating_with_a_carried_output_and_noise_channels_is_exported_too(tmp_path):
    changed = {"task": "translate", "translation": NOISE, "carry": 0.05, "noise_channels": 2}
    model = write_model(tmp_path / "model", "foreframe", SIZES["foreframe"], **changed)
    files, difference = export_onnx(model, tmp_path / "m.onnx")
    assert difference < TOLERANCE
    session = onnxruntime.InferenceSession(files[1])
    assert session.get_inputs()[0].shape[1] == 5


def test_a_difference_is_found_and_nothing_is_written(tmp_path, monkeypatch):
    model = write_model(tmp_path / "model", "convlstm", SIZES["convlstm"])
    record = onnx_export._record

    def other_weights(module, card, *, first):
        with torch.no_grad():
            for parameter in module.parameters():
                parameter += 0.01
        return record(module, card, first=first)

    monkeypatch.setattr(onnx_export, "_record", other_weights)
    with pytest.raises(ModelError, match="differs from torch by"):
        export_onnx(model, tmp_path / "m.onnx")
    assert not list(tmp_path.glob("*.onnx"))


def test_a_generator_for_one_size_is_refused(tmp_path):
    model = write_model(tmp_path / "model", "lstm", {"hidden_size": 4, "num_layers": 1})
    with pytest.raises(ModelError, match="takes frames of 16x16 pixels only"):
        export_onnx(model, tmp_path / "m.onnx")


def test_a_generator_that_measures_motion_is_told_which_frames_are_its_own(tmp_path):
    sizes = SIZES["foreframe"] | {"measured_motion": True}
    files, difference = export_onnx(write_model(tmp_path / "model", "foreframe", sizes), tmp_path / "m.onnx")
    assert difference < TOLERANCE  # of frames whose pyramids have three levels, and four
    step = onnxruntime.InferenceSession(files[1])
    frame = np.random.default_rng(0).uniform(-1, 1, (2, 3, 24, 24)).astype(np.float32)
    found = onnxruntime.InferenceSession(files[0]).run(None, {"frame": frame})
    names = [value.name for value in step.get_inputs()]
    assert (names[0], names[-1]) == ("frame", "fed_back")

    def next_frame(*fed_back):
        feeds = dict(zip(names, [frame[::-1], *found[1:], np.array(fed_back)], strict=True))
        return step.run(None, feeds)[0]

    mixed = next_frame(True, False)
    np.testing.assert_allclose(mixed[0], next_frame(True, True)[0], atol=1e-5)
    np.testing.assert_allclose(mixed[1], next_frame(False, False)[1], atol=1e-5)
    assert not np.allclose(mixed[0], next_frame(False, False)[0], atol=1e-3)


@pytest.mark.parametrize("side", [7, 15, 16, 30, 31, 60, 61, 90])
def test_a_graph_of_optical_flow_leaves_out_the_levels_that_small_frames_do_not_have(side, flow_session):
    random = torch.Generator().manual_seed(side)
    first = F.avg_pool2d(torch.rand(1, 1, side + 4, side + 7, generator=random), 5, stride=1) * 2 - 1
    second = first.roll(1, dims=-1)
    (found,) = flow_session.run(None, {"first": first.numpy(), "second": second.numpy()})
    np.testing.assert_allclose(found, backward_flow(first, second).numpy(), atol=1e-4)


@pytest.fixture(scope="module")
def flow_session():
    class Flow(nn.Module):
        def forward(self, first, second):
            return backward_flow(first, second)

    axes = {0: "batch", 2: "height", 3: "width"}
    with onnx_export._recording() as buffer:
        torch.onnx.export(
            Flow(), (torch.rand(13, 1, 27, 37), torch.rand(13, 1, 27, 37)), buffer, input_names=["first", "second"],
            output_names=["flow"], dynamic_axes={"first": axes, "second": axes, "flow": axes}, opset_version=17,
            dynamo=False,
        )  # fmt: skip
    return onnxruntime.InferenceSession(buffer.getvalue())


def test_a_name_that_is_no_onnx_file_is_refused(tiny, tmp_path):
    with pytest.raises(PipelineError, match=r"should end in \.onnx"):
        export_onnx(tiny.model, tmp_path / "model")


def test_export_says_what_it_wrote(tiny, tmp_path, capsys):
    with pytest.raises(SystemExit) as ending:
        main(["export", str(tiny.model), str(tmp_path / "bar.onnx"), "--json"])
    assert ending.value.code == 0
    said = json.loads(capsys.readouterr().out)
    assert said["files"] == [str(tmp_path / "bar-begin.onnx"), str(tmp_path / "bar.onnx")]
    assert said["difference"] < TOLERANCE


def test_the_lines_in_the_docs_continue_a_video_as_torch_does(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    export_onnx(tiny.model, Path("walk.onnx"))
    past = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
    np.save("past.npy", past)
    [block] = code_blocks((ROOT / "docs/export.md").read_text(), "python")
    names = {}
    exec(block, names)
    generator, _ = load(tiny.model, torch.device("cpu"))
    frames = torch.from_numpy(past).permute(0, 3, 1, 2)[None] / 127.5 - 1  # (B, T, C, H, W)
    with torch.inference_mode():
        predicted, state = generator(frames)
        expected = [predicted[:, -1:]]
        for _ in range(29):
            predicted, state = generator(expected[-1], state)
            expected.append(predicted)
    expected = ((torch.cat(expected, 1)[0].permute(0, 2, 3, 1) + 1) * 127.5).numpy()
    assert np.abs(np.stack(names["future"]) - expected).max() < 0.51
