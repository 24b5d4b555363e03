"""A stage reads no key of params.yaml that dvc.yaml does not declare: DVC would not run it again when that changes.

`stage.run` hands over whole sections, so the stages that declare only some keys of one are run here on small real
things, and what they read is recorded.
"""

import re
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from pipeline.model_params import Section
from pipeline.params import Params, load_params
from pipeline.stages.tensorize import tensorize
from pipeline.stages.train import train
from tests.conftest import write_store
from tests.small_params import SMALL_MODEL

ROOT = Path(__file__).parents[3]
STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
WHOLE = {"model_dump", "model_dump_json", "model_copy", "__dict__"}  # what reads a section without naming its keys


def keys_of(section: Section, path: str) -> dict[str, str | set[str]]:
    """For each field of a section its dotted key, or those of all values in it if it is a section too."""
    found: dict[str, str | set[str]] = {}
    for name in type(section).model_fields:
        value, key = getattr(section, name), f"{path}.{name}".lstrip(".")
        found[name] = leaves(value, key) if isinstance(value, Section) else key
    return found


def leaves(section: Section, path: str) -> set[str]:
    """The dotted keys of all values in a section."""
    keys = keys_of(section, path).values()
    return {leaf for key in keys for leaf in (key if isinstance(key, set) else {key})}


@pytest.fixture
def record(monkeypatch):
    """Notes from now on which values of the given parameters are read; returns the set that their keys are added to."""

    def begin(params: Params) -> set[str]:
        known: dict[int, tuple[dict[str, str | set[str]], set[str]]] = {}
        pending: list[tuple[str, Section]] = [("", params)]
        while pending:
            path, section = pending.pop()
            known[id(section)] = keys_of(section, path), leaves(section, path)
            fields = ((f"{path}.{name}".lstrip("."), getattr(section, name)) for name in type(section).model_fields)
            pending += [(key, value) for key, value in fields if isinstance(value, Section)]
        read: set[str] = set()

        def noted(section: Section, name: str) -> object:
            fields, whole = known.get(id(section), ({}, set()))
            if isinstance(key := fields.get(name), str):
                read.add(key)
            elif name in WHOLE:
                read.update(whole)
            return object.__getattribute__(section, name)

        monkeypatch.setattr(Section, "__getattribute__", noted, raising=False)
        return read

    return begin


def small_params(task: str, name: str) -> Params:
    """params.yaml for `task` and the generator `name`, small."""
    params = load_params(ROOT / "params.yaml")
    section = getattr(params.model, name)
    sizes = {key: value for key, value in SMALL_MODEL.items() if key in type(section).model_fields}
    recipe = section.recipe.model_copy(update={"epochs": 1, "objective": "adversarial"})
    section = section.model_copy(update={**sizes, "recipe": recipe})
    changes = {
        "task": task,
        "tensorize": params.tensorize.model_copy(update={"context": 3, "horizon": 4}),
        "model": params.model.model_copy(update={"name": name, name: section}),
        "train": params.train.model_copy(update={"num_threads": 1}),
    }
    return params.model_copy(update=changes)


def sections(stage: str, params: Params) -> dict:
    return {name: getattr(params, name) for name in {key.split(".")[0] for key in STAGES[stage]["params"]}}


def declared(stage: str, params: Params) -> list[str]:
    """The keys that dvc.yaml declares for a stage, with the values of `params` in its templates."""

    def value(template: re.Match[str]) -> str:
        found = params
        for name in template[1].split("."):
            found = getattr(found, name)
        return str(found)

    return [re.sub(r"\$\{([\w.]+)\}", value, key) for key in STAGES[stage]["params"]]


def undeclared(read: set[str], keys: list[str]) -> list[str]:
    return sorted(name for name in read if not any(name == key or name.startswith(f"{key}.") for key in keys))


@pytest.fixture
def frames(tmp_path):
    rng = np.random.default_rng(0)
    videos = [f"{split}/{i}.mp4" for split, count in (("train", 4), ("val", 1), ("test", 1)) for i in range(count)]
    return write_store(
        tmp_path / "frames", {name: rng.integers(0, 256, (10, 8, 8, 1), dtype=np.uint8) for name in videos}
    )


@pytest.mark.parametrize("task", ["predict", "translate"])
def test_tensorize_reads_only_what_it_declares(frames, tmp_path, record, task):
    params = small_params(task, "foreframe")
    arguments, keys = sections("tensorize", params), declared("tensorize", params)
    read = record(params)
    tensorize(frames, tmp_path / "clips", **arguments)
    assert "tensorize.context" in read
    assert undeclared(read, keys) == []


@pytest.mark.parametrize("name", ["foreframe", "convlstm"])
@pytest.mark.parametrize("task", ["predict", "translate"])
def test_train_reads_only_what_it_declares(frames, tmp_path, monkeypatch, record, task, name):
    monkeypatch.chdir(tmp_path)
    params = small_params(task, name)
    tensorize(frames, tmp_path / "clips", **sections("tensorize", params))
    arguments, keys = sections("train", params), declared("train", params)
    read = record(params)
    train(frames, tmp_path / "clips", tmp_path / "model", tmp_path / "training", **arguments)
    assert {"extract.fps", f"model.{name}.recipe.epochs", "train.adversary.weight"} <= read
    assert undeclared(read, keys) == []


def test_the_others_declare_whole_sections():
    parts = {stage for stage, spec in STAGES.items() if any("." in key for key in spec.get("params", []))}
    assert parts == {"sample", "tensorize", "train"}, "a test as those above for each"


@pytest.mark.parametrize(
    ("reads", "expected"),
    [
        (lambda params: params.translate.carry, ["translate.carry"]),
        (lambda params: getattr(params.translate.strength, "blur"), ["translate.strength.blur"]),  # noqa: B009
        (lambda params: params.model.selected.patch_size, ["model.name", "model.rnn.patch_size"]),
        (lambda params: params.extract.model_dump_json(exclude={"size"}), ["extract.color", "extract.size"]),
        (lambda params: dict(params.train.adversary), ["train.adversary.context", "train.adversary.weight"]),
    ],
)
def test_whatever_way_a_key_is_read_it_is_seen(record, reads, expected):
    params = load_params(ROOT / "params.yaml")
    expected = [key.replace("rnn", params.model.name) for key in expected]
    read = record(params)
    reads(params)
    assert set(expected) <= read
    assert all(undeclared(read, [key for key in read if key != name]) == [name] for name in expected)
