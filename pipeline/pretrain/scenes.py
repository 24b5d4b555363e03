"""Scenes that move as filmed ones do: a camera, things at several depths that hide each other, light, a sensor."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.pretrain.paths import path
from pipeline.pretrain.textures import outline, texture

Photographs = list[NDArray[np.uint8]]
Picture = NDArray[np.float32]  # (H, W, 3), 0 to 255
OVERSAMPLING = 2  # scenes are drawn that much larger, so that what moves is as sharp as what stands still
CANVAS = 3  # of a background, in sides of a frame
MOST_THINGS = 5
FLAT = 5.0  # standard deviation of a background, levels of 255
UNIT = OVERSAMPLING / 64  # of a motion of `path`, in sides of a frame times OVERSAMPLING


@dataclass(frozen=True)
class Motion:
    """Where a layer is at each time, (T,) each: of what is drawn at 1 pixel a side."""

    x: NDArray[np.float64]  # pixels
    y: NDArray[np.float64]
    scale: NDArray[np.float64]
    angle: NDArray[np.float64]  # radians


@dataclass(frozen=True)
class Layer:
    """A painted square that moves; `pixels` (S, S, 4) have its colours times its mask, and the mask."""

    pixels: NDArray[np.float32]
    motion: Motion
    wobble: Callable[[int], NDArray[np.float32]] | None  # of time: displacements (H, W, 2), pixels

    def draw(self, picture: Picture, t: int) -> Picture:
        """`picture` with the layer over it at time t."""
        side = len(picture)
        scale, angle = self.motion.scale[t], self.motion.angle[t]
        cosine, sine = np.cos(angle) / scale, np.sin(angle) / scale
        x, y = side / 2 + self.motion.x[t], side / 2 + self.motion.y[t]  # where its middle is
        middle = len(self.pixels) / 2
        inverse = np.array(
            [
                [cosine, sine, middle - cosine * x - sine * y],
                [-sine, cosine, middle + sine * x - cosine * y],
            ]
        )
        if self.wobble is None:
            drawn = cv2.warpAffine(
                self.pixels,
                inverse,
                (side, side),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=self.border,
            )
        else:
            columns, rows = np.meshgrid(np.arange(side, dtype=np.float32), np.arange(side, dtype=np.float32))
            at = np.stack([columns, rows], axis=-1) + self.wobble(t)
            sources = (at @ inverse[:, :2].T + inverse[:, 2]).astype(np.float32)
            drawn = cv2.remap(self.pixels, sources, None, cv2.INTER_LINEAR, borderMode=self.border)
        return drawn[..., :3] + picture * (1 - drawn[..., 3:])

    @property
    def border(self) -> int:
        return (
            cv2.BORDER_REFLECT_101 if self.pixels[0, 0, 3] == 1 and self.pixels[-1, -1, 3] == 1 else cv2.BORDER_CONSTANT
        )


def scene(rng: np.random.Generator, photographs: Photographs, num_frames: int, side: int) -> NDArray[np.uint8]:
    """A video, uint8 (T, H, W, 3)."""
    drawn_side = OVERSAMPLING * side
    camera = _camera(rng, num_frames, drawn_side)
    layers = [_background(rng, photographs, camera, drawn_side)]
    fewest = int(layers[0].pixels[..., 1].std() < FLAT)  # where nothing would be seen to move
    num_things = int(rng.integers(fewest, MOST_THINGS + 1))
    layers += [_thing(rng, photographs, camera, drawn_side) for _ in range(num_things)]
    light = _light(rng, num_frames, drawn_side)
    frames = []
    for t in range(num_frames):
        picture = np.zeros((drawn_side, drawn_side, 3), np.float32)
        for layer in layers:
            picture = layer.draw(picture, t)
        frames.append(cv2.resize(light(picture, t), (side, side), interpolation=cv2.INTER_AREA))
    return _filmed(rng, np.stack(frames))


def _camera(rng: np.random.Generator, num_frames: int, side: int) -> Motion:
    """Half of all cameras stand still; others pan, zoom, turn, or are held by hand."""
    still = np.zeros(num_frames)
    kind = rng.random()
    if kind < 0.5:
        return Motion(still, still, still + 1, still)
    unit = UNIT * side / OVERSAMPLING
    x, y = (unit * path(rng, num_frames) if rng.random() < 0.8 else still for _ in range(2))
    if kind < 0.7:  # by hand
        shake = rng.normal(size=(2, num_frames)) * np.exp(rng.uniform(np.log(0.05), np.log(1.5)))
        if rng.random() < 0.5:  # it drifts; otherwise it comes back
            shake = 0.5 * shake.cumsum(axis=1)
        x, y = x + unit * shake[0], y + unit * shake[1]
    scale = np.exp(path(rng, num_frames, 0.01)) if rng.random() < 0.4 else still + 1
    angle = path(rng, num_frames, 0.01) if rng.random() < 0.3 else still
    return Motion(x, y, np.clip(scale, 0.4, 2.5), angle)


def _background(rng: np.random.Generator, photographs: Photographs, camera: Motion, side: int) -> Layer:
    canvas = CANVAS * side
    if rng.random() < 0.15:  # plain, as behind a drawing
        colours = np.full((canvas, canvas, 3), rng.choice([0.0, 0.0, 255.0, 128.0]), np.float32)
    else:
        colours = texture(rng, photographs, canvas)
    pixels = np.dstack([colours, np.ones((canvas, canvas), np.float32)])
    return Layer(pixels, camera, _wobble(rng, side) if rng.random() < 0.2 else None)


def _thing(rng: np.random.Generator, photographs: Photographs, camera: Motion, side: int) -> Layer:
    """A thing that moves by itself, nearer to the camera than the background."""
    length = max(12, int(side * np.exp(rng.uniform(np.log(0.08), np.log(0.9)))))
    mask = outline(rng, length)[..., None]
    plain = rng.random() < 0.2
    colours = np.full((length, length, 3), rng.uniform(0, 255, 3)) if plain else texture(rng, photographs, length)
    pixels = np.dstack([colours * mask, mask]).astype(np.float32)
    num_frames, unit = len(camera.x), UNIT * side / OVERSAMPLING
    stands = rng.random() < 0.25
    own = [np.zeros(num_frames) if stands else unit * path(rng, num_frames) for _ in range(2)]
    nearness = rng.uniform(1, 1.8)  # parallax: what is near moves further
    start = rng.uniform(-0.6, 0.6, 2) * side
    grows = np.exp(path(rng, num_frames, 0.015)) if rng.random() < 0.25 else np.ones(num_frames)
    turns = path(rng, num_frames, 0.05) if rng.random() < 0.35 else np.zeros(num_frames)
    # the camera's zoom and turn are about the middle of the picture
    x, y = start[0] + own[0], start[1] + own[1]
    cosine, sine = np.cos(camera.angle), np.sin(camera.angle)
    motion = Motion(
        camera.scale * (cosine * x - sine * y) + nearness * camera.x,
        camera.scale * (sine * x + cosine * y) + nearness * camera.y,
        np.clip(camera.scale * grows, 0.2, 5),
        camera.angle + turns,
    )
    return Layer(pixels, motion, _wobble(rng, side) if rng.random() < 0.3 else None)


def _wobble(rng: np.random.Generator, side: int) -> Callable[[int], NDArray[np.float32]]:
    """Displacements that swing, each place in its own time, as leaves, water and cloth do."""
    cells, rate = int(rng.integers(2, 9)), rng.uniform(0.1, 1.5)
    amplitude = side / 64 * np.exp(rng.uniform(np.log(0.2), np.log(2.5)))
    field, phase = (
        cv2.resize(values.astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
        for values in (rng.normal(size=(cells, cells, 2)), rng.uniform(0, 2 * np.pi) + rng.normal(size=(cells, cells)))
    )
    return lambda t: (amplitude * field * np.sin(rate * t + phase)[..., None]).astype(np.float32)


def _light(rng: np.random.Generator, num_frames: int, side: int) -> Callable[[Picture, int], Picture]:
    """Light that stays in four scenes of five, else brightens, fades or flickers, or a lamp that moves."""
    kind = rng.random()
    if kind < 0.8:
        return lambda picture, t: picture
    if kind < 0.9:
        gain = np.exp(np.clip(path(rng, num_frames, 0.03), -1, 0.7))
        return lambda picture, t: picture * np.float32(gain[t])
    x, y = (rng.uniform(0, side) + UNIT * side / OVERSAMPLING * path(rng, num_frames) for _ in range(2))
    radius, strength = side * rng.uniform(0.1, 0.5), rng.uniform(-0.5, 0.8)
    columns, rows = np.meshgrid(np.arange(side), np.arange(side))

    def lamp(picture: Picture, t: int) -> Picture:
        glow = np.exp(-((columns - x[t]) ** 2 + (rows - y[t]) ** 2) / (2 * radius**2))
        return (picture * (1 + strength * glow)[..., None]).astype(np.float32)

    return lamp


def _filmed(rng: np.random.Generator, frames: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The frames as a camera stores them: some grey, some noisy, some compressed."""
    if rng.random() < 0.15:
        frames = np.repeat(frames.mean(axis=-1, keepdims=True), 3, axis=-1)
    if rng.random() < 0.25:
        frames = frames + rng.normal(scale=np.exp(rng.uniform(np.log(0.5), np.log(6))), size=frames.shape)
    stored = np.clip(frames.round(), 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 95))]
        stored = np.stack([cv2.imdecode(cv2.imencode(".jpg", frame, quality)[1], cv2.IMREAD_COLOR) for frame in stored])
    return stored
