"""Pictures with EXIF, as cameras and phones save them: one by one, as an animation, copied into a video."""

from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.corpus.build import HEIGHT, NUM_FRAMES, WIDTH, picture
from tests.corpus.refused import skipped
from tests.corpus.videos import RGB_TOLERANCE, Build, Case, Expected

MAKER, ORIENTATION = 271, 274  # EXIF's tags
# EXIF 2.32, 4.6.4: how a camera stores what is shown upright
STORED = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: np.rot90(image, 2),
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, 1),
    7: lambda image: np.rot90(image, 2).transpose(1, 0, 2),
    8: lambda image: np.rot90(image, -1),
}


def exif(orientation: int | None = None) -> Any:
    """EXIF of a camera's maker, and how the camera was held."""
    tags = Image.Exif()
    tags[MAKER] = "Canon"
    if orientation:
        tags[ORIENTATION] = orientation
    return tags


def encoded(kind: str, image: NDArray[np.uint8], tags: Any) -> bytes:
    """One picture as a file of `kind` (JPEG, PNG …)."""
    content = BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(content, kind, exif=tags, quality=95)
    return content.getvalue()


def numbered(kind: str, *orientations: int) -> Build:
    """A folder of numbered pictures of a camera, held in one way, or in each of these."""

    def build(path: Path) -> None:
        path.mkdir()
        for number in range(NUM_FRAMES):
            held = orientations[number % len(orientations)]
            image = STORED[held](picture(number))
            (path / f"{number + 1}.{kind.lower()}").write_bytes(encoded(kind, image, exif(held)))

    return build


def animation(kind: str, orientation: int) -> Build:
    """An animated PNG or WebP with EXIF."""

    def build(path: Path) -> None:
        first, *others = (
            Image.fromarray(np.ascontiguousarray(STORED[orientation](picture(n)))) for n in range(NUM_FRAMES)
        )
        many = {"save_all": True, "append_images": others, "duration": 100}
        first.save(path, kind, exif=exif(orientation), lossless=True, **many)

    return build


def copied(container: str) -> Build:
    """The JPEGs of a camera copied into a video as they are, as `ffmpeg -c copy` does."""

    def build(path: Path) -> None:
        with av.open(str(path), "w", format=container) as output:
            stream: Any = output.add_stream("mjpeg", rate=10)
            stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuvj420p"
            for number in range(NUM_FRAMES):
                packet = av.Packet(encoded("JPEG", picture(number), exif()))
                packet.pts = packet.dts = number
                packet.duration, packet.time_base, packet.stream = 1, Fraction(1, 10), stream
                packet.is_keyframe = True
                output.mux(packet)

    return build


UNTIMED = Expected(times=None)
LOSSLESS = Expected(times=None, tolerance=RGB_TOLERANCE)

TAGGED: dict[str, Case] = {
    "exif_jpegs": (numbered("JPEG", 1), UNTIMED),
    "exif_jpegs_mirrored": (numbered("JPEG", 2), UNTIMED),
    "exif_jpegs_upside_down": (numbered("JPEG", 3), UNTIMED),
    "exif_jpegs_transposed": (numbered("JPEG", 5), UNTIMED),
    "exif_jpegs_upright": (numbered("JPEG", 6), UNTIMED),
    "exif_jpegs_transverse": (numbered("JPEG", 7), UNTIMED),
    "exif_jpegs_other_side": (numbered("JPEG", 8), UNTIMED),
    "exif_jpegs_turning": (numbered("JPEG", 1, 3), skipped("2.jpeg: its EXIF turns it in another way")),
    "exif_pngs": (numbered("PNG", 6), LOSSLESS),
    "exif_webps": (numbered("WEBP", 6), UNTIMED),
    "exif.png": (animation("PNG", 1), Expected(tolerance=RGB_TOLERANCE)),
    "exif_upright.png": (animation("PNG", 6), Expected(tolerance=RGB_TOLERANCE)),
    "exif_upright.webp": (animation("WEBP", 6), LOSSLESS),
    "exif_transverse.webp": (animation("WEBP", 7), LOSSLESS),
    "exif.avi": (copied("avi"), Expected()),
    "exif.mov": (copied("mov"), Expected()),
    "exif.mkv": (copied("matroska"), Expected()),
}
