"""Files that cannot be translated, from real videos to the one line that a person reads."""

import av
import numpy as np
import pytest
import torch

from pipeline import model_dir
from pipeline.cli import main
from pipeline.errors import PipelineError
from pipeline.params import load_params
from pipeline.stages.extract import extract
from pipeline.stages.tensorize import tensorize
from pipeline.video import write_video
from tests.conftest import data_in
from tests.pipeline.inference.test_translation import make_card


def write(path, num_frames=40, size=(16, 24), fps=12.5, first=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, (np.full((*size, 3), first + 5 * t, np.uint8) for t in range(num_frames)), fps)


def write_tiny(path, height, width):
    """Three frames of an odd size, which the usual codec does not take."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=12)
        stream.width, stream.height, stream.pix_fmt = width, height, "bgr0"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((height, width, 3), np.uint8))))
        container.mux(stream.encode())


def prepare(folder, root, translate, color="rgb"):
    """The stages extract and tensorize on the videos in `folder`/videos, with `translate` changed."""
    params = load_params(root / "params.yaml")
    chosen = params.extract.model_copy(update={"size": (16, 24), "color": color})
    extract(folder / "frames", data=data_in(folder / "videos"), extract=chosen)
    tensorize(
        folder / "frames",
        folder / "clips",
        task="translate",
        tensorize=params.tensorize.model_copy(update={"context": 2, "horizon": 2}),
        translate=params.translate.model_copy(update=translate),
    )


PAIRS = {"source": "rough", "target": "clean"}


@pytest.mark.parametrize(
    ("files", "translate", "color", "message"),
    [
        (
            {"rough/a.mp4": {}, "clean/a.mp4": {}, "clean/b.mp4": {}},
            PAIRS,
            "rgb",
            "clean/b.mp4: has no partner; rough/b.mp4 is missing",
        ),
        (
            {"rough/a.mp4": {"num_frames": 39}, "clean/a.mp4": {}},
            PAIRS,
            "rgb",
            "rough/a.mp4 and clean/a.mp4: 39 and 40 frames; a pair needs as many in both",
        ),
        (
            {"rough/a.mp4": {"fps": 25.0}, "clean/a.mp4": {}},
            PAIRS,
            "rgb",
            "rough/a.mp4 and clean/a.mp4: 25.000 and 12.500 frames per second; a pair needs one rate",
        ),
        (
            {"rough/a.mp4": {"size": (16, 20)}, "clean/a.mp4": {}},
            PAIRS,
            "rgb",
            "rough/a.mp4 and clean/a.mp4: 20x16 and 24x16 pixels; a pair needs one size",
        ),
        (
            {"a.mp4": {}},
            {"degradation": "grey"},
            "gray",
            "translate.degradation grey: needs colour, the frames are gray; set extract.color to rgb",
        ),
    ],
)
def test_videos_that_cannot_be_learnt_from_are_one_line(files, translate, color, message, tmp_path, request):
    for i, (name, changes) in enumerate(files.items()):
        write(tmp_path / "videos" / name, first=20 * i, **changes)
    with pytest.raises(PipelineError) as error:
        prepare(tmp_path, request.config.rootpath, translate, color)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((20, 7), "foreframe translate: a frame of 7x20 pixels is too small; 8 a side are needed"),
        ((7, 7), "foreframe translate: a frame of 7x7 pixels is too small; 8 a side are needed"),
    ],
)
@pytest.mark.parametrize("tile", [[], ["--tile", "128"]])
def test_a_video_of_seven_pixels_is_one_line_and_leaves_no_file(size, tile, message, tmp_path):
    card = make_card()
    torch.manual_seed(0)
    model_dir.save(tmp_path / "model", card.build(), card)
    write_tiny(tmp_path / "in.mkv", *size)
    arguments = [str(tmp_path / "in.mkv"), str(tmp_path / "out.mp4"), "--model", str(tmp_path / "model"), *tile]
    with pytest.raises(SystemExit) as ending:
        main(["translate", *arguments])
    assert ending.value.code == message
    assert not (tmp_path / "out.mp4").exists()


def test_a_gray_model_of_colour_says_what_is_wrong(tmp_path):
    card = make_card("grey", 1.0, channels=1)
    model_dir.save(tmp_path / "model", card.build(), card)
    write(tmp_path / "in.mp4", 3)
    with pytest.raises(SystemExit) as ending:
        main(["translate", str(tmp_path / "in.mp4"), str(tmp_path / "out.mp4"), "--model", str(tmp_path / "model")])
    assert ending.value.code == "foreframe translate: the model makes gray frames, grey 1 needs colour"
