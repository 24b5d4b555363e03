"""Videos of whose pictures the container shows a part: MP4's clean aperture, Matroska's PixelCrop."""

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.corpus.build import FPS, HEIGHT, NUM_FRAMES, WIDTH, picture
from tests.corpus.streams import box
from tests.corpus.videos import Build, Case, Expected

STORED_HEIGHT, STORED_WIDTH = 80, 96
TOP, LEFT = 10, 20  # of the picture in what is stored
ANCESTORS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1")


def bordered(path: Path, container: str = "mp4", turn: int | None = None, top: int = TOP) -> None:
    """The test picture within a white border, as H.264."""
    with av.open(str(path), "w", format=container) as output:
        stream: Any = output.add_stream("libx264", rate=FPS, options={"crf": "10", "preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt = STORED_HEIGHT, STORED_WIDTH, "yuv420p"
        context = stream.codec_context
        context.thread_count, context.colorspace, context.color_range = 1, 6, 1
        if turn is not None:
            stream.set_display_rotation(turn, False, False)
        for number in range(NUM_FRAMES):
            image = np.full((STORED_HEIGHT, STORED_WIDTH, 3), 255, np.uint8)
            image[top : top + HEIGHT, LEFT : LEFT + WIDTH] = picture(number)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU601", dst_color_range="MPEG")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def clean_aperture(turn: int | None = None, top: int = TOP) -> Build:
    """An MP4 with `clap` (ISO/IEC 14496-12, 12.1.4): the shown size, and how far its middle is from that of all."""

    def build(path: Path) -> None:
        bordered(path, turn=turn, top=top)
        right = 2 * LEFT + WIDTH - STORED_WIDTH
        down = 2 * top + HEIGHT - STORED_HEIGHT
        clap = box(b"clap", struct.pack(">IIIIiIiI", WIDTH, 1, HEIGHT, 1, right, 2, down, 2))
        data = bytearray(path.read_bytes())
        place = data.index(ANCESTORS[0]) - 4
        for kind in ANCESTORS:
            place = data.index(kind, place) - 4
            length = int.from_bytes(data[place : place + 4], "big")
            data[place : place + 4] = (length + len(clap)).to_bytes(4, "big")
        data[place + length : place + length] = clap  # last in the sample entry
        path.write_bytes(bytes(data))

    return build


def copied(path: Path) -> None:
    """The same, copied to Matroska, which says it by PixelCropLeft and the like."""
    first = path.with_name(f"{path.name}.first")
    clean_aperture()(first)
    with av.open(str(first)) as source, av.open(str(path), "w", format="matroska") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.pts is not None:
                packet.stream = stream
                output.mux(packet)
    first.unlink()


CROPPED: dict[str, Case] = {
    "clap.mp4": (clean_aperture(), Expected()),
    "clap_at_odd_rows.mp4": (clean_aperture(top=11), Expected()),
    "clap_turned.mp4": (clean_aperture(turn=90), Expected(size=(WIDTH, HEIGHT), turn=1)),
    "pixel_crop.mkv": (copied, Expected()),
}
