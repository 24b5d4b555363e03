"""What tests of training share: small generators, small recipes, the tiny clips, and clips of larger frames."""

import pandas as pd
import pytest
import torch

from pipeline.data.clips import COLUMNS, ClipDataset, write_clips
from pipeline.models import build
from pipeline.params import load_params
from tests.conftest import CONTEXT, HORIZON, moving_bar, write_store

RNN = {"hidden_size": 24, "num_layers": 1, "nonlinearity": "tanh"}
CONV = {"hidden_channels": 8, "num_layers": 1, "kernel_size": 3, "patch_size": 2}


def make(name="rnn", seed=0, frame_shape=(1, 8, 8)):
    """A small generator called `name`, its weights drawn by `seed`."""
    torch.manual_seed(seed)
    sizes = {"rnn": RNN, "convlstm": CONV, "stlstm": CONV | {"decoupling": 0.5}}[name]
    return build(name, frame_shape, 1, **sizes)


def same(one, other):
    """Whether two mappings from names to tensors are equal to the bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def sections(request):
    """The recipe of `model` and the train section of params.yaml, made small, with the given changes."""
    params = load_params(request.config.rootpath / "params.yaml")

    def make_sections(recipe=None, **train):
        small = {"epochs": 3, "batch_size": 3, "learning_rate": 0.01, "schedule": "cosine", "sampling": "free"}
        train = {"num_threads": 1, "precision": "float32"} | train
        return {
            "recipe": params.model.rnn.recipe.model_copy(update=small | (recipe or {})),
            "train": params.train.model_copy(update=train),
        }

    return make_sections


@pytest.fixture
def data(tiny):
    """Training and validation clips of 8 x 8 pixels."""
    return tuple(ClipDataset(tiny.frames, tiny.clips, split) for split in ("train", "val"))


@pytest.fixture
def wide_data(tmp_path):
    """Training and validation clips of 16 x 16 pixels: a bar of 4 pixels that goes right by 2 per frame."""
    videos = {f"{split}/{i}.mp4": split for split, count in (("train", 8), ("val", 2)) for i in range(count)}
    frames = {video: moving_bar(10, i).repeat(2, 1).repeat(2, 2) for i, video in enumerate(videos)}
    table = pd.DataFrame([(video, split, 0, 10, 2) for video, split in videos.items()], columns=COLUMNS)
    store = write_store(tmp_path / "wide/frames", frames)
    write_clips(tmp_path / "wide/clips", table, task="predict", context=CONTEXT, horizon=HORIZON, stride=3)
    return tuple(ClipDataset(store, tmp_path / "wide/clips", split) for split in ("train", "val"))
