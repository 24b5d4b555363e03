"""Which private operations of torch this installation has, and so whether the recurrent layers' fast kernels can run.

Every recurrent layer has two paths to the same values: its plain equations, differentiated by autograd, and a kernel
with a hand-written backward pass (pipeline/nn/*_kernel.py). The kernels need operations that torch does not promise to
keep. They are looked up here, once, and nowhere else; where one is missing, layers take the plain path.
"""

from operator import attrgetter
from typing import Any

import torch
from torch import Tensor


def _operation(name: str) -> Any:
    """The operation torch.ops.`name`, None where this torch has none of that name."""
    try:
        return attrgetter(name)(torch.ops)
    except AttributeError:
        return None


# backward passes of single operations; those with `_into` write their result where the caller wants it
sigmoid_backward_into = _operation("aten.sigmoid_backward.grad_input")
tanh_backward_into = _operation("aten.tanh_backward.grad_input")
tanh_backward = _operation("aten.tanh_backward")
convolution_backward = _operation("aten.convolution_backward")
# oneDNN: a weight in its own order, convolutions with such a weight, one that adds its result to what is there
reorder_convolution_weight = _operation("mkldnn._reorder_convolution_weight")
onednn_convolution = _operation("mkldnn._convolution_pointwise")
onednn_convolution_onto = _operation("mkldnn._convolution_pointwise_.binary")
onednn_has_bfloat16 = _operation("mkldnn._is_mkldnn_bf16_supported")


def fast_path_available(grid: Tensor) -> bool:
    """Whether a recurrent layer may hand `grid` to its kernel; otherwise it computes its plain equations."""
    # a step is recorded for ONNX, which has no such operations
    if torch.jit.is_tracing():  # type: ignore[attr-defined]
        return False
    operations = (sigmoid_backward_into, tanh_backward_into, tanh_backward, convolution_backward)
    # where the kernels are tested
    return grid.device.type in ("cpu", "cuda") and all(operation is not None for operation in operations)


def packing_available(grid: Tensor, dtype: torch.dtype) -> bool:
    """Whether convolutions of `grid` in `dtype` can be oneDNN's, with weights that were packed before."""
    # a tensor without content, by which memory is estimated, is a subclass
    if grid.device.type != "cpu" or type(grid) is not Tensor:
        return False
    if not (torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled):
        return False
    if any(
        operation is None for operation in (reorder_convolution_weight, onednn_convolution, onednn_convolution_onto)
    ):
        return False
    if dtype == torch.bfloat16:
        return onednn_has_bfloat16 is not None and onednn_has_bfloat16()
    return dtype == torch.float32


def products_outrun_convolutions() -> bool:
    """Whether this processor multiplies matrices of float32 as fast as it convolves: with AVX-512, oneDNN is ahead."""
    return torch.backends.cpu.get_cpu_capability() != "AVX512"
