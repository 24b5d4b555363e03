"""Writes a generator as ONNX: one graph for a sequence's first frame, one for every further step.

The recurrent state is inputs and outputs; batch, height and width are dynamic. Any convolutional generator with the
contract of pipeline.models can be exported: it is run on one step and what it does is recorded.
"""

import importlib.util
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from pipeline.errors import ModelError, PipelineError
from pipeline.model_dir import ModelCard, load
from pipeline.nn.rollout import call
from pipeline.runtime.files import replacing

OPSET = 17  # grid_sample is there from 16 on
BATCH = 13  # of the recorded step; a size of a network that is the same would be taken for it
TOLERANCE = 1e-4  # of a value in [-1, 1], after all STEPS, between torch and onnxruntime
STEPS = 30
UNTOLD = (
    "ORT_DISABLE_TELEMETRY"  # else onnxruntime, from 1.32 on, numbers this machine and tells its makers of each run
)
# of what is compared: (batch, height, width); neither multiples of a patch nor what was recorded
COMPARED = ((1, 64, 64), (2, 41, 50))
RECORDED = (27, 37)  # height and width of the recorded step, so that padding is recorded too

logger = logging.getLogger(__name__)


def export_onnx(model_dir: Path, output: Path) -> tuple[list[Path], float]:
    """Write the model in `model_dir` to `output` (.onnx) and, for the first frame of a sequence, to OUTPUT-begin.onnx.

    Returns both paths, and the largest difference from torch over 30 steps in onnxruntime. Raises ModelError for a
    generator that takes one size of frame only, PipelineError where the packages of the extra `onnx` are not there, the
    name does not end in .onnx, or the difference is above 1e-4: then nothing is written.
    """
    if output.suffix != ".onnx":
        raise PipelineError(f"{output}: should end in .onnx; with --card it is a folder")
    if missing := [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]:
        raise PipelineError(f"{missing[0]}: is not installed; pip install 'foreframe[onnx]'")
    model, card = load(model_dir)
    height, width = card.frame_shape[1:]
    card.check_size((2 * height, 2 * width))
    begin = output.with_name(f"{output.stem}-begin.onnx")
    recorded = {begin: _record(model, card, first=True), output: _record(model, card, first=False)}
    read = {value.name for value in recorded[output].graph.input}  # a state that no step reads is left out
    graphs = {path: _without_states(graph, read) for path, graph in recorded.items()}
    difference = _compare(model, card, *graphs.values())
    if not difference <= TOLERANCE:
        raise ModelError(f"{model_dir}: onnxruntime differs from torch by {difference:.2g}, more than {TOLERANCE:g}")
    for path, content in graphs.items():
        with replacing(path) as part:
            part.write_bytes(content)
    return list(graphs), difference


def measures_motion(model: nn.Module) -> bool:
    """Whether `model` takes a frame of its own otherwise than a true one, so that its graph must be told."""
    return getattr(model, "measures_motion", False)


class Step(nn.Module):
    """One step of `model` as ONNX has it: flat tensors in and out, no axis of time."""

    def __init__(self, model: nn.Module, structure: Any) -> None:
        super().__init__()
        self.model, self.structure = model, structure

    def forward(self, frame: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        """A frame (B, C, H, W) and the state's tensors to the next frame and the state after it.

        A model that measures motion has another input after these: which frames are its own last output, (B,) bool.
        """
        state, fed_back = list(rest), None
        if state and measures_motion(self.model):
            fed_back = state.pop()[:, None]
        before = pytree.tree_unflatten(state, self.structure) if state else None
        frames, after = call(self.model, frame[:, None], before, fed_back)
        return (frames[:, 0], *pytree.tree_leaves(after))


class _AnySize(TorchFunctionMode):
    """Calls that would fix the batch or the size of the recorded step say the same without their numbers.

    With a single step T * B is B: a split into steps has one part, and the last B rows are all.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if func is torch.tensor and isinstance(args[0], list) and any(isinstance(v, Tensor) for v in args[0]):
            # of numbers that follow from the frame's size, which torch.tensor would fix
            return torch.stack([torch.as_tensor(value, dtype=torch.get_default_dtype()) for value in args[0]])
        x = args[0] if args and isinstance(args[0], Tensor) else None
        if x is None or x.dim() == 0:
            return func(*args, **kwargs)
        if name == "split" and _is_batch(args[1]) and not kwargs.get("dim") and len(x) == BATCH:
            return (x,)
        if name == "unflatten" and args[1] == 0 and args[2][0] == -1 and _is_batch(args[2][1]):
            return x.unflatten(0, (len(x) // BATCH, -1))
        if name == "__getitem__":
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            if isinstance(index[0], slice) and _is_batch(index[0].start, -1) and len(x) == BATCH:
                return func(x, (slice(None), *index[1:]))
        if name in ("new_zeros", "new_full", "new_empty") and len(x) == BATCH:
            first, *rest = args[1:]
            size = list(first) if isinstance(first, tuple | list | torch.Size) else [first, *rest]
            values = rest if isinstance(first, tuple | list | torch.Size) else []
            if _is_batch(size[0]):
                return func(x, (x.shape[0], *size[1:]), *values, **kwargs)
        return func(*args, **kwargs)


def _is_batch(value: Any, sign: int = 1) -> bool:
    return isinstance(value, int | Tensor) and int(value) == sign * BATCH


def _record(model: nn.Module, card: ModelCard, *, first: bool) -> Any:
    """The ONNX graph of a step, of the first one of a sequence where `first`."""
    import onnx  # both take seconds

    frame = _frames(card, BATCH, *RECORDED)
    with torch.no_grad():
        after = model(frame[:, None])[1]
    leaves, structure = pytree.tree_flatten(after)
    names = [f"state_{number}" for number in range(len(leaves))]
    axes = {"frame": {0: "batch", 2: "height", 3: "width"}, "next_frame": {0: "batch", 2: "height", 3: "width"}}
    for name, state_axes in zip(names, _state_axes(model, card), strict=True):
        axes[name] = axes[f"next_{name}"] = state_axes
    told = [] if first or not measures_motion(model) else ["fed_back"]
    axes["fed_back"] = {0: "batch"}
    inputs = ["frame", *([] if first else names), *told]
    outputs = ["next_frame", *(f"next_{name}" for name in names)]
    arguments = (
        frame,
        *([] if first else [leaf.clone() for leaf in leaves]),
        *(torch.zeros(BATCH, dtype=torch.bool) for _ in told),
    )
    with _recording() as buffer:
        torch.onnx.export(
            Step(model, structure), arguments, buffer, input_names=inputs, output_names=outputs,
            dynamic_axes={name: axes[name] for name in inputs + outputs}, opset_version=OPSET, dynamo=False,
        )  # fmt: skip
    graph = onnx.load_from_string(buffer.getvalue())
    onnx.helper.set_model_props(graph, {"foreframe": card.model_dump_json(), "first": str(first).lower()})
    return graph


def _without_states(graph: Any, read: set[str]) -> bytes:
    """The content of a graph whose outputs are the next frame and the states in `read`."""
    import onnx

    for value in list(graph.graph.output):
        if value.name != "next_frame" and value.name.removeprefix("next_") not in read:
            graph.graph.output.remove(value)
    onnx.checker.check_model(graph)
    return graph.SerializeToString()


@contextmanager
def _recording() -> Iterator[Any]:
    """Without warnings: that of the recorder itself, and what it cannot know about lengths that are compared here."""
    import io

    with torch.no_grad(), warnings.catch_warnings(), _AnySize():
        warnings.simplefilter("ignore")
        yield io.BytesIO()


def _frames(card: ModelCard, batch: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Random frames as the generator is fed them, (B, C, H, W), noise channels among them."""
    random = torch.Generator().manual_seed(seed)
    shape = (batch, card.frame_shape[0] + card.noise_channels, height, width)
    return torch.rand(shape, generator=random) * 2 - 1


def _state_axes(model: nn.Module, card: ModelCard) -> list[dict[int, str]]:
    """The names of each state tensor's dynamic axes: batch, and height and width over the pixels of a cell."""

    def shapes(batch: int, height: int, width: int) -> list[torch.Size]:
        with torch.no_grad():
            return [leaf.shape for leaf in pytree.tree_leaves(model(_frames(card, batch, height, width)[:, None])[1])]

    usual, other_batch = shapes(1, 128, 128), shapes(2, 128, 128)
    higher, wider = shapes(1, 256, 128), shapes(1, 128, 256)
    found = []
    for shape, batch, high, wide in zip(usual, other_batch, higher, wider, strict=True):
        names = {}
        for axis, length in enumerate(shape):
            for name, other in (("batch", batch), ("height", high), ("width", wide)):
                if other[axis] != length:
                    cell = 1 if name == "batch" else 128 // length
                    names[axis] = name if cell == 1 else f"{name}_over_{cell}"
        found.append(names)
    return found


def _compare(model: nn.Module, card: ModelCard, begin: bytes, step: bytes) -> float:
    """The largest difference between torch and onnxruntime over STEPS, outputs fed back where the task does so."""
    os.environ.setdefault(UNTOLD, "1")
    import onnxruntime  # after that line: it looks at its import

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    sessions = [
        onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"]) for graph in (begin, step)
    ]
    names = [value.name for value in sessions[1].get_inputs()]  # the states in the order of the outputs
    worst = 0.0
    for shape in COMPARED:
        frame, state = _frames(card, *shape), None
        found: list[Any] = []
        feeds_back = False
        for number in range(STEPS + 1):
            own = np.full(len(frame), feeds_back)
            with torch.no_grad():
                told = torch.from_numpy(own)[:, None] if feeds_back and measures_motion(model) else None
                expected, state = call(model, frame[:, None], state, told)
            feeds = (
                dict(zip(names, [frame.numpy(), *found[1:], own], strict=False)) if number else {"frame": frame.numpy()}
            )
            found = sessions[min(number, 1)].run(None, feeds)
            worst = max(worst, float(np.abs(found[0] - expected[:, 0].numpy()).max()))
            feeds_back = number >= card.context and card.made_for.feeds_back
            fresh = _frames(card, *shape, seed=number + 1)
            frame = torch.cat([expected[:, 0], fresh[:, expected.shape[2] :]], dim=1) if feeds_back else fresh
    return worst
