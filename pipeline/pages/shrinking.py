"""Makes pictures small enough for where they are shown: fewer pixels, or, of an animation, fewer frames."""

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageSequence

if TYPE_CHECKING:  # OpenCV and PyAV take a second to import, and flows need neither
    from pipeline.video import Image as Picture

QUALITY = 80  # of WebP
MOST_FRAMES = 60  # of an animation that has to be shrunk
LEAST_SIDE = 32  # pixels
LEAST_STEP, MOST_STEP = 0.25, 0.9  # of the sides, from one try to the next


def shrink(picture: "Picture", most_side: int) -> "Picture":
    """`picture` (H, W, 3), its sides divided so that none is longer than `most_side`; as it is where none is."""
    height, width = picture.shape[:2]
    if max(height, width) <= most_side:
        return np.ascontiguousarray(picture)
    scale = most_side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.BOX))


def fitted(path: Path, most_bytes: int) -> tuple[bytes, str]:
    """The picture or animation at `path` in at most `most_bytes`, and its MIME type.

    As it is where it fits; else as lossy WebP, with ever fewer pixels. A picture of LEAST_SIDE is returned whatever its
    bytes.
    """
    with Image.open(path) as image:
        if path.stat().st_size <= most_bytes:
            return path.read_bytes(), Image.MIME[str(image.format)]
        num_frames = getattr(image, "n_frames", 1)
        stride = -(-num_frames // MOST_FRAMES)
        frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(image)][::stride]
        duration = stride * float(image.info.get("duration", 0))
    while True:
        content = _webp(frames, duration)
        if len(content) <= most_bytes or min(frames[0].size) <= LEAST_SIDE:
            return content, "image/webp"
        # bytes go with pixels
        step = min(MOST_STEP, max(LEAST_STEP, math.sqrt(most_bytes / len(content))))
        width, height = (max(1, round(side * step)) for side in frames[0].size)
        frames = [frame.resize((width, height), Image.Resampling.BOX) for frame in frames]


def _webp(frames: list[Image.Image], duration: float) -> bytes:
    buffer = io.BytesIO()
    rest = {"save_all": True, "append_images": frames[1:], "duration": round(duration), "loop": 0}
    frames[0].save(buffer, "WEBP", quality=QUALITY, method=2, **(rest if len(frames) > 1 else {}))
    return buffer.getvalue()
