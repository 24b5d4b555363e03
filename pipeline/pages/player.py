"""What the page's player steps through: frames of panels in sprites, images that hold many tiles side by side.

A browser shows any tile at once and exactly, from a file:// address too, where a video would have to be decoded and
sought in. Tiles are kept as small as the frames; the page enlarges them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.pages.contact_sheet import Clip
from pipeline.pages.panels import absolute_error, heat
from pipeline.pages.shrinking import shrink
from pipeline.video import Image, write_webp

MOST_SIDE = 384  # pixels of a tile: what a panel has on a wide screen
MOST_PIXELS = 4_000_000  # of a sprite: 16 MB as a browser holds it, a quarter of what a telephone takes
LOSSLESS_SIDE = 96  # tiles up to here are enlarged so much that what is lost would be seen
NOTHING = -1  # the place of a panel that is empty

Frames = NDArray[np.uint8]  # (T, H, W, C)


@dataclass(frozen=True)
class Panel:
    """One of the pictures that a player shows side by side, over time."""

    label: str
    frames: Frames  # the distinct ones
    places: Sequence[int]  # which of them is shown at each moment, NOTHING: none
    generated: bool = False  # by the model, after the context


@dataclass(frozen=True)
class Film:
    """What a player shows at a time: panels of one size and length."""

    file: str  # how the names of its files begin
    name: str  # of the clip
    title: str  # why it is shown: `worst`; may be empty
    detail: str
    panels: Sequence[Panel]
    num_context: int
    verb: str  # `predicted`, `translated`, `generated`
    horizon: int | None = None  # frames that the model was trained to predict; None: those that there are

    @property
    def num_frames(self) -> int:
        """Moments that it has, those of the context among them."""
        return len(self.panels[0].places)


def clip_film(clip: Clip, file: str, title: str, detail: str) -> Film:
    """Context, truth, prediction and error of a clip; or source, target, translation and error."""
    num_context, num_steps = clip.num_context, len(clip.truth)
    inputs = [min(t, len(clip.inputs) - 1) for t in range(num_context + num_steps)]
    steps = [NOTHING] * num_context + list(range(num_steps))
    error = heat(absolute_error(clip.predicted, clip.truth))
    panels = [
        Panel("source" if clip.aligned else "context", clip.inputs, inputs),
        Panel("truth", clip.truth, steps),
        Panel("translation" if clip.aligned else "prediction", clip.predicted, steps, generated=True),
        Panel("error", error, steps),
    ]
    verb = "translated" if clip.aligned else "predicted"
    return Film(file, clip.name, title, detail, panels, num_context, verb)


def rollout_film(clips: Sequence[Clip], rollouts: Sequence[Frames], file: str, horizon: int) -> Film:
    """Clips next to each other: their contexts, then rollouts far beyond `horizon`."""
    panels = [
        Panel(clip.name, np.concatenate([clip.inputs, rollout]), range(len(clip.inputs) + len(rollout)), generated=True)
        for clip, rollout in zip(clips, rollouts, strict=True)
    ]
    name, detail = "far beyond the horizon", f"{len(rollouts[0])} frames from the model's own output"
    return Film(file, name, "long", detail, panels, len(clips[0].inputs), "generated", horizon)


def write_film(folder: Path, film: Film, fps: float) -> dict[str, Any]:
    """Write the sprites of `film` to `folder`; returns what page.js needs to know, plain values.

    Tiles are numbered in the order of time, so that a sprite holds a stretch of it: tile i is in sprite
    i // per_sprite.
    """
    number_of: dict[tuple[int, int], int] = {}
    for t in range(film.num_frames):
        for p, panel in enumerate(film.panels):
            if panel.places[t] != NOTHING:
                number_of.setdefault((p, panel.places[t]), len(number_of))
    tiles = [_tile(film.panels[p].frames[place]) for p, place in number_of]
    height, width = tiles[0].shape[:2]
    columns = max(1, min(len(film.panels) * 8, 4096 // width))
    per_sprite = max(columns, MOST_PIXELS // (height * width) // columns * columns)
    sprites: list[str] = []
    for start in range(0, len(tiles), per_sprite):
        sprites.append(f"{film.file}_{len(sprites)}.webp")
        lossless = max(height, width) <= LOSSLESS_SIDE
        write_webp(folder / sprites[-1], _sprite(tiles[start : start + per_sprite], columns), lossless=lossless)
    return {
        "name": film.name,
        "title": film.title,
        "video": f"{film.file}.mp4",
        "detail": film.detail,
        "width": width,
        "height": height,
        "columns": columns,
        "perSprite": per_sprite,
        "sprites": sprites,
        "context": film.num_context,
        "frames": film.num_frames,
        "horizon": film.horizon or film.num_frames - film.num_context,
        "verb": film.verb,
        "fps": fps,
        "panels": [
            {
                "label": panel.label,
                "generated": panel.generated,
                "tiles": [number_of.get((p, place), NOTHING) for place in panel.places],
            }
            for p, panel in enumerate(film.panels)
        ],
    }


def _tile(frame: Image) -> Image:
    """A frame as it is stored: RGB, no side longer than MOST_SIDE."""
    return shrink(np.broadcast_to(frame, (*frame.shape[:2], 3)), MOST_SIDE)


def _sprite(tiles: Sequence[Image], columns: int) -> Image:
    """Tiles of one size, row by row."""
    height, width = tiles[0].shape[:2]
    rows = -(-len(tiles) // columns)
    canvas = np.zeros((rows * height, min(columns, len(tiles)) * width, 3), np.uint8)
    for number, tile in enumerate(tiles):
        y, x = number // columns * height, number % columns * width
        canvas[y : y + height, x : x + width] = tile
    return canvas
