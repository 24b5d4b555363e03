"""The page is whole, asks no other host, and says the right figures."""

import re
from html.parser import HTMLParser

import pytest

from pipeline.pages.page import markdown, page

CARD = {
    "name": "convlstm",
    "sizes": {"num_layers": 2, "hidden_channels": 8},
    "frame_shape": (3, 32, 48),
    "task": "predict",
    "context": 10,
    "horizon": 12,
    "data": "abc<def",
}
SUMMARY = {
    "model": {"mse": 1.5, "mae": 9.0, "psnr": 30.0, "ssim": 0.91234},
    "last_frame": {"mse": 3.0, "mae": 8.0, "psnr": 20.0, "ssim": 0.5},
    "background": {"mse": 2.0, "mae": 8.5, "psnr": 25.0, "ssim": 0.7},
    "useful_horizon": 11,
}


VIDEOS = {"clip_00.mp4": "a & b.mp4[0:22]"}


@pytest.fixture
def html():
    return page(CARD, 12345, SUMMARY, 12, VIDEOS, 100)


def rows(html):
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr.*?</tr>", html)[1:]]


def test_the_table_has_the_model_first_then_the_best_baseline(html):
    assert rows(html) == [
        ["model", "1.50", "9.0", "30.00", "0.912"],
        ["background", "2.00", "8.5", "25.00", "0.700"],
        ["last frame", "3.00", "8.0", "20.00", "0.500"],
    ]
    assert re.findall(r'<td class="best">(.*?)</td>', html) == ["1.50", "30.00", "0.912", "8.0"]


def test_what_people_read_is_there_and_escaped(html):
    assert "its MSE is below that of every non-learned baseline at\n<strong>11 of 12</strong> steps" in html
    for text in ("12,345 parameters", "hidden_channels 8, num_layers 2", "48 × 32 pixels",
                 "abc&lt;def", "a &amp; b.mp4[0:22]", "100 frames"):  # fmt: skip
        assert text in html


def test_names_cannot_bring_elements_of_their_own():
    hostile = "<script>alert('a & b')</script>"
    videos = {hostile + '".mp4': hostile}
    card = CARD | {"name": hostile, "data": hostile, "task": hostile, "sizes": {hostile: hostile}}
    summary = SUMMARY | {hostile: SUMMARY["background"]}
    html = page(card, 12345, summary, 12, videos, 100)
    assert "<script" not in html
    assert "alert(&#39;a &amp; b&#39;)" in html
    # title, heading, video's file and name, row of the table, generator, size's key and value, task, training data
    assert html.count("&lt;script&gt;alert") == 10


def test_it_asks_no_other_host_and_names_the_files_beside_it(html):
    assert "//" not in html
    assert set(re.findall(r'src="(.*?)"', html)) == {"clip_00.mp4", "rollout.mp4", "horizon.png", "sheet.png"}


def test_every_element_is_closed(html):
    class Checker(HTMLParser):
        open_tags: list[str] = []  # noqa: RUF012

        def handle_starttag(self, tag, attributes):
            if tag not in ("meta", "img"):
                self.open_tags.append(tag)

        def handle_endtag(self, tag):
            assert self.open_tags.pop() == tag

    checker = Checker()
    checker.feed(html)
    assert checker.open_tags == []


def test_a_translation_has_flicker_and_no_rollout():
    flicker = {name: row | {"flicker": 3.0} for name, row in SUMMARY.items() if name != "useful_horizon"}
    html = page(CARD | {"task": "translate"}, 12345, flicker | {"useful_horizon": 5}, 22, VIDEOS, 100)
    assert "convlstm translates videos" in html
    assert "<strong>5 of 22</strong>" in html
    assert "<th>Flicker</th>" in html
    assert rows(html)[0][-1] == "3.00"
    assert "rollout.mp4" not in html


def test_weights_that_training_never_bettered_are_told():
    html = [page(CARD, 1, SUMMARY | extra, 12, VIDEOS, 100) for extra in ({}, {"better_than_start": False})]
    assert ["Training never got better than its start" in text for text in html] == [False, True]


def test_the_same_table_in_markdown():
    assert markdown(SUMMARY).splitlines() == [
        "|            |   MSE |   MAE |   PSNR, dB |   SSIM |",
        "|:-----------|------:|------:|-----------:|-------:|",
        "| model      |  1.50 |   9.0 |      30.00 |  0.912 |",
        "| background |  2.00 |   8.5 |      25.00 |  0.700 |",
        "| last frame |  3.00 |   8.0 |      20.00 |  0.500 |",
    ]
