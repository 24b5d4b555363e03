"""dvc.yaml, params.yaml, the stage functions and what they import say the same."""

import importlib
import inspect
import re
from functools import cache
from pathlib import Path
from typing import get_args

import grimp
import pytest
from ruamel.yaml import YAML

from pipeline.model_params import ModelParams
from pipeline.params import load_params
from tests.test_docs import params_rows

ROOT = Path(__file__).parents[1]
STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
# their effect is tracked as values: params.yaml's, and what a stage raises changes no output
PLUMBING = {
    "pipeline/stage.py",
    "pipeline/params.py",
    "pipeline/model_params.py",
    "pipeline/errors.py",
    "pipeline/__init__.py",
}
MODEL_NAMES = get_args(ModelParams.model_fields["name"].annotation)


@cache
def import_graph() -> grimp.ImportGraph:
    return grimp.build_graph("pipeline", cache_dir=None)


def source(module: str) -> str:
    path = module.replace(".", "/")
    return f"{path}/__init__.py" if (ROOT / path).is_dir() else f"{path}.py"


def imported(module: str) -> set[str]:
    return {source(name) for name in import_graph().find_upstream_modules(module)} | {source(module)}


def lies_in(file: str, path: str) -> bool:
    return file == path or file.startswith(f"{path}/")


def function_of(stage: str):
    return getattr(importlib.import_module(f"pipeline.stages.{stage}"), stage)


def test_the_stages_are_the_modules():
    modules = {path.stem for path in (ROOT / "pipeline/stages").glob("*.py")} - {"__init__"}
    assert set(STAGES) == modules


@pytest.mark.parametrize("stage", STAGES)
def test_every_imported_file_lies_under_a_declared_path_and_every_declared_path_has_one(stage):
    declared = [dep for dep in STAGES[stage]["deps"] if dep.startswith("pipeline/")]
    needed = imported(f"pipeline.stages.{stage}") - PLUMBING - {"pipeline/stages/__init__.py"}
    if "pipeline/training/start.py" in needed:  # the weights that it reads
        needed.add("pipeline/pretrained/model.json")
    if "pipeline/models/__init__.py" in needed:  # it imports the chosen model by name, where no import graph sees it
        needed.add("pipeline/models/${model.name}.py")
        for name in MODEL_NAMES:
            needed |= imported(f"pipeline.models.{name}") - PLUMBING - {f"pipeline/models/{name}.py"}
    assert [file for file in sorted(needed) if not any(lies_in(file, path) for path in declared)] == []
    assert [path for path in declared if not any(lies_in(file, path) for file in needed)] == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_gets_the_paths_and_the_sections_that_it_declares(stage):
    spec = STAGES[stage]
    parameters = inspect.signature(function_of(stage)).parameters.values()
    paths = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
    sections = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}

    command = spec["cmd"].split()
    assert command[:3] == ["python", "-m", f"pipeline.stages.{stage}"]
    assert len(command[3:]) == len(paths)
    assert {param.split(".")[0] for param in spec.get("params", [])} == sections


@pytest.mark.parametrize("stage", STAGES)
def test_every_path_in_a_command_is_a_dependency_or_an_output(stage):
    spec = STAGES[stage]
    outs = [
        next(iter(out)) if isinstance(out, dict) else out
        for key in ("outs", "metrics", "plots")
        for out in spec.get(key, [])
    ]
    for path in spec["cmd"].split()[3:]:
        assert path in spec["deps"] or any(out == path or out.startswith(f"{path}/") for out in outs), path


@pytest.mark.parametrize("stage", STAGES)
def test_a_command_is_fixed_words(stage):
    """DVC hands it to a shell and quotes nothing: a value of params.yaml in it would be run."""
    assert re.fullmatch(r"[\w./ -]+", STAGES[stage]["cmd"])


def test_params_yaml_is_valid_and_says_what_each_key_is():
    load_params(ROOT / "params.yaml")
    assert [key for key, _, comment in params_rows() if not comment] == []
