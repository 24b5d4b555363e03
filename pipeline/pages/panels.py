"""Pictures composed of pictures: labelled panels, error maps, progress bars; plain arrays in and out.

Every picture is uint8 (H, W, 3), RGB, dark around the panels, so that black frames have an edge.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pipeline.video import Image as Picture

GAP = 12  # pixels around and between panels
BACKGROUND, EMPTY = (24, 28, 34), (38, 43, 51)
TEXT, QUIET = (236, 239, 241), (144, 154, 166)
CONTEXT, GENERATED = (96, 110, 125), (236, 64, 122)  # colours of the frames of the context, of the model's output
FONT_PIXELS = 14
HEADER, LABEL, BAR = 30, 22, 5  # heights, pixels


@dataclass(frozen=True)
class Panel:
    """A picture with a label over it and maybe an edge of a colour around it; None leaves its place free."""

    picture: Picture | None
    label: str = ""
    edge: tuple[int, int, int] | None = None


def enlarge(picture: Picture, scale: int) -> Picture:
    """Each pixel of a gray or RGB picture (H, W, C) as a square: (H * scale, W * scale, 3)."""
    rgb = np.broadcast_to(picture, (*picture.shape[:2], 3))
    return rgb.repeat(scale, axis=0).repeat(scale, axis=1)


def heat(error: NDArray[np.floating]) -> Picture:
    """An error map (H, W) from 0 to 1 in colours, from black over red to yellow: (H, W, 3)."""
    colors = mpl.colormaps["inferno"](np.clip(error, 0, 1))
    return (colors[..., :3] * 255).round().astype(np.uint8)


def absolute_error(predicted: Picture, truth: Picture) -> NDArray[np.float64]:
    """The absolute error of each pixel of two pictures (…, H, W, C), 0 to 1, mean over channels: (…, H, W)."""
    return np.abs(predicted.astype(np.int16) - truth).mean(axis=-1) / 255


def grid(
    rows: Sequence[Sequence[Panel]],
    size: tuple[int, int],
    title: str = "",
    names: Sequence[str] = (),
    progress: tuple[float, float] | None = None,
) -> Picture:
    """Rows of panels, each panel of `size` (height, width), under a title and with a name before each row.

    `progress` (context, elapsed) draws a bar below: which part of the time the context takes, and which part has
    passed, each 0 to 1.
    Text that does not fit is cut off with an ellipsis.
    """
    height, width = size
    columns = max(len(row) for row in rows)
    left = GAP + (max(round(_width(name)) for name in names) + GAP if names else 0)
    labelled = [LABEL if any(panel.label for panel in row) else 0 for row in rows]
    top = HEADER if title else GAP
    canvas_width = left + columns * (width + GAP)
    canvas_height = top + sum(labelled) + len(rows) * (height + GAP) + (BAR + GAP if progress else 0)
    canvas = Image.new("RGB", (canvas_width, canvas_height), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    draw.text((GAP, HEADER / 2), _fit(title, canvas_width - 2 * GAP), TEXT, _font(), anchor="lm")
    y = top
    for number, row in enumerate(rows):
        y += labelled[number]
        if names:
            draw.text((GAP, y + height / 2), names[number], QUIET, _font(), anchor="lm")
        for column, panel in enumerate(row):
            x = left + column * (width + GAP)
            draw.text((x, y - 8), _fit(panel.label, width + GAP - 2), QUIET, _font(), anchor="ls")
            if panel.edge:
                draw.rectangle((x - 3, y - 3, x + width + 2, y + height + 2), panel.edge)
            if panel.picture is not None:
                canvas.paste(Image.fromarray(np.ascontiguousarray(panel.picture)), (x, y))
        y += height + GAP
    if progress:
        _bar(draw, (GAP, y), canvas_width - 2 * GAP, *progress)
    return np.asarray(canvas)


def empty(size: tuple[int, int]) -> Picture:
    """A picture of `size` (height, width) for a place where there is nothing yet."""
    return np.full((*size, 3), EMPTY, np.uint8)


def stack(pictures: Sequence[Picture]) -> Picture:
    """Pictures of one width on top of each other."""
    return np.concatenate(list(pictures), axis=0)


def _bar(draw: ImageDraw.ImageDraw, corner: tuple[int, int], width: int, context: float, elapsed: float) -> None:
    """A bar as `grid` describes it, its upper left corner at `corner` (x, y)."""
    x, y = corner

    def part(start: float, stop: float, color: tuple[int, int, int]) -> None:
        if round(stop * width) > round(start * width):
            draw.rectangle((x + round(start * width), y, x + round(stop * width) - 1, y + BAR - 1), color)

    part(0, 1, EMPTY)
    part(0, min(context, elapsed), CONTEXT)
    part(context, elapsed, GENERATED)


def _fit(text: str, width: float) -> str:
    """The text, cut off with an ellipsis where it is wider than `width` pixels."""
    if _width(text) <= width:
        return text
    while text and _width(text + "…") > width:
        text = text[:-1]
    return text + "…"


def _width(text: str) -> float:
    return _font().getlength(text)


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(FONT_PIXELS)  # comes with Pillow: the same letters on every machine
