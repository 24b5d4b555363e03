"""Non-learned baselines: what a generator must beat before its figures mean anything.

Optical flow and filters are OpenCV's; everything that is a baseline is here, to be found in one place.
"""

from collections.abc import Callable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.data.clips import ClipDataset
from pipeline.data.color import to_float, to_uint8
from pipeline.measuring.evaluation import pick

Picture = NDArray[np.uint8]  # (H, W, C)

BACKGROUND_FRAMES = 256  # training frames, the first of clips spread evenly, whose median is the background
# the best of a search on two real clips: for noise of 25 levels, and for a blur of 1.5 pixels
BILATERAL_WIDTH, BILATERAL_LEVELS, BILATERAL_SIGMA = 7, 110.0, 2.0
SHARPEN_SIGMA, SHARPEN_AMOUNT = 1.5, 1.5
LEAST_SIDE, LARGEST_RATIO = 16, 8  # of pictures that OpenCV finds optical flow on: pixels; long side over short side


def baseline(name: str, inputs: Tensor, num_frames: int, background: Tensor) -> Tensor:
    """(B, num_frames, C, H, W) that the baseline `name` makes of `inputs` (B, T, C, H, W), both in [-1, 1].

    The inputs are a context, and the frames that follow are predicted:

    - last_frame: the last frame stands still; mean_frame: the mean of the context does.
    - optical_flow: the last frame goes on moving as it did.

    Or they are the source of a translation, with as many frames as its target:

    - identity: the source as it is; where that was brought to size, bicubic interpolation.
    - bilateral: smoothed, but not across edges (Tomasi & Manduchi 1998).
    - sharpened: what a blur takes away is added (unsharp mask).

    background is the picture `background` (C, H, W), whatever the inputs.
    """
    return {
        "last_frame": lambda: _still(inputs[:, -1:], num_frames),
        "mean_frame": lambda: _still(inputs.mean(dim=1, keepdim=True), num_frames),
        "optical_flow": lambda: extrapolate(inputs, num_frames),
        "identity": lambda: inputs.clone(),
        "bilateral": lambda: _filtered(bilateral, inputs),
        "sharpened": lambda: _filtered(sharpened, inputs),
        "background": lambda: background.expand(len(inputs), num_frames, *background.shape).clone(),
    }[name]()


def background(dataset: ClipDataset) -> Tensor:
    """What frames look like when nothing is in them: the median of training frames, (C, H, W) in [-1, 1].

    Black for digits on black, the empty scene for a camera that stands still.
    """
    indices = pick(len(dataset), BACKGROUND_FRAMES)
    first = np.stack([dataset.gather([index])[0, 0] for index in indices])  # (N, H, W, C)
    return to_float(np.median(first, axis=0).astype(np.uint8)[None, None])[0, 0]


def _still(frame: Tensor, num_frames: int) -> Tensor:
    """`frame` (B, 1, C, H, W), `num_frames` times."""
    return frame.expand(-1, num_frames, -1, -1, -1).clone()


def _filtered(picture_filter: Callable[[Picture], Picture], source: Tensor) -> Tensor:
    """The frames of `source` (B, T, C, H, W) in [-1, 1], each after a filter of pictures."""
    pictures = to_uint8(source).reshape(-1, *source.shape[-2:], source.shape[2])
    # OpenCV drops the axis of one channel
    filtered = [picture_filter(picture).reshape(picture.shape) for picture in pictures]
    return to_float(np.stack(filtered).reshape(*source.shape[:2], *pictures.shape[1:])).to(source)


def bilateral(picture: Picture) -> Picture:
    """`picture` smoothed, but not across edges."""
    return cv2.bilateralFilter(picture, BILATERAL_WIDTH, BILATERAL_LEVELS, BILATERAL_SIGMA)  # type: ignore[return-value]


def sharpened(picture: Picture) -> Picture:
    """`picture` with what a blur takes away from it added (unsharp mask)."""
    blurred = cv2.GaussianBlur(picture, (0, 0), SHARPEN_SIGMA).reshape(picture.shape)
    return cv2.addWeighted(picture, 1 + SHARPEN_AMOUNT, blurred, -SHARPEN_AMOUNT, 0)  # type: ignore[return-value]


def extrapolate(context: Tensor, horizon: int) -> Tensor:
    """The last frame of `context`, warped by multiples of the flow (DIS, Kroeger et al. 2016) that led to it."""
    if context.shape[1] < 2:  # nothing has moved yet
        return context[:, -1:].expand(-1, horizon, -1, -1, -1).clone()
    pictures = to_uint8(context[:, -2:])  # (B, 2, H, W, C)
    clips = []
    for (previous, last), frames in zip(pictures, context[:, -1].movedim(1, -1).float().cpu().numpy(), strict=True):
        flow = flow_between(last, previous)  # where each pixel of the last frame was: (H, W, 2), (x, y)
        rows, columns = np.indices(flow.shape[:2], dtype=np.float32)
        warped = [
            cv2.remap(
                frames,
                columns + step * flow[..., 0],
                rows + step * flow[..., 1],
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            ).reshape(frames.shape)  # OpenCV drops the axis of one channel
            for step in range(1, horizon + 1)
        ]
        clips.append(np.stack(warped))
    return torch.from_numpy(np.stack(clips)).movedim(-1, 2).to(context)


def flow_between(first: Picture, second: Picture) -> NDArray[np.float32]:
    """Where each pixel of the picture `first` is in `second`: (H, W, 2), pixels to the right and down (DIS)."""
    height, width = first.shape[:2]
    # OpenCV's DIS flow refuses small pictures, and crashes on those of which only one side is
    below = max(LEAST_SIDE, -(-width // LARGEST_RATIO), height) - height
    right = max(LEAST_SIDE, -(-height // LARGEST_RATIO), width) - width
    grays = [
        image[..., 0] if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (first, second)
    ]
    padded = [np.pad(gray, ((0, below), (0, right)), mode="edge") for gray in grays]
    found = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*padded, None)  # type: ignore[call-overload]
    return found[:height, :width]
