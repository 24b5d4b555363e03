"""From HDR and wide colours to what an SDR display of BT.709 shows.

PQ and HLG (ITU-R BT.2100) are turned into light, light of 203 cd/m² (HDR reference white, ITU-R BT.2408) is the white
of SDR, and light is encoded for a display of gamma 2.4 (BT.1886). So what is not brighter than white looks as it would
in SDR; what is brighter is white. Primaries of BT.2020 and Display P3 become those of BT.709, in light.
"""

from dataclasses import dataclass
from functools import lru_cache

import av
import numpy as np
from numpy.typing import NDArray

WHITE = 203.0  # cd/m²
GAMMA = 2.4  # of an SDR display, BT.1886
HLG_PEAK, HLG_GAMMA = 1000.0, 1.2  # cd/m² of the display that HLG is meant for, and its system gamma (BT.2100, table 5)
# ITU-T H.273's numbers
PQ, HLG = 16, 18
TRANSFERS = {PQ: "PQ", HLG: "HLG"}
BT2020, DISPLAY_P3 = 9, 12
HLG_LUMINANCE = {BT2020: (0.2627, 0.6780, 0.0593), DISPLAY_P3: (0.2290, 0.6917, 0.0793)}
BT709_LUMINANCE = (0.2126, 0.7152, 0.0722)
TO_BT709 = {
    # ITU-R BT.2087, 2.2
    BT2020: ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),
    # SMPTE EG 432-1, both of white D65
    DISPLAY_P3: ((1.2249, -0.2247, 0.0), (-0.0421, 1.0421, 0.0), (-0.0196, -0.0786, 1.0979)),
}


@dataclass(frozen=True)
class Light:
    """How the values of a picture are light, where that is not as in SDR of BT.709."""

    transfer: int
    primaries: int

    @property
    def hdr(self) -> str:
        """What was done, for a person; "" for SDR."""
        kind = TRANSFERS.get(self.transfer)
        return "" if kind is None else f"{kind} mapped to SDR, white at {WHITE:g} cd/m2"

    def to_sdr(self, image: NDArray[np.uint16]) -> NDArray[np.uint8]:
        """RGB of 16 bits, (H, W, 3), as uint8 for an SDR display of BT.709."""
        light = _curve(self.transfer)[image]  # of white
        if self.transfer == HLG:
            luminance = light @ np.array(HLG_LUMINANCE.get(self.primaries, BT709_LUMINANCE), np.float32)
            light = light * luminance[..., None] ** np.float32(HLG_GAMMA - 1) * np.float32(HLG_PEAK / WHITE)
        if self.primaries in TO_BT709:
            light = light @ np.array(TO_BT709[self.primaries], np.float32).T
        return np.rint(255 * np.clip(light, 0, 1) ** np.float32(1 / GAMMA)).astype(np.uint8)


def light_of(frame: av.VideoFrame) -> Light | None:
    """How the values of `frame` are light; None for SDR of BT.709 and what looks about the same."""
    transfer, primaries = int(frame.color_trc), int(frame.color_primaries)
    if transfer in TRANSFERS or primaries in TO_BT709:
        return Light(transfer, primaries)
    return None


@lru_cache(maxsize=3)
def _curve(transfer: int) -> NDArray[np.float32]:
    """Light for each of the 65,536 values: of white, but for HLG of the scene, 0 … 1."""
    value = np.arange(65536) / 65535
    if transfer == PQ:  # BT.2100, table 4
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        power = value ** (1 / m2)
        light = 10_000 / WHITE * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
    elif transfer == HLG:  # BT.2100, table 5
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(value <= 0.5, value**2 / 3, (np.exp((value - c) / a) + b) / 12)
    else:
        light = value**GAMMA
    return light.astype(np.float32)
