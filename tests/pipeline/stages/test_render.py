"""What people open: real videos and pictures of the right length and size, the same bytes every time."""

import json

import numpy as np
import pytest
from PIL import Image

from pipeline.panels import EMPTY, GENERATED
from pipeline.params import EvaluateParams, RenderParams
from pipeline.stages.evaluate import evaluate
from pipeline.stages.render import Clip, comparison, hold, long_rollout, preview, render, sheet
from pipeline.video import probe, read_frames

PARAMS = RenderParams(num_clips=2, long_horizon=9, scale=4, fps=8.0)


@pytest.fixture(scope="module")
def folders(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("render")
    params = EvaluateParams(batch_size=4, max_clips=None)
    evaluate(tiny.frames, tiny.clips, tiny.model, folder / "metrics", evaluate=params)
    render(tiny.frames, tiny.clips, tiny.model, folder / "metrics", folder / "renders", render=PARAMS)
    return folder


def test_there_is_a_video_a_clip_and_all_else(folders):
    assert sorted(path.name for path in (folders / "renders").iterdir()) == [
        *["clip_00.mp4", "clip_01.mp4", "horizon.png", "index.html", "preview.webp", "rollout.mp4", "sheet.png"]
    ]
    assert probe(folders / "renders/clip_00.mp4").fps == 8.0
    # 3 frames of context, 4 or 9 steps, and a second of standing still
    assert len(list(read_frames(folders / "renders/clip_00.mp4"))) == 3 + 4 + 8
    assert len(list(read_frames(folders / "renders/rollout.mp4"))) == 3 + 9 + 8
    assert Image.open(folders / "renders/preview.webp").n_frames == 7


def test_same_bytes_twice_and_nothing_left_over(tiny, folders, tmp_path):
    (tmp_path / "clip_77.mp4").write_text("of an earlier run")
    render(tiny.frames, tiny.clips, tiny.model, folders / "metrics", tmp_path, render=PARAMS)
    for path in (folders / "renders").iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name
    assert not (tmp_path / "clip_77.mp4").exists()


def test_the_page_has_the_figures_of_the_metrics(folders):
    summary = json.loads((folders / "metrics/metrics.json").read_text())
    html = (folders / "renders/index.html").read_text()
    assert f"<strong>{summary['useful_horizon']} of 4</strong>" in html
    assert f"{summary['model']['mse']:.2f}</td>" in html
    assert "test/0.mp4[0:7]" in html


@pytest.fixture
def clip():
    """8 x 8 gray: context at 10, 11, truth at 20, 21, 22, prediction at 25, 26, 27, rollout from 25 on."""

    def frames(*levels):
        return np.array(levels, np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 1), np.uint8)

    return Clip("a.mp4[0:5]", frames(10, 11), frames(20, 21, 22), frames(25, 26, 27), frames(*range(25, 30)))


def at_panels(picture, count=4):
    """The colour in the middle of each of the 16-pixel panels in the row that begins below title and labels."""
    y = picture.shape[0] - 12 - 5 - 12 - 8
    return [picture[y, 12 + number * 28 + 8].tolist() for number in range(count)]


def test_a_comparison_shows_context_then_truth_prediction_and_error(clip):
    pictures = list(comparison(clip, 2))
    assert len(pictures) == 5
    assert len({picture.shape for picture in pictures}) == 1
    assert at_panels(pictures[0]) == [[10] * 3, *[list(EMPTY)] * 3]
    context, truth, predicted, error = at_panels(pictures[4])
    assert (context, truth, predicted) == ([11] * 3, [22] * 3, [27] * 3)
    assert max(error) < 30  # 5 of 255 is near the dark end


def test_a_long_rollout_goes_on_beyond_the_truth(clip):
    pictures = list(long_rollout([clip, clip], 2))
    assert [at_panels(picture, 2) for picture in pictures] == [
        [[level] * 3] * 2 for level in (10, 11, 25, 26, 27, 28, 29)
    ]


def test_a_preview_has_the_truth_over_the_prediction(clip):
    pictures = list(preview([clip], 2))
    assert len(pictures) == 5
    x = pictures[0].shape[1] - 12 - 8
    assert [picture[12 + 8, x, 0] for picture in pictures] == [10, 11, 20, 21, 22]
    assert [picture[12 + 16 + 12 + 8, x, 0] for picture in pictures] == [10, 11, 25, 26, 27]


def test_a_sheet_has_a_framed_prediction_for_each_step(clip):
    picture = sheet([clip, clip], 2)
    assert picture.shape[0] % 2 == 0
    half = picture[: picture.shape[0] // 2]
    assert np.array_equal(half, picture[picture.shape[0] // 2 :])
    assert (half == GENERATED).all(axis=-1).sum() == 3 * (22 * 22 - 16 * 16)
    assert (half == 27).all(axis=-1).sum() == 16 * 16


def test_a_sheet_of_many_steps_is_thinned_out():
    many = np.zeros((40, 8, 8, 1), np.uint8)
    wide = sheet([Clip("a", many, many, many, many)], 2)
    assert (wide == GENERATED).all(axis=-1).sum() == 10 * (22 * 22 - 16 * 16)


def test_a_video_stays_on_its_last_frame():
    pictures = [np.full((1, 1, 3), level, np.uint8) for level in (1, 2)]
    assert [picture[0, 0, 0] for picture in hold(iter(pictures), 3.0)] == [1, 2, 2, 2, 2]
    assert list(hold(iter([]), 3.0)) == []
