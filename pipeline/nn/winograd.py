"""Convolutions of float32 in a third of the multiplications: Winograd's minimal filtering (Lavin & Gray 2016).

A square of TILE x TILE outputs of a convolution with r x r weights g is Aᵀ[(G g Gᵀ) ∘ (Bᵀ d B)]A, where d are the
n x n inputs that it reads, n = TILE + r - 1 (eq. 8): n² multiplications instead of TILE² r². Summed over channels they
are n² products of matrices, which any processor does at its full speed. For 5 x 5 weights that is 4 multiplications an
output instead of 25, for 3 x 3 ones 2.25 instead of 9; what is left of that after the transforms is measured by
`python -m tests.benchmarks.train cells`. Results differ from a plain sum's by some 1e-5 of their size. It is for AVX2:
with AVX-512 oneDNN's convolutions are as fast, and in bfloat16, which processors multiply many times faster, it would
lose.
"""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pipeline.nn.layers import CHANNELS_LAST

TILE = 4  # outputs, in each direction
# where polynomials are evaluated, and at infinity; near to 1, so that powers of them keep their digits
POINTS = {3: (0, 1, -1, 2, -2), 5: (0, 1, -1, 2, -2, 0.5, -0.5)}
MIN_CHANNELS = {3: 64, 5: 16}  # with fewer, the transforms take what the products save
CHUNK = 4 * 2**20  # values of a chunk's transformed inputs and outputs, which are to stay in a processor's cache


class Transforms(NamedTuple):
    """Matrices that act on squares as on vectors of their pixels, row after row."""

    weights: Tensor  # G ⊗ G, (n², r²)
    inputs: Tensor  # Bᵀ ⊗ Bᵀ, (n², n²)
    outputs: Tensor  # Aᵀ ⊗ Aᵀ, (TILE², n²)


class WinogradKernel(NamedTuple):
    """The weight (D, C, r, r) of a convolution, transformed: (n², C, D)."""

    weight: Tensor
    size: int  # r


def winograd_pays(grid_shape: torch.Size, weight_shape: torch.Size) -> bool:
    """Whether a convolution of a grid (N, C, h, w) with weights (D, C, r, r) is faster so: measured with AVX2."""
    num_outputs, num_inputs, size, _ = weight_shape
    count, _, height, width = grid_shape
    enough_channels = min(num_outputs, num_inputs) >= MIN_CHANNELS.get(size, math.inf)
    return enough_channels and min(height, width) >= TILE and count * height * width * num_inputs * num_outputs > 2e6


def winograd_kernel(weight: Tensor) -> WinogradKernel:
    """A weight (D, C, r, r), transformed once for many convolutions."""
    num_outputs, num_inputs, size, _ = weight.shape
    flat = weight.reshape(num_outputs * num_inputs, size * size)
    transformed = (_transforms(size).weights @ flat.T).view(-1, num_outputs, num_inputs)
    return WinogradKernel(transformed.transpose(1, 2).contiguous(), size)


def winograd_convolve(grid: Tensor, kernel: WinogradKernel, bias: Tensor | None) -> Tensor:
    """A convolution (N, C, h, w) to (N, D, h, w), channels-last, whose edges are padded by zeros to keep the size."""
    shape = (len(grid), kernel.weight.shape[2], *grid.shape[-2:])
    result = torch.empty(shape, dtype=grid.dtype, memory_format=CHANNELS_LAST)
    for part, output in _chunks(grid, result):
        target = output.permute(0, 2, 3, 1)
        squares = _squares(part, kernel)
        if bias is None:
            _each_square(target).copy_(squares) if _whole(grid) else target.copy_(_joined(squares, target))
        elif _whole(grid):
            torch.add(squares, bias, out=_each_square(target))
        else:
            torch.add(_joined(squares, target), bias, out=target)
    return result


def winograd_convolve_onto(sums: Tensor, grid: Tensor, kernel: WinogradKernel) -> None:
    """Add to `sums` (N, D, h, w) what winograd_convolve returns."""
    for part, output in _chunks(grid, sums):
        target = output.permute(0, 2, 3, 1)
        squares = _squares(part, kernel)
        if _whole(grid):
            _each_square(target).add_(squares)
        else:
            target.add_(_joined(squares, target))


def winograd_weight_grad(grad_output: Tensor, grid: Tensor, size: int) -> Tensor:
    """The gradient w.r.t. the weight (D, C, r, r) of a convolution of `grid` (N, C, h, w)."""
    transforms = _transforms(size)
    num_points, num_inputs, num_outputs = len(transforms.inputs), grid.shape[1], grad_output.shape[1]
    sums = torch.zeros(num_points, num_inputs, num_outputs)
    for part, grads in _chunks(grid, grad_output):
        inputs = _transformed_inputs(part, size)
        whole = F.pad(grads.permute(0, 2, 3, 1), (0, 0, 0, -part.shape[3] % TILE, 0, -part.shape[2] % TILE))
        flat = _each_square(whole).permute(2, 4, 0, 1, 3, 5).reshape(TILE * TILE, -1)
        outputs = (transforms.outputs.T @ flat).view(num_points, -1, num_outputs)
        torch.baddbmm(sums, inputs.transpose(1, 2), outputs, out=sums)
    grad = transforms.weights.T @ sums.view(num_points, -1)
    return grad.view(size, size, num_inputs, num_outputs).permute(3, 2, 0, 1)


@cache
def _transforms(size: int) -> Transforms:
    """For weights of `size` x `size`, by Toom and Cook: polynomials are multiplied by their values at some points."""
    with torch.inference_mode(mode=False):  # kept, so also for who is not in inference mode
        matrices = [torch.from_numpy(np.kron(matrix, matrix).astype(np.float32)) for matrix in toom_cook(size)]
    return Transforms(*matrices)


def toom_cook(size: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """G (n, r), Bᵀ (n, n) and Aᵀ (TILE, n) for r = `size`: for all g and d, Aᵀ[(G g) ∘ (Bᵀ d)] is Σ_l g_l d_{k+l}."""
    points = np.array(POINTS[size])
    n = TILE + size - 1
    a, g = np.zeros((n, TILE)), np.zeros((n, size))
    a[:-1], g[:-1] = np.vander(points, TILE, increasing=True), np.vander(points, size, increasing=True)
    g[:-1] /= [[np.prod([point - other for other in points if other != point])] for point in points]
    a[-1, -1] = g[-1, -1] = 1  # at infinity, only the highest power counts
    products = np.einsum("ik,il->kli", a, g).reshape(-1, n)  # what Bᵀ's columns are weighed by, for each k and l
    place = np.add.outer(np.arange(TILE), np.arange(size)).reshape(-1, 1) == np.arange(n)  # j == k + l
    b = np.linalg.lstsq(products, place.astype(float), rcond=None)[0]
    return g, b, a.T


def _chunks(grid: Tensor, others: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Parts of both that go together, as many images in each as a cache holds transformed."""
    values = 4 * (grid.shape[1] + others.shape[1]) * grid.shape[2] * grid.shape[3]  # of an image
    step = max(1, CHUNK // (4 * values))
    return list(zip(grid.split(step), others.split(step), strict=True))


def _transformed_inputs(grid: Tensor, size: int) -> Tensor:
    """Bᵀ d B of the overlapping squares of a grid (N, C, h, w): (n², squares, C)."""
    edge, span = size // 2, TILE + size - 1
    height, width = grid.shape[-2:]
    pixels = F.pad(grid.permute(0, 2, 3, 1), (0, 0, edge, edge - width % -TILE, edge, edge - height % -TILE))
    squares = pixels.unfold(1, span, TILE).unfold(2, span, TILE).permute(4, 5, 0, 1, 2, 3)
    return (_transforms(size).inputs @ squares.reshape(span * span, -1)).view(span * span, -1, grid.shape[1])


def _squares(grid: Tensor, kernel: WinogradKernel) -> Tensor:
    """The outputs of a grid (N, C, h, w), square by square: (N, rows, TILE, columns, TILE, D)."""
    rows, columns = -(-grid.shape[2] // TILE), -(-grid.shape[3] // TILE)
    products = torch.bmm(_transformed_inputs(grid, kernel.size), kernel.weight)
    squares = _transforms(kernel.size).outputs @ products.view(len(products), -1)
    return squares.view(TILE, TILE, len(grid), rows, columns, -1).permute(2, 3, 0, 4, 1, 5)


def _whole(grid: Tensor) -> bool:
    return grid.shape[2] % TILE == 0 and grid.shape[3] % TILE == 0


def _each_square(pixels: Tensor) -> Tensor:
    """A view (N, rows, TILE, columns, TILE, D) of (N, h, w, D), whose sides TILE divides."""
    return pixels.unflatten(2, (-1, TILE)).unflatten(1, (-1, TILE))


def _joined(squares: Tensor, target: Tensor) -> Tensor:
    """Squares as pixels of the shape of `target` (N, h, w, D), without what lies beyond its sides."""
    return squares.flatten(3, 4).flatten(1, 2)[:, : target.shape[1], : target.shape[2]]
