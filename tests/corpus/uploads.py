"""What people upload, thought of without a look at the code that reads it."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import tifffile
from PIL import Image

from tests.corpus.build import HEIGHT, NUM_FRAMES, WIDTH, Encoding, encode, level, picture
from tests.corpus.videos import RGB_TOLERANCE, UNEVEN, Case, Expected, video

TRIMMED_SECONDS = Fraction(55, 100)
STRIPED = tuple(level(number) for number in range(6, 14))


def trimmed(path: Path) -> None:
    """Cut without encoding anew, between key frames: an edit list says where to begin."""
    first = path.with_name(f"{path.name}.first")
    encode(first, Encoding(num_frames=14))
    options = {"use_editlist": "1", "avoid_negative_ts": "disabled"}
    with av.open(str(first)) as source, av.open(str(path), "w", options=options) as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.pts is not None and packet.dts is not None:
                early = round(TRIMMED_SECONDS / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - early, packet.dts - early, stream
                output.mux(packet)
    first.unlink()


def broken_off_camera(path: Path) -> None:
    """A camera whose battery was taken out: Motion JPEG whose header says no length, and no index at the end."""
    encode(path, Encoding("mjpeg", "avi", "yuvj420p", color_range=2))
    content = bytearray(path.read_bytes())
    content = content[: content.index(b"idx1")]
    content[4:8] = bytes(4)
    movi = content.index(b"movi")
    content[movi - 4 : movi] = bytes(4)
    frames = content.index(b"avih") + 8 + 16
    content[frames : frames + 4] = bytes(4)
    path.write_bytes(bytes(content))


def screenshots(path: Path) -> None:
    """PNG with a palette and transparency, as small ones are saved, beside what systems leave in folders."""
    path.mkdir()
    for number in range(NUM_FRAMES):
        image = Image.fromarray(picture(number)).quantize(16)
        image.save(path / f"shot {number:04}.png", transparency=255)
    (path / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")


def microscope(path: Path) -> None:
    """One packed TIFF of 16 bits for each moment, as tifffile writes them."""
    path.mkdir()
    for number in range(NUM_FRAMES):
        image = np.full((HEIGHT, WIDTH), 257 * level(number), np.uint16)
        tifffile.imwrite(path / f"t{number:03}.tif", image, compression="zlib")


def colored_tiffs(path: Path) -> None:
    """One TIFF for each moment, as tifffile writes them, not packed."""
    path.mkdir()
    for number in range(NUM_FRAMES):
        tifffile.imwrite(path / f"t{number}.tif", picture(number))


def tiled_tiffs(path: Path) -> None:
    """As slide scanners save: BigTIFF, in tiles."""
    path.mkdir()
    for number in range(NUM_FRAMES):
        image = picture(number, 48, 64)
        tifffile.imwrite(path / f"t{number}.tiff", image, tile=(16, 16), bigtiff=True)


def with_attachments(path: Path) -> None:
    """A film with its cover and a font for its subtitles."""
    first = path.with_name(f"{path.name}.first")
    encode(first, Encoding(format="matroska"))
    with av.open(str(first)) as source, av.open(str(path), "w", format="matroska") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        output.add_attachment("font.ttf", "font/ttf", bytes(64))
        output.add_attachment("cover.png", "image/png", cv2.imencode(".png", picture(9)[:, :, ::-1])[1].tobytes())
        for packet in source.demux(video=0):
            if packet.pts is not None:
                packet.stream = stream
                output.mux(packet)
    first.unlink()


def mask(path: Path) -> None:
    """A segmentation of a video: whether a point belongs to it."""
    frames = np.zeros((NUM_FRAMES, HEIGHT, WIDTH), bool)
    frames[1::2] = True
    np.save(path, frames)


def rgba(path: Path) -> None:
    """What a renderer returns, opaque."""
    frames = np.stack([np.dstack([picture(n), np.full((HEIGHT, WIDTH), 255, np.uint8)]) for n in range(NUM_FRAMES)])
    np.savez_compressed(path, frames=frames)


FRAGMENTS = (("movflags", "frag_keyframe+empty_moov+default_base_moof"),)
PAL = Fraction(25)

UPLOADS: dict[str, Case] = {
    "fragments.mp4": video(Encoding(container_options=FRAGMENTS, options=(("g", "4"),))),
    "trimmed.mp4": (trimmed, Expected(levels=STRIPED)),
    "recorder.webm": video(
        Encoding("libvpx", "webm", times=UNEVEN, options=(("b", "2M"),), container_options=(("live", "1"),)),
        times=tuple(time / 1000 for time in UNEVEN),
    ),
    "camcorder.m2ts": video(Encoding(format="mpegts", fps=PAL, container_options=(("mpegts_m2ts_mode", "1"),))),
    "battery.avi": (broken_off_camera, Expected()),
    "screenshots": (screenshots, Expected(times=None, tolerance=RGB_TOLERANCE + 3)),
    "microscope": (microscope, Expected(times=None, plain=True)),
    "tiled_tiffs": (tiled_tiffs, Expected(times=None, tolerance=RGB_TOLERANCE)),
    "colored_tiffs": (colored_tiffs, Expected(times=None, tolerance=RGB_TOLERANCE)),
    "attachments.mkv": (with_attachments, Expected()),
    "mask.npy": (mask, Expected(times=None, plain=True, levels=(0, 255) * 4)),
    "rgba.npz": (rgba, Expected(times=None, tolerance=RGB_TOLERANCE)),
}
