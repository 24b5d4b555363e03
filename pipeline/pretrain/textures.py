"""What scenes are painted with: pieces of photographs, noise of all scales, stripes, plain colours; and outlines."""

import cv2
import numpy as np
from numpy.typing import NDArray

Texture = NDArray[np.float32]  # (H, W, 3), 0 to 255
Mask = NDArray[np.float32]  # (H, W), 0 to 1


def texture(rng: np.random.Generator, photographs: list[NDArray[np.uint8]], side: int) -> Texture:
    """A square picture, of a photograph in three cases of four."""
    if rng.random() < 0.75:
        picture = _piece(rng, photographs[rng.integers(len(photographs))], side)
    else:
        picture = _procedural(rng, side)
    if rng.random() < 0.4:  # other colours and contrasts
        picture = picture[..., rng.permutation(3)] * rng.uniform(0.5, 1.2) + rng.uniform(-40, 60)
    if rng.random() < 0.25:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 4))
    return np.clip(picture, 0, 255).astype(np.float32)


def _piece(rng: np.random.Generator, photograph: NDArray[np.uint8], side: int) -> Texture:
    """A square cut from anywhere in a photograph, of any size that is not enlarged much, turned or mirrored."""
    shorter = min(photograph.shape[:2])
    length = int(np.exp(rng.uniform(np.log(min(0.7 * side, shorter)), np.log(shorter + 1))))
    length = max(8, min(length, shorter))
    top, left = (int(rng.integers(side_ - length + 1)) for side_ in photograph.shape[:2])
    piece = photograph[top : top + length, left : left + length]
    piece = np.rot90(piece, rng.choice([0, 0, 1, 2, 3]))[:, :: rng.choice([-1, 1])]
    shrinks = length > side
    picture = cv2.resize(
        np.ascontiguousarray(piece), (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    )
    return picture.astype(np.float32)


def _procedural(rng: np.random.Generator, side: int) -> Texture:
    """Noise of several scales, stripes or checks, or a plain colour."""
    kind = rng.random()
    colours = rng.uniform(0, 255, size=(2, 3)).astype(np.float32)
    if kind < 0.5:
        height = np.zeros((side, side), np.float32)
        for octave in range(int(rng.integers(1, 6))):
            cells = min(side, 2 ** (octave + 2))
            noise = rng.normal(size=(cells, cells)).astype(np.float32)
            height += cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC) * rng.uniform(0.4, 0.9) ** octave
        share = 1 / (1 + np.exp(-rng.uniform(1, 4) * height))
    elif kind < 0.75:
        angle, period = rng.uniform(0, np.pi), rng.uniform(5, 60)
        rows, columns = np.mgrid[:side, :side].astype(np.float32)
        share = np.clip(
            0.5 + rng.uniform(0.5, 4) * np.sin((rows * np.sin(angle) + columns * np.cos(angle)) / period * 6.3), 0, 1
        )
        if rng.random() < 0.4:
            share = np.abs(share - share.T)
    else:
        share = np.full((side, side), 0.5, np.float32)
    return (colours[0] + (colours[1] - colours[0]) * share[..., None]).astype(np.float32)


def outline(rng: np.random.Generator, side: int) -> Mask:
    """The shape of a thing, in a square: an ellipse, a polygon, a blob, a few strokes, or a person-like column."""
    mask = np.zeros((side, side), np.float32)
    middle, kind = side / 2, rng.random()
    if kind < 0.25:
        axes = (int(side * rng.uniform(0.15, 0.45)), int(side * rng.uniform(0.15, 0.45)))
        cv2.ellipse(mask, (int(middle), int(middle)), axes, rng.uniform(0, 180), 0, 360, 1.0, -1)
    elif kind < 0.5:
        count = int(rng.integers(3, 9))
        angles = np.sort(rng.uniform(0, 2 * np.pi, count))
        radii = side * rng.uniform(0.2, 0.48, count)
        points = np.stack([middle + radii * np.cos(angles), middle + radii * np.sin(angles)], axis=1)
        cv2.fillPoly(mask, [points.astype(np.int32)], 1.0)
    elif kind < 0.65:
        noise = cv2.resize(rng.normal(size=(6, 6)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
        rows, columns = np.mgrid[:side, :side].astype(np.float32) / side - 0.5
        mask = (noise * 0.15 + np.hypot(rows, columns) < 0.33).astype(np.float32)
    elif kind < 0.8:
        points = (side * rng.uniform(0.15, 0.85, size=(int(rng.integers(3, 7)), 2))).astype(np.int32)
        cv2.polylines(mask, [points], bool(rng.random() < 0.5), 1.0, max(2, int(side * rng.uniform(0.05, 0.16))))
    else:
        width = int(side * rng.uniform(0.08, 0.2))
        cv2.ellipse(mask, (int(middle), int(0.55 * side)), (width, int(0.38 * side)), 0, 0, 360, 1.0, -1)
        cv2.circle(mask, (int(middle), int(0.15 * side)), max(2, int(width * 0.7)), 1.0, -1)
    return cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.6, 1.5))
