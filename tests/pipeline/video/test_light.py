"""HDR looks as in SDR up to reference white, and the row says how that was done."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.ingest.video_job import extract_video
from pipeline.video.light import BT2020, HLG, PQ, Light
from tests.corpus.colors import EXACT, in_light, light, pq
from tests.pipeline.video.test_subsampling import job, nothing


def test_every_gray_below_white_is_within_a_level_in_pq():
    ramp = np.arange(256, dtype=np.uint8)
    stored = np.rint(65535 * pq(light(ramp))).astype(np.uint16)
    seen = Light(PQ, BT2020).to_sdr(np.repeat(stored[None, :, None], 3, axis=2))
    assert np.abs(seen[0].astype(int) - ramp[:, None]).max() <= 1


def test_what_is_brighter_than_white_is_white_and_three_quarters_of_hlg_are_white():
    bright = np.full((1, 1, 3), 60000, np.uint16)
    assert (Light(PQ, BT2020).to_sdr(bright) == 255).all()
    white = np.full((1, 1, 3), round(0.75 * 65535), np.uint16)  # BT.2408, table 1
    assert Light(HLG, BT2020).to_sdr(white)[0, 0].tolist() == pytest.approx([255] * 3, abs=1)
    gray = np.full((1, 1, 3), round(0.38 * 65535), np.uint16)  # gray card, 26 cd/m2
    expected = 255 * (26 / 203) ** (1 / 2.4)
    assert Light(HLG, BT2020).to_sdr(gray)[0, 0].tolist() == pytest.approx([expected] * 3, abs=2)


def test_the_row_says_how_hdr_was_mapped(tmp_path):
    for transfer, said in (
        (HLG, "HLG mapped to SDR, white at 203 cd/m2"),
        (PQ, "PQ mapped to SDR, white at 203 cd/m2"),
        (14, ""),
    ):
        in_light(replace(EXACT, transfer=transfer))(tmp_path / "a.mkv")
        outcome = extract_video(job(tmp_path / "a.mkv", tmp_path / "a.npy", None), nothing, lambda: 0)
        assert outcome.hdr == said
