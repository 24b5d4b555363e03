"""Pictures whose tags say what they mean: EXIF of cameras and phones, TIFF page by page, of inks, with thumbnails."""

from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import tifffile
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


def page_by_page(path: Path) -> None:
    """As a recording program appends pages, each of which tifffile takes for a series of its own."""
    with tifffile.TiffWriter(path) as file:
        for number in range(NUM_FRAMES):
            file.write(picture(number), photometric="rgb", compression="zlib")


def with_thumbnails(path: Path) -> None:
    """A picture, its thumbnail, the next picture …"""
    with tifffile.TiffWriter(path) as file:
        for number in range(NUM_FRAMES):
            file.write(picture(number), photometric="rgb", metadata=None)
            file.write(picture(9)[::4, ::4], photometric="rgb", subfiletype=1, metadata=None)


def of_inks(deep: bool) -> Build:
    """Cyan, magenta, yellow and black for printing, of 8 or 16 bits, by hand: as much black as there can be."""

    def build(path: Path) -> None:
        frames = np.stack([picture(number) for number in range(NUM_FRAMES)]).astype(np.float64) / 255
        black = frames.max(axis=-1, keepdims=True)
        inks = np.concatenate([1 - frames / black, 1 - black], axis=-1)
        values = np.rint(inks * (65535 if deep else 255)).astype(np.uint16 if deep else np.uint8)
        tifffile.imwrite(path, values, photometric="separated")

    return build


def stored_as(orientation: int, single: bool = False) -> Build:
    """A TIFF with the tag Orientation, of all pictures, or a folder of one for each."""

    def build(path: Path) -> None:
        frames = [np.ascontiguousarray(STORED[orientation](picture(number))) for number in range(NUM_FRAMES)]
        tags = [(ORIENTATION, "H", 1, orientation, True)]
        if not single:
            path.mkdir()
        for number, image in enumerate(frames):
            file = path if single else path / f"{number}.tif"
            tifffile.imwrite(file, image, append=single, photometric="rgb", metadata=None, extratags=tags)

    return build


def of_another_kind(path: Path) -> None:
    """CIE L*a*b*, which is no RGB."""
    tifffile.imwrite(path, np.zeros((3, HEIGHT, WIDTH, 3), np.uint8), photometric="cielab")


def two_stacks(path: Path) -> None:
    """Two volumes one after the other."""
    with tifffile.TiffWriter(path) as file:
        for start in (0, 3):
            file.write(np.stack([picture(start + number) for number in range(3)]), photometric="rgb")


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
    "page_by_page.tif": (page_by_page, LOSSLESS),
    "thumbnails_between.tif": (with_thumbnails, LOSSLESS),
    "inks.tif": (of_inks(deep=False), LOSSLESS),
    "inks16.tif": (of_inks(deep=True), LOSSLESS),
    "tag_upright.tif": (stored_as(6, single=True), LOSSLESS),
    "tag_transverse.tif": (stored_as(7, single=True), LOSSLESS),
    "tag_upright_tiffs": (stored_as(8), LOSSLESS),
    "lab.tif": (of_another_kind, skipped("its colours are CIELAB (3 x uint8), which are not read: save it as RGB")),
    "two_stacks.tif": (two_stacks, skipped("holds 2 stacks of pictures")),
}
