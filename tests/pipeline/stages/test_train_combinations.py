"""Every generator × objective × task goes through the real train stage on small parameters, in one process."""

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline import model_dir
from pipeline.data.clips import write_clips
from pipeline.data.degradations import Translation
from pipeline.models import MODELS
from pipeline.params import load_params
from pipeline.stages.train import train
from tests.small_params import SMALL_MODEL

TASKS = ("predict", "translate")


@pytest.fixture(scope="module")
def clips_of(tiny, tmp_path_factory):
    """The tiny clips for each task; what is translated is noisy."""
    noise = Translation(source=None, target=None, degradation="noise", strength=80.0, seed=0)
    noisy = tmp_path_factory.mktemp("noisy") / "clips"
    table = pd.read_csv(tiny.clips / "clips.csv")
    write_clips(noisy, table, task="translate", context=3, horizon=4, stride=3, translation=noise)
    return dict(zip(TASKS, (tiny.clips, noisy), strict=True))


def small(params, name, objective):
    """The sections of params.yaml that the train stage reads, as shipped but for sizes and epochs."""
    section = getattr(params.model, name)
    recipe = section.recipe.model_copy(update={"objective": objective, "epochs": 2, "batch_size": 16})
    sizes = {key: value for key, value in SMALL_MODEL.items() if key in type(section).model_fields}
    section = section.model_copy(update={**sizes, "recipe": recipe})
    adversary = params.train.adversary.model_copy(update={"start": 0.5, "channels": 4})
    return {
        "extract": params.extract,
        "translate": params.translate,
        "model": params.model.model_copy(update={"name": name, name: section}),
        "train": params.train.model_copy(update={"num_threads": 1, "adversary": adversary}),
    }


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("objective", ["pixel", "adversarial"])
@pytest.mark.parametrize("name", MODELS)
def test_every_generator_trains_with_every_objective_for_every_task(
    tiny, clips_of, request, tmp_path, monkeypatch, name, objective, task
):
    monkeypatch.chdir(tmp_path)
    sections = small(load_params(request.config.rootpath / "params.yaml"), name, objective)
    train(tiny.frames, clips_of[task], tmp_path / "model", tmp_path / "training", task=task, **sections)

    model, card = model_dir.load(tmp_path / "model")
    assert (card.name, card.task) == (name, task)
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    losses = pd.read_csv(tmp_path / "training/plots/metrics/train_loss.tsv", sep="\t")["train_loss"]
    assert np.isfinite(losses).all()
    assert len(losses) == 2
