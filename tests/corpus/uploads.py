"""What people upload, thought of without a look at the code that reads it."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import tifffile
from PIL import Image

from tests.corpus.build import FPS, HEIGHT, NUM_FRAMES, WIDTH, Encoding, encode, level, picture
from tests.corpus.videos import RGB_TOLERANCE, UNEVEN, Build, Case, Expected, video

FAST = tuple(number / 2000 for number in range(NUM_FRAMES))  # more than one in a thousandth of a second
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


def edited(*edits: tuple[int, int | None, int]) -> Build:
    """An MP4 with an edit list of (milliseconds, number of the first frame or None for nothing, rate)."""

    def build(path: Path) -> None:
        encode(path, Encoding())
        with av.open(str(path)) as container:
            step = round(container.streams.video[0].time_base.denominator / FPS)
        data = bytearray(path.read_bytes())
        place = data.index(b"elst")
        (first,) = struct.unpack(">i", data[place + 16 : place + 20])  # with B-frames decoding begins earlier
        entries = [(length, -1 if at is None else first + at * step, rate, 0) for length, at, rate in edits]
        content = struct.pack(">II", 0, len(edits)) + b"".join(struct.pack(">IihH", *entry) for entry in entries)
        (length,) = struct.unpack(">I", data[place - 4 : place])
        start = 0
        for kind in (b"moov", b"trak", b"edts", b"elst"):
            start = data.index(kind, start) - 4
            old = int.from_bytes(data[start : start + 4], "big")
            data[start : start + 4] = (old + 8 + len(content) - length).to_bytes(4, "big")
        data[place + 4 : place - 4 + length] = content
        path.write_bytes(bytes(data))

    return build


def cut_at_a_key_frame(path: Path) -> None:
    """A broadcast whose copy stopped where the sixth picture, a key frame, begins."""
    encode(path, Encoding("mpeg2video", "mpegts", fps=PAL, num_frames=10, options=(("g", "5"),)))
    with av.open(str(path)) as container:
        *_, place = (packet.pos for packet in container.demux(video=0) if packet.size and packet.is_keyframe)
    path.write_bytes(path.read_bytes()[:place])


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
    "edit_gap.mp4": (
        edited((300, 0, 1), (400, None, 1), (500, 3, 1)),
        Expected(times=(0.0, 0.1, 0.2, 0.7, 0.8, 0.9, 1.0, 1.1), seconds=1.2),
    ),
    "edit_still.mp4": (
        edited((300, 0, 1), (400, 3, 0), (400, 4, 1)),
        Expected(times=(0.0, 0.1, 0.2, 0.3, 0.7, 0.8, 0.9, 1.0), seconds=1.1),
    ),
    "high_speed.mkv": video(Encoding(format="matroska", fps=Fraction(2000)), times=FAST),
    "key_frame.ts": (
        cut_at_a_key_frame,
        Expected("damaged", "breaks off", 5, times=None, levels=tuple(level(number) for number in range(5))),
    ),
    "battery.avi": (broken_off_camera, Expected()),
    "screenshots": (screenshots, Expected(times=None, tolerance=RGB_TOLERANCE + 3)),
    "microscope": (microscope, Expected(times=None, plain=True)),
    "tiled_tiffs": (tiled_tiffs, Expected(times=None, tolerance=RGB_TOLERANCE)),
    "colored_tiffs": (colored_tiffs, Expected(times=None, tolerance=RGB_TOLERANCE)),
    "attachments.mkv": (with_attachments, Expected()),
    "mask.npy": (mask, Expected(times=None, plain=True, levels=(0, 255) * 4)),
    "rgba.npz": (rgba, Expected(times=None, tolerance=RGB_TOLERANCE)),
}
