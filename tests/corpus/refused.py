"""Files that are no videos, or damaged, or refused unopened, and what should be said of each.

Those in REFUSED are harmless stand-ins: whoever opens one all the same reads a file of the corpus, or gets an error.
"""

import os
import random
import socket
import wave
import zipfile
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from tests.corpus.build import Encoding, encode, level, picture
from tests.corpus.videos import Build, Case, Expected, images, patched


def data(content: bytes) -> Build:
    """A file of these bytes."""
    return lambda path: path.write_bytes(content) and None


def skipped(reason: str) -> Expected:
    """No frames, because …"""
    return Expected("skipped", reason, num_frames=None, size=None, times=None, levels=())


def damaged(reason: str, *counts: int) -> Expected:
    """So many good frames (at least, at most), then …"""
    return Expected("damaged", reason, num_frames=counts[0], size=None, times=None, levels=(0,) * counts[1])


def cut(encoding: Encoding, share: float) -> Build:
    """The first `share` of a file."""

    def build(path: Path) -> None:
        encode(path, encoding)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])

    return build


def spoilt(encoding: Encoding, share: float, count: int = 200) -> Build:
    """A file with random bytes from `share` of its length on."""

    def build(path: Path) -> None:
        encode(path, encoding)
        content = bytearray(path.read_bytes())
        start = int(len(content) * share)
        content[start : start + count] = random.Random(0).randbytes(count)
        path.write_bytes(bytes(content))

    return build


def begun_late(encoding: Encoding, packets: int) -> Build:
    """A broadcast, recorded from the middle on."""

    def build(path: Path) -> None:
        encode(path, encoding)
        path.write_bytes(path.read_bytes()[188 * packets :])

    return build


def silence(path: Path) -> None:
    """A quarter of a second of silence as .wav."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"\0" * 4000)


def encoded_audio(codec: str, container: str, cover: bool = False) -> Build:
    """Audio in a container that could hold a video, perhaps with a picture of its cover."""

    def build(path: Path) -> None:
        with av.open(str(path), "w", format=container) as output:
            stream = output.add_stream(codec, rate=44100, layout="mono")
            if cover:
                attached = output.add_stream("png", rate=1)
                attached.width, attached.height, attached.pix_fmt = 16, 16, "rgb24"
                attached.disposition = 0x400
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.rate = 44100
            for _ in range(8):
                frame.pts = None
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
            if cover:
                output.mux(attached.encode(av.VideoFrame.from_ndarray(picture(0, 16, 16), format="rgb24")))
                output.mux(attached.encode(None))

    return build


def picture_file(path: Path) -> None:
    """One image, of the kind that the name says."""
    kind = path.suffix if path.suffix != ".mp4" else ".png"
    path.write_bytes(cv2.imencode(kind, picture(0)[:, :, ::-1])[1].tobytes())


def archive(path: Path) -> None:
    """A .zip."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.txt", "text")


def without_index(path: Path) -> None:
    """A recording that was cut off before its moov box was written, which is last."""
    encode(path, Encoding())
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"moov") - 4])


def unix_socket(path: Path) -> None:
    """A socket: no regular file either, as a pipe or a device, but opening it is an error at once."""
    directory = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{directory}/{path.name}")
    os.close(directory)


def link_to(target: str) -> Build:
    """A symbolic link."""
    return lambda path: path.symlink_to(target)


def link_outside(path: Path) -> None:
    """A link to a small video beside the folder, so that the link alone is what is wrong."""
    outside = path.parent.parent / f"beside_{path.name}"
    encode(outside, Encoding())
    path.symlink_to(outside)


def lone_image_folder(path: Path) -> None:
    path.mkdir()
    (path / "frame1.png").write_bytes(cv2.imencode(".png", picture(3))[1].tobytes())


def two_sequences(path: Path) -> None:
    path.mkdir()
    for name in ("a1", "a2", "b1", "b2"):
        cv2.imwrite(str(path / f"{name}.png"), picture(int(name[1])))


FASTSTART = (("movflags", "faststart"),)
LONG = {"num_frames": 40}
INTRA = (("g", "10"),)
LONG_H264 = Encoding(num_frames=40, container_options=FASTSTART)

NO_VIDEOS: dict[str, Case] = {
    "empty.mp4": (data(b""), skipped("empty file")),
    "zeros.mp4": (data(bytes(5000)), skipped("only zeros")),
    "text.txt": (data(b"some text\n" * 50), skipped("text, not a video")),
    "ansi_art.mp4": (data(b"\x1b[31mart\x1b[0m\n" * 50), skipped("text, not a video")),
    "page.mp4": (data(b"<!DOCTYPE html><html><body>404</body></html>"), skipped("a web page")),
    "paper.pdf": (data(b"%PDF-1.7\n" + bytes(range(256)) * 4), skipped("PDF")),
    "archive.mp4": (archive, skipped("an archive")),
    "noise.mp4": (data(random.Random(1).randbytes(20_000)), skipped("not a video")),
    "noise.bin": (data(b"\x01" + random.Random(2).randbytes(300)), skipped("not a video")),
    "picture.png": (picture_file, skipped("a lone image")),
    "picture.jpg": (picture_file, skipped("a lone image")),
    "picture.bmp": (picture_file, skipped("a lone image")),
    "picture.webp": (picture_file, skipped("a lone image")),
    "picture.tiff": (picture_file, skipped("a lone image")),
    "still.gif": (lambda path: encode(path, Encoding("gif", "gif", "rgb8", num_frames=1)), skipped("one picture")),
    "one_frame.mp4": (lambda path: encode(path, Encoding(num_frames=1)), skipped("too few frames")),
    "audio.wav": (silence, skipped("audio only")),
    "audio.mp4": (encoded_audio("aac", "mp4"), skipped("audio only")),
    "audio.mka": (encoded_audio("aac", "matroska"), skipped("audio only")),
    "cover.m4a": (encoded_audio("aac", "mp4", cover=True), skipped("audio only")),
    "no_index.mp4": (without_index, skipped("breaks off before its index")),
    "only_ftyp.mp4": (data(b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2"), skipped("breaks off before its index")),
    "unknown_codec.avi": (
        patched(Encoding("mpeg4", "avi"), (b"FMP4", b"ZQZQ"), (b"FMP4", b"ZQZQ")),
        skipped("unsupported codec"),
    ),
    "encrypted.mp4": (
        lambda path: encode(
            path,
            Encoding(
                container_options=(
                    ("encryption_scheme", "cenc-aes-ctr"),
                    ("encryption_key", "76a6c65c5ea762046bd749a2e632ccbb"),
                    ("encryption_kid", "a7e61c373e219033c21091fa607bf3b8"),
                )
            ),
        ),
        skipped("encrypted"),
    ),
    ".hidden.mp4": (lambda path: encode(path, Encoding(first=5)), skipped("hidden file")),
    "images_with_gap": (images(".png", (1, 2, 4)), skipped("frame4.png: its number does not follow frame2.png")),
    "images_of_two_sizes": (images(".png", (1, 2, 3), sizes=(48, 48, 32)), skipped("frame3.png: is 32 x 64")),
    "images_of_two_kinds": (two_sequences, skipped("b1.png: not of the sequence of a1.png")),
}

REFUSED: dict[str, Case] = {
    "hls.mp4": (
        data(b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nh264.mp4\n#EXT-X-ENDLIST\n"),
        skipped("a playlist"),
    ),
    "concat.mp4": (data(b"ffconcat version 1.0\nfile h264.mp4\n"), skipped("a playlist")),
    "session.sdp": (data(b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=video 0 RTP/AVP 96\r\n"), skipped("a playlist")),
    "dash.mp4": (
        data(b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period></Period></MPD>'),
        skipped("a playlist"),
    ),
    "socket.mp4": (unix_socket, skipped("a pipe, a device or a socket")),
    "outside.mp4": (link_outside, skipped("leaves the folder")),
    "dangling.mp4": (link_to("nothing_here.mp4"), skipped("cannot be read")),
    "loop.mp4": (link_to("loop.mp4"), skipped("cannot be read")),
    "up": (link_to(".."), skipped("a symbolic link to a folder")),
    "inside.mp4": (link_to("h264.mp4"), skipped("same content as h264.mp4")),
    "too_many_pixels.mp4": (lambda path: encode(path, Encoding(size=(1024, 2048), num_frames=2)), skipped("max_pix")),
    "too_long.mkv": (
        lambda path: encode(path, Encoding(format="matroska", times=(0, 100, 999_999_000), num_frames=3)),
        skipped("max_seconds"),
    ),
    "-x.mp4": (lambda path: encode(path, Encoding(first=1)), Expected(levels=tuple(level(n + 1) for n in range(8)))),
    **{
        name: (
            lambda path, first=first: encode(path, Encoding("mpeg4", "avi", first=first)),
            Expected(levels=tuple(level(n + first) for n in range(8))),
        )
        for first, name in enumerate(
            [
                "clip_%03d.mp4",
                "clip:a.mp4|b.mp4",
                "part:example.org.mp4",
                "new\nline.mp4",
                " leading space.mp4",
                "quo\"te's,comma.mp4",
                "NA",
                "$(touch x);*.mp4",
                os.fsdecode(b"\xff\xfe.mp4"),
            ],
            start=1,
        )
    },
}

DAMAGED: dict[str, Case] = {
    "cut.mp4": (cut(LONG_H264, 0.7), damaged("breaks off after", 5, 39)),
    "cut.mkv": (cut(Encoding(format="matroska", **LONG), 0.7), damaged("breaks off after", 5, 39)),
    "cut.avi": (cut(Encoding("mpeg4", "avi", **LONG), 0.8), damaged("breaks off after", 5, 39)),
    "cut.ts": (cut(Encoding("mpeg2video", "mpegts", fps=Fraction(25), **LONG), 0.701), damaged("breaks off", 5, 39)),
    "cut.flv": (cut(Encoding("flv", "flv", **LONG), 0.7), damaged("breaks off after", 5, 39)),
    "cut.asf": (cut(Encoding("wmv2", "asf", **LONG), 0.7), damaged("breaks off after", 3, 39)),
    "cut.webm": (cut(Encoding("libvpx", "webm", **LONG), 0.7), damaged("breaks off after", 5, 39)),
    "cut.gif": (cut(Encoding("gif", "gif", "rgb8", **LONG), 0.7), damaged("breaks off after", 5, 39)),
    "cut.png": (cut(Encoding("apng", "apng", "rgb24", **LONG), 0.7), damaged("breaks off after", 5, 39)),
    "spoilt_h264.mp4": (spoilt(LONG_H264, 0.7), damaged("damaged after", 5, 39)),
    "spoilt_mpeg4.avi": (spoilt(Encoding("mpeg4", "avi", options=INTRA, **LONG), 0.75), damaged("damaged", 5, 39)),
    "spoilt_mjpeg.avi": (
        spoilt(Encoding("mjpeg", "avi", "yuvj420p", color_range=2, **LONG), 0.6, 3000),
        damaged("damaged", 5, 39),
    ),
    "spoilt_ffv1.mkv": (spoilt(Encoding("ffv1", "matroska", **LONG), 0.6), damaged("damaged after", 5, 39)),
    "begun_late.ts": (
        begun_late(Encoding("mpeg2video", "mpegts", fps=Fraction(25), options=INTRA, **LONG), 20),
        Expected(num_frames=None, size=(48, 64), times=None, levels=()),
    ),
}

BAD = NO_VIDEOS | REFUSED | DAMAGED
