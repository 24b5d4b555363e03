"""What people open: real videos and pictures of the right length and size, the same bytes every time."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.data.clips import COLUMNS, write_clips
from pipeline.data.translation import Translation
from pipeline.model_dir import load, save
from pipeline.params import EvaluateParams, RenderParams
from pipeline.stages.evaluate import evaluate
from pipeline.stages.extract import extract
from pipeline.stages.render import hold, render
from pipeline.video import probe, read_frames, write_video
from tests.conftest import videos_in

PARAMS = RenderParams(num_clips=2, long_horizon=9, scale=4, fps=8.0)


@pytest.fixture(scope="module")
def folders(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("render")
    params = EvaluateParams(batch_size=4, max_clips=None, lpips="off")
    evaluate(tiny.frames, tiny.clips, tiny.model, folder / "metrics", evaluate=params)
    (folder / "training").mkdir()
    (folder / "training/gradients.csv").write_text("steps_back,before,after\n1,0.1,0.2\n2,0.01,0.1\n")
    folders = tiny.model, folder / "training", folder / "metrics", folder / "renders"
    render(tiny.frames, tiny.clips, *folders, render=PARAMS, **videos_in(folder / "none"))
    return folder


def test_there_is_one_video_per_clip_and_all_else(folders):
    assert sorted(path.name for path in (folders / "renders").iterdir()) == [
        *["clip_00.mp4", "clip_00_0.webp", "clip_01.mp4", "clip_01_0.webp", "index.html", "preview.webp"],
        *["rollout.mp4", "rollout_0.webp", "sheet.png"],
    ]
    assert probe(folders / "renders/clip_00.mp4").fps == 8.0
    # 3 frames of context, 4 or 9 steps, and a second of standing still
    assert len(list(read_frames(folders / "renders/clip_00.mp4"))) == 3 + 4 + 8
    assert len(list(read_frames(folders / "renders/rollout.mp4"))) == 3 + 9 + 8
    assert Image.open(folders / "renders/preview.webp").n_frames == 7


def test_same_bytes_twice_and_nothing_left_over(tiny, folders, tmp_path):
    (tmp_path / "clip_77.mp4").write_text("of an earlier run")
    inputs = tiny.frames, tiny.clips, tiny.model, folders / "training", folders / "metrics"
    render(*inputs, tmp_path, render=PARAMS, **videos_in(tmp_path / "none"))
    for path in (folders / "renders").iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name
    assert not (tmp_path / "clip_77.mp4").exists()


def test_the_page_has_the_figures_of_the_metrics(folders):
    summary = json.loads((folders / "metrics/metrics.json").read_text())
    html = (folders / "renders/index.html").read_text()
    assert f"<strong>{summary['useful_horizon']} of 4</strong>" in html
    assert f"<span>{summary['model']['mse']:.2f}</span>" in html
    assert "test/0.mp4[0:7]" in html
    assert "How far back the gradient reaches" in html


def test_clips_are_the_median_and_the_worst_where_evaluate_has_scored_them(tiny, folders, tmp_path):
    shutil.copytree(folders / "metrics", tmp_path / "metrics")
    scores = [{"clip": c, "video": "v", "start": 0, "method": "model", "mse": 9.0 - c, "ssim": 0.5} for c in range(6)]
    pd.DataFrame(scores).to_csv(tmp_path / "metrics/clip_scores.csv", index=False)
    (tmp_path / "metrics/intervals.csv").write_text("method,metric,mean,low,high\nmodel,mse,3,2.5,3.5\n")
    inputs = tiny.frames, tiny.clips, tiny.model, folders / "training", tmp_path / "metrics"
    render(*inputs, tmp_path / "renders", render=PARAMS, **videos_in(tmp_path / "none"))
    html = (tmp_path / "renders/index.html").read_text()
    for text in (
        "<strong>median</strong>",
        "<strong>worst</strong>",
        "MSE 9.00, SSIM 0.500, place 6 of 6",
        "On 6 test clips",
        "2.50 to 3.50",
    ):
        assert text in html


def test_a_log_line_tells_of_every_clip_and_every_film(tiny, folders, tmp_path, caplog):
    inputs = tiny.frames, tiny.clips, tiny.model, folders / "training", folders / "metrics"
    with caplog.at_level("INFO"):
        render(*inputs, tmp_path, render=PARAMS, **videos_in(tmp_path / "none"))
    for text in ("clip 1/2 is predicted", "clip 2/2 is predicted", "film 1/3 is written", "film 3/3 is written"):
        assert text in caplog.text


def test_a_video_stays_on_its_last_frame():
    pictures = [np.full((1, 1, 3), level, np.uint8) for level in (1, 2)]
    assert [picture[0, 0, 0] for picture in hold(iter(pictures), 3.0)] == [1, 2, 2, 2, 2]
    assert list(hold(iter([]), 3.0)) == []


def test_a_translation_is_rendered_without_a_rollout(tiny, tmp_path):
    translation = Translation(source=None, target=None, degradation="noise", strength=25.0, seed=0)
    table = pd.read_csv(tiny.clips / "clips.csv")
    write_clips(tmp_path / "clips", table, task="translate", context=3, horizon=4, stride=3, translation=translation)
    model, card = load(tiny.model)
    save(tmp_path / "model", model, card.model_copy(update={"task": "translate", "translation": translation}))
    folders = tiny.frames, tmp_path / "clips", tmp_path / "model", tmp_path / "metrics"
    evaluate(*folders, evaluate=EvaluateParams(batch_size=4, max_clips=None, lpips="off"))
    render(
        *folders[:3],
        tmp_path / "training",
        folders[3],
        tmp_path / "renders",
        render=PARAMS,
        **videos_in(tmp_path / "none"),
    )
    assert sorted(path.name for path in (tmp_path / "renders").iterdir()) == [
        *["clip_00.mp4", "clip_00_0.webp", "clip_01.mp4", "clip_01_0.webp", "index.html", "preview.webp", "sheet.png"]
    ]
    assert len(list(read_frames(tmp_path / "renders/clip_00.mp4"))) == 7 + 8
    assert "of 7</strong>" in (tmp_path / "renders/index.html").read_text()


def large(folder, tiny):
    """Frames of eight pixels a side of a video that is eight times as large, and clips of them."""
    frames = np.zeros((7, 64, 64, 3), np.uint8)
    for number, frame in enumerate(frames):
        frame[:, 8 * number : 8 * number + 16] = 200, 40, 0
    write_video(folder / "videos/test/a.mp4", iter(frames), 10.0)
    sources = videos_in(folder / "videos")
    extract(folder / "frames", **sources)
    table = pd.DataFrame([("test/a.mp4", split, 0, 7, 1) for split in ("train", "test")], columns=COLUMNS)
    write_clips(folder / "clips", table, task="predict", context=3, horizon=4, stride=3)
    params = EvaluateParams(batch_size=4, max_clips=None, lpips="off")
    evaluate(folder / "frames", folder / "clips", tiny.model, folder / "metrics", evaluate=params)
    return sources


def test_clips_are_shown_in_the_size_and_colours_of_their_videos(tiny, tmp_path, caplog):
    sources = large(tmp_path, tiny)
    folders = tmp_path / "frames", tmp_path / "clips", tiny.model, tmp_path / "training", tmp_path / "metrics"
    render(*folders, tmp_path / "renders", render=PARAMS, **sources)
    html = (tmp_path / "renders/index.html").read_text()
    assert "4 times as high and wide as the frames" in html
    sprite = np.asarray(Image.open(tmp_path / "renders/clip_00_0.webp").convert("RGB"))
    first = sprite[:32, :32].astype(int)  # the context's first frame
    assert abs(first[:, :7] - [200, 40, 0]).max() < 40
    assert first[:, 9:].max() < 40

    (tmp_path / "videos/test/a.mp4").unlink()
    render(*folders, tmp_path / "small", render=PARAMS, **sources)
    assert "times as high and wide" not in (tmp_path / "small/index.html").read_text()


def test_a_clip_whose_video_has_changed_is_shown_in_the_size_of_its_frames_and_a_line_says_so(tiny, tmp_path, caplog):
    sources = large(tmp_path, tiny)
    write_video(tmp_path / "videos/test/a.mp4", (np.full((64, 64, 3), 90, np.uint8) for _ in range(7)), 10.0)
    folders = tmp_path / "frames", tmp_path / "clips", tiny.model, tmp_path / "training", tmp_path / "metrics"
    render(*folders, tmp_path / "renders", render=PARAMS, **sources)
    assert "test/a.mp4: is shown in the size of its frames (its video is another one now)" in caplog.text
    assert len(list(read_frames(tmp_path / "renders/clip_00.mp4"))) == 3 + 4 + 8
