"""HDR and wide colours: the test picture as PQ or HLG at reference white, which must look as it does in SDR."""

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from tests.corpus.build import FPS, HEIGHT, NUM_FRAMES, WIDTH, picture
from tests.corpus.refused import skipped
from tests.corpus.videos import Build, Case, Expected

WHITE = 203.0  # cd/m², ITU-R BT.2408
PQ, HLG, BT709, BT2020, P3 = 16, 18, 1, 9, 12
# ITU-R BT.2087, 2.1; Display P3 by SMPTE EG 432-1
FROM_BT709 = {
    BT2020: [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]],
    P3: [[0.8225, 0.1774, 0.0], [0.0332, 0.9669, 0.0], [0.0171, 0.0724, 0.9108]],
    BT709: np.eye(3),
}
LUMA = {BT2020: (0.2627, 0.6780, 0.0593), BT709: (0.2126, 0.7152, 0.0722)}  # by the matrix's number


@dataclass(frozen=True)
class Wide:
    """How the picture is stored; defaults as phones record it."""

    transfer: int = HLG
    primaries: int = BT2020
    matrix: int = BT2020
    tag: int | None = None  # what the file says of the matrix; None: what it is
    codec: str = "libx265"
    format: str = "mp4"
    pixels: str = "yuv420p10le"
    full_range: bool = False
    options: tuple[tuple[str, str], ...] = (("x265-params", "log-level=none:crf=4"),)


def light(values: NDArray[np.uint8]) -> NDArray[np.float64]:
    """SDR values as cd/m², on a display of gamma 2.4 whose white is WHITE."""
    return WHITE * (values / 255) ** 2.4


def pq(nits: NDArray[np.float64]) -> NDArray[np.float64]:
    """BT.2100, table 4: the inverse EOTF."""
    power = (nits / 10_000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)


def hlg(nits: NDArray[np.float64]) -> NDArray[np.float64]:
    """BT.2100, table 5: the inverse OOTF for a display of 1000 cd/m², then the OETF."""
    luminance = nits @ LUMA[BT2020]
    scene = nits / 1000 * (np.maximum(luminance, 1e-9)[..., None] / 1000) ** (1 / 1.2 - 1)
    root, logarithm = np.sqrt(3 * scene), 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, root, logarithm)


def stored(image: NDArray[np.uint8], wide: Wide) -> NDArray[np.uint16]:
    """The picture as planes of 10 bits, chroma in full: (3, H, W)."""
    nits = light(image) @ np.array(FROM_BT709[wide.primaries]).T
    curve = {PQ: pq, HLG: hlg}.get(wide.transfer, lambda nits: (nits / WHITE) ** (1 / 2.4))
    rgb = curve(np.maximum(nits, 0))
    red, green, blue = LUMA[wide.matrix]
    y = rgb @ (red, green, blue)
    planes = [y, (rgb[..., 2] - y) / (2 - 2 * blue), (rgb[..., 0] - y) / (2 - 2 * red)]
    low, high, chroma = (0, 1023, 1023) if wide.full_range else (64, 940, 896)
    scaled = [low + (high - low) * planes[0], 512 + chroma * planes[1], 512 + chroma * planes[2]]
    return np.rint(np.clip(scaled, 0, 1023)).astype(np.uint16)


def in_light(wide: Wide) -> Build:
    """A file of the test picture, stored as `wide` says."""

    def build(path: Path) -> None:
        with av.open(str(path), "w", format=wide.format) as output:
            stream: Any = output.add_stream(wide.codec, rate=FPS, options=dict(wide.options))
            stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, wide.pixels
            context = stream.codec_context
            context.thread_count = 1
            context.color_trc, context.color_primaries = wide.transfer, wide.primaries
            context.colorspace, context.color_range = wide.tag or wide.matrix, 2 if wide.full_range else 1
            for number in range(NUM_FRAMES):
                planes = stored(picture(number), wide)
                frame: Any = av.VideoFrame(WIDTH, HEIGHT, "yuv444p10le")
                for plane, values in zip(frame.planes, planes, strict=True):
                    rows = np.zeros((HEIGHT, plane.line_size // 2), np.uint16)
                    rows[:, :WIDTH] = values
                    plane.update(rows)
                frame = frame.reformat(format=wide.pixels) if wide.pixels != "yuv444p10le" else frame
                frame.color_trc, frame.color_primaries = wide.transfer, wide.primaries
                frame.colorspace, frame.color_range = wide.tag or wide.matrix, 2 if wide.full_range else 1
                frame.pts, frame.time_base = number, Fraction(1, FPS)
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))

    return build


def refused(name: str, tag: int) -> Case:
    """A file of a matrix that cannot be converted."""
    return in_light(replace(EXACT, transfer=BT709, primaries=BT709, tag=tag)), skipped(f"its colours are {name}, which")


def case(wide: Wide, tolerance: int = 5) -> Case:
    """A file, and that it must look as in SDR."""
    return in_light(wide), Expected(tolerance=tolerance)


EXACT = Wide(codec="ffv1", format="matroska", pixels="yuv444p10le", options=())
SDR_709 = {"transfer": BT709, "matrix": BT709}

COLORS: dict[str, Case] = {
    "hlg.mp4": case(Wide()),
    "hlg.mov": case(Wide(format="mov")),
    "hlg.mkv": case(Wide(format="matroska")),
    "pq.mp4": case(Wide(PQ)),
    "pq.mkv": case(Wide(PQ, format="matroska")),
    "pq.ts": case(Wide(PQ, format="mpegts")),
    "hlg_exact.mkv": case(EXACT, 3),
    "pq_exact.mkv": case(replace(EXACT, transfer=PQ), 3),
    "pq_full_range.mkv": case(replace(EXACT, transfer=PQ, full_range=True), 3),
    "hlg_prores.mov": case(Wide(codec="prores_ks", format="mov", pixels="yuv422p10le", options=()), 6),
    "hlg_h264.mp4": case(Wide(codec="libx264", options=(("crf", "4"),))),
    "pq.mov": case(Wide(PQ, format="mov")),
    "hlg.ts": case(Wide(format="mpegts")),
    "pq_h264.mkv": case(Wide(PQ, codec="libx264", format="matroska", options=(("crf", "4"),))),
    "hlg_h264.mov": case(Wide(codec="libx264", format="mov", options=(("crf", "4"),))),
    "pq_prores.mov": case(Wide(PQ, codec="prores_ks", format="mov", pixels="yuv422p10le", options=()), 6),
    "hlg_full_range.mkv": case(replace(EXACT, full_range=True), 3),
    "bt2020_sdr.mkv": case(Wide(transfer=14, format="matroska")),
    "display_p3.mp4": case(Wide(primaries=P3, **SDR_709)),
    "bt2020_sdr.mp4": case(Wide(transfer=14)),
    "bt2020_sdr_exact.mkv": case(replace(EXACT, transfer=14), 3),
    "display_p3.mov": case(Wide(primaries=P3, format="mov", **SDR_709)),
    "display_p3_exact.mkv": case(replace(EXACT, primaries=P3, **SDR_709), 3),
    "derived_bt709.mkv": case(replace(EXACT, primaries=BT709, tag=12, **SDR_709), 3),
    "derived_bt2020.mkv": case(replace(EXACT, transfer=14, tag=12), 3),
    "bt2020_matrix_only.mkv": case(replace(EXACT, transfer=BT709, primaries=BT709), 3),
}
HDR = {name for name in COLORS if name.startswith(("hlg", "pq"))}
UNCONVERTED: dict[str, Case] = {
    "ycgco.mkv": refused("YCgCo", 8),
    "ictcp.mkv": refused("ICtCp", 14),
    "ipt.mkv": refused("IPT-C2", 15),
}
