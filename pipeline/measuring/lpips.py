"""LPIPS v0.1 over AlexNet (Zhang et al. 2018): a distance of frames as people judge it; its weights are not shipped."""

import hashlib
import logging
from pathlib import Path

import safetensors.torch
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor

from pipeline.errors import DataError
from pipeline.measuring.lpips_weights import NUM_LAYERS, default_path
from pipeline.runtime.files import read_regular

logger = logging.getLogger(__name__)

HOW = "docs/benchmarks.md#lpips says where they come from"
TENSORS_SHA256 = (
    "ae8a17d36c6db840ea5c46a2d23a1dec7a1787a41ed006942121408bdfe70318"  # of names and bytes of all weights, by name
)
MOST_BYTES = 1 << 24
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # ImageNet's mean and deviation, of RGB in [-1, 1]
# of the convolutions: stride, padding, and whether the features before are pooled
CONVOLUTIONS = ((4, 2, False), (1, 2, True), (1, 1, True), (1, 1, False), (1, 1, False))
LEAST_SIDE = 64  # pixels: AlexNet's last features of a smaller frame are fewer than 3 x 3
AT_A_TIME = 64  # frames
EPSILON = 1e-10


class Lpips:
    """Called like a metric: (B, T, C, H, W) predicted and true in [-1, 1] to (B, T), 0 where the frames are equal.

    A grey frame is one whose three channels are equal. A frame whose shorter side is below 64 pixels is enlarged to 64
    (bilinear), because the network was made for larger ones. Computed on the processor in float32.
    """

    def __init__(self, path: Path) -> None:
        """Read the weights at `path`; raises DataError where they are not those of LPIPS v0.1."""
        try:
            weights = safetensors.torch.load(read_regular(path, MOST_BYTES))
        except OSError as error:
            raise DataError(f"{path}: the weights of LPIPS cannot be read ({error.strerror}); {HOW}") from error
        except SafetensorError as error:
            raise DataError(f"{path}: no weights of LPIPS ({error}); {HOW}") from error
        if _content_hash(weights) != TENSORS_SHA256:
            raise DataError(f"{path}: damaged, or not the weights of LPIPS v0.1 (their content hash differs); {HOW}")
        self._convolutions = [(weights[f"conv{i}.weight"], weights[f"conv{i}.bias"]) for i in range(NUM_LAYERS)]
        self._linear = [weights[f"linear{i}"][:, None, None] for i in range(NUM_LAYERS)]
        self._truth: tuple[Tensor, list[list[Tensor]]] | None = None  # the last one and its features

    def __call__(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """The distance of each frame."""
        with torch.inference_mode():
            if self._truth is None or self._truth[0] is not truth:  # several methods are measured by the same truth
                self._truth = truth, [self._features(part) for part in _images(truth).split(AT_A_TIME)]
            distances = [
                self._distance(self._features(part), features)
                for part, features in zip(_images(predicted).split(AT_A_TIME), self._truth[1], strict=True)
            ]
            return torch.cat(distances).unflatten(0, predicted.shape[:2]).to(predicted.device)

    def _features(self, images: Tensor) -> list[Tensor]:
        """The five layers' features of `images` (N, 3, H, W) in [-1, 1], each of length 1 over its channels."""
        x = (images - images.new_tensor(SHIFT)[:, None, None]) / images.new_tensor(SCALE)[:, None, None]
        layers = []
        for (weight, bias), (stride, padding, pooled) in zip(self._convolutions, CONVOLUTIONS, strict=True):
            x = F.max_pool2d(x, 3, stride=2) if pooled else x
            x = F.relu(F.conv2d(x, weight, bias, stride=stride, padding=padding))
            layers.append(x / (x.square().sum(dim=1, keepdim=True).sqrt() + EPSILON))
        return layers

    def _distance(self, first: list[Tensor], second: list[Tensor]) -> Tensor:
        """(N,): Zhang et al. 2018, eq. 1, weighted squared differences, mean over places, summed over layers."""
        layers = zip(self._linear, first, second, strict=True)
        return torch.stack([(w * (a - b).square()).sum(dim=1).mean(dim=(1, 2)) for w, a, b in layers]).sum(dim=0)


def lpips_by(setting: str) -> Lpips | None:
    """The metric as evaluate.lpips says: `off`, `auto` (where its weights lie at default_path), or the weights' path.

    Raises DataError where a path holds no weights. That it is left out is said in the log.
    """
    path = default_path() if setting == "auto" else Path(setting)
    if setting == "off":
        logger.info("LPIPS is left out: evaluate.lpips is off")
        return None
    if setting == "auto" and not path.exists():
        logger.info("LPIPS is left out: there are no weights at %s; %s", path, HOW)
        return None
    return Lpips(path)


def _images(frames: Tensor) -> Tensor:
    """Frames (B, T, C, H, W) as RGB (N, 3, H, W) in [-1, 1] of at least LEAST_SIDE pixels per side."""
    images = frames.flatten(0, 1).float().cpu().clamp(-1, 1)
    images = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
    shorter = min(images.shape[-2:])
    if shorter < LEAST_SIDE:
        size = [max(LEAST_SIDE, round(side * LEAST_SIDE / shorter)) for side in images.shape[-2:]]
        images = F.interpolate(images, size=size, mode="bilinear", align_corners=False)
    return images


def _content_hash(weights: dict[str, Tensor]) -> str:
    total = hashlib.sha256()
    for name in sorted(weights):
        total.update(name.encode())
        total.update(weights[name].contiguous().numpy().tobytes())
    return total.hexdigest()
