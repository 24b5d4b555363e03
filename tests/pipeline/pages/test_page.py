"""The page is whole, asks no other host, and says the right figures."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from pipeline.pages.charts import chart
from pipeline.pages.data_card import DataCard, Histogram, LeftOut
from pipeline.pages.page import Content, page

CARD = {
    "name": "convlstm",
    "sizes": {"num_layers": 2, "hidden_channels": 8},
    "frame_shape": (3, 32, 48),
    "task": "predict",
    "context": 10,
    "horizon": 12,
    "fps": None,
    "metrics": {"val_mse": 2.5},
    "data": "abc<def",
}
SUMMARY = {
    "model": {"mse": 1.5, "mae": 9.0, "psnr": 30.0, "ssim": 0.91234},
    "last_frame": {"mse": 3.0, "mae": 8.0, "psnr": 20.0, "ssim": 0.5},
    "background": {"mse": 2.0, "mae": 8.5, "psnr": 25.0, "ssim": 0.7},
    "useful_horizon": 11,
}
FILM = {
    "name": "a & b.mp4[0:22]", "title": "worst", "video": "clip_00.mp4", "detail": "MSE 3", "width": 8, "height": 8,
    "columns": 4, "perSprite": 4, "sprites": ["clip_00_0.webp"], "context": 10, "frames": 22, "horizon": 12,
    "verb": "predicted", "fps": 8.0, "panels": [],
}  # fmt: skip
DATA = DataCard(
    facts={"files": "3"},
    splits=[("train", 2, 3, 1000), ("val", 1, 1, 1), ("test", 1, 1, 1)],
    histograms=[Histogram("Motion", [0.5, 1.0], "1", "2 px", "median 1.5 px")],
    left_out=[LeftOut("c.mp4", "damaged", "breaks off", "left_out_00.png")],
    num_left_out=1,
    reasons={"breaks off": 1},
)
CONTENT = Content(
    card=CARD,
    num_parameters=12345,
    summary=SUMMARY,
    intervals={},
    previous=None,
    scale=1,
    num_steps=12,
    num_measured=None,
    films=[FILM],
    horizon_charts=[chart("MSE", "frames ahead", {"model": [(1, 1.0), (2, 2.0)], "last_frame": [(1, 3.0)]})],
    training_charts=[chart("Loss", "epoch", {"loss": [(1, 1.0), (2, 0.5)]})],
    data=DATA,
)


@pytest.fixture
def html():
    return page(CONTENT)


def rows(html):
    """The table of figures: per row its heading and cells."""
    body = re.search(r"<tbody>(.*?)</tbody>", html, re.DOTALL)[1]
    return [
        [re.search(r"<th[^>]*>(.*?)</th>", row)[1], *re.findall(r"<td[^>]*><span>(.*?)</span>", row)]
        for row in re.findall(r"<tr.*?</tr>", body, re.DOTALL)
    ]


def test_the_table_has_the_model_first_then_the_best_baseline(html):
    assert rows(html) == [
        ["model", "1.50", "9.0", "30.00", "0.912"],
        ["background", "2.00", "8.5", "25.00", "0.700"],
        ["last frame", "3.00", "8.0", "20.00", "0.500"],
    ]
    assert re.findall(r'<td class="best"><span>(.*?)</span>', html) == ["1.50", "30.00", "0.912", "8.0"]


def test_what_is_no_plain_word_is_explained_where_it_stands(html):
    assert "Motion: how much changes" not in html
    more = {name: row | {"motion": 0.5} for name, row in SUMMARY.items() if isinstance(row, dict)}
    assert "Motion: how much changes from frame to frame" in page(replace(CONTENT, summary=SUMMARY | more))
    without = {name: row for name, row in SUMMARY.items() if name != "background"}
    assert ["Background: the picture" in text for text in (html, page(replace(CONTENT, summary=without)))] == [
        True,
        False,
    ]


def test_intervals_stand_beside_the_means_and_are_explained(html):
    with_intervals = page(replace(CONTENT, intervals={("model", "mse"): (1.25, 1.75)}))
    assert "<span>1.50</span><small>1.25 to 1.75</small>" in with_intervals
    assert ["95 % intervals" in text for text in (html, with_intervals)] == [False, True]


def test_one_test_video_is_why_there_are_no_intervals(html):
    why = "there is one test video, so that no interval"
    assert why in html
    assert why not in page(replace(CONTENT, intervals={("model", "mse"): (1.25, 1.75)}))
    several = replace(DATA, splits=[("train", 2, 3, 1000), ("val", 1, 1, 1), ("test", 2, 2, 2)])
    assert why not in page(replace(CONTENT, data=several))


def test_it_says_where_pictures_are_larger_than_what_was_measured(html):
    assert "as high and wide as the frames" not in html
    assert "4 times as high and wide as the frames" in page(replace(CONTENT, scale=4))


def test_the_headline_names_where_a_baseline_is_ahead(html):
    assert "its MSE is below that of every non-learned baseline at\n<strong>11 of 12</strong> steps" in html
    assert "<strong>A baseline is ahead</strong> in the mean of MAE (last frame 8.0 against 9.0)." in html
    best = {"model": SUMMARY["model"] | {"mae": 7.0}, "last_frame": SUMMARY["last_frame"], "useful_horizon": 12}
    assert "No baseline is ahead of it in the mean of any metric." in page(replace(CONTENT, summary=best))


def test_the_change_since_the_run_before_is_told_where_that_is_known(html):
    assert "Since the run before" not in html
    changed = page(replace(CONTENT, previous={"model": {"mse": 1.75, "ssim": 0.95}}))
    assert "<td>1.75</td><td>1.50</td>" in changed
    assert '<td class="better">-0.250<small>better</small></td>' in changed
    assert '<td class="worse">-0.0377<small>worse</small></td>' in changed


def test_what_people_read_is_there_and_escaped(html):
    for text in ("12,345 parameters", "hidden_channels 8, num_layers 2", "frames of 48 × 32 pixels",
                 "48 × 32 pixels, colour", "abc&lt;def", "a &amp; b.mp4[0:22]", "<strong>worst</strong>",
                 "1 × breaks off", "1,000", "median 1.5 px"):  # fmt: skip
        assert text in html
    assert "On 1,200 test clips" in page(replace(CONTENT, num_measured=1200))


def test_names_cannot_bring_elements_of_their_own(html):
    hostile = "</script><script>alert('a & b')</script>"
    data = replace(DATA, facts={hostile: hostile}, left_out=[LeftOut(hostile, hostile, hostile, hostile)])
    content = replace(
        CONTENT,
        card=CARD | {"name": hostile, "data": hostile, "task": hostile, "sizes": {hostile: hostile}},
        summary=SUMMARY | {hostile: SUMMARY["background"]},
        films=[FILM | {"name": hostile, "title": hostile, "detail": hostile, "video": hostile}],
        horizon_charts=[chart(hostile, hostile, {hostile: [(1, 1.0)], "b": [(1, 2.0)]})],
        data=replace(data, reasons={hostile: 1}),
    )
    attacked = page(content)
    assert attacked.count("<script") == html.count("<script") == 2
    assert attacked.count("</script") == 2
    assert "alert(&#39;a &amp; b&#39;)" in attacked


def test_it_asks_no_other_host_and_names_the_files_beside_it(html):
    assert "//" not in html
    assert set(re.findall(r'src="(.*?)"', html)) == {"sheet.png", "left_out_00.png"}
    assert set(re.findall(r'href="([^#].*?)"', html)) == {"sheet.png", "clip_00.mp4"}
    assert '"sprites": ["clip_00_0.webp"]' in html


def test_every_element_is_closed(html):
    class Checker(HTMLParser):
        open_tags: list[str] = []  # noqa: RUF012

        def handle_starttag(self, tag, attributes):
            if tag not in ("meta", "img", "input", "br", "wbr"):
                self.open_tags.append(tag)

        def handle_endtag(self, tag):
            assert self.open_tags.pop() == tag

    checker = Checker()
    checker.feed(html)
    assert checker.open_tags == []


def test_a_translation_has_flicker():
    flicker = {name: row | {"flicker": 3.0} for name, row in SUMMARY.items() if name != "useful_horizon"}
    html = page(replace(CONTENT, card=CARD | {"task": "translate"}, summary=flicker | {"useful_horizon": 5}))
    assert "convlstm translates videos" in html
    assert "<strong>5 of 12</strong>" in html
    assert '<th scope="col">Flicker</th>' in html
    assert rows(html)[0][-1] == "3.00"


def test_weights_that_training_never_bettered_are_told(html):
    why = {"better_than_start": False, "start_kept_because": "few <steps>"}
    never = page(replace(CONTENT, summary=SUMMARY | why))
    assert "the weights that it began with: few &lt;steps&gt;.</p>" in never
    assert ["Training was not surely better than its start" in text for text in (html, never)] == [False, True]


def test_nothing_left_out_and_no_curves_are_told_too():
    html = page(replace(CONTENT, training_charts=[], data=replace(DATA, left_out=[], num_left_out=0, reasons={})))
    assert "Nothing: every file is a whole video" in html
    assert "No curves: of a single epoch there are none" in html
