"""Makes pictures small enough for where they are shown: fewer pixels, or, of an animation, fewer frames."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from pipeline.video import Image as Picture

QUALITIES = (90, 75, 60)  # of WebP, tried in turn before the picture is made smaller
MOST_FRAMES = 60  # of an animation that has to be shrunk
LEAST_SIDE = 32  # pixels
STEP = 0.8  # of the sides, from one try to the next


def shrink(picture: Picture, most_side: int) -> Picture:
    """`picture` (H, W, 3), its sides divided so that none is longer than `most_side`; as it is where none is."""
    height, width = picture.shape[:2]
    if max(height, width) <= most_side:
        return np.ascontiguousarray(picture)
    scale = most_side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.BOX))


def fitted(path: Path, most_bytes: int) -> tuple[bytes, str]:
    """The picture or animation at `path` in at most `most_bytes`, and its MIME type.

    As it is where it fits; else WebP with ever less quality, frames and pixels. A picture of LEAST_SIDE is returned
    whatever its bytes.
    """
    with Image.open(path) as image:
        if path.stat().st_size <= most_bytes:
            return path.read_bytes(), Image.MIME[str(image.format)]
        num_frames = getattr(image, "n_frames", 1)
        stride = -(-num_frames // MOST_FRAMES)
        frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(image)][::stride]
        duration = stride * float(image.info.get("duration", 0))
    while True:
        for quality in QUALITIES:
            content = _webp(frames, quality, duration)
            if len(content) <= most_bytes:
                return content, "image/webp"
        size = tuple(max(1, round(side * STEP)) for side in frames[0].size)
        if min(size) < LEAST_SIDE:
            return content, "image/webp"
        frames = [frame.resize((size[0], size[1]), Image.Resampling.BOX) for frame in frames]


def _webp(frames: list[Image.Image], quality: int, duration: float) -> bytes:
    buffer = io.BytesIO()
    rest = {"save_all": True, "append_images": frames[1:], "duration": round(duration), "loop": 0}
    frames[0].save(buffer, "WEBP", quality=quality, **(rest if len(frames) > 1 else {}))
    return buffer.getvalue()
