"""The files that a new project begins with, made of those that this foreframe is developed with."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pipeline
from pipeline.errors import PipelineError
from pipeline.runtime.yaml_file import with_values

PACKAGE = Path(pipeline.__file__).parent
# a wheel holds copies of them (pyproject.toml), a clone has them beside the package
PLACES = (PACKAGE / "project" / "files", PACKAGE.parent)
# in a project, a link to the installed package: DVC sees the code there as in a clone, whatever made it change
CODE = Path(".foreframe/code")

PLOTS = (".dvc/plots/by_method.json", ".dvc/plots/page.html")  # the template that dvc.yaml names, DVC's page of plots
OFFLINE = "/plots/vega.js"  # what `python -m flows.offline_plots` writes, in .dvc

IGNORED_BY_GIT = """\
# the installed foreframe, as a link; `foreframe init .` makes it
/.foreframe/
# the training state that lets a killed run go on, and other state beside the outputs
/.train/
# every output of a stage is DVC's; listed here for good, because a failing `dvc repro` rolls its own entries back
/data/*
!/data/metrics/
# what `dvc add data/raw` writes
!/data/*.dvc
!/data/.gitignore
/dvc_plots/
# promoted models, what they are applied to and what they give
/models/
/inbox/
/generated/
/comparison/
/.prefect/
.venv/
__pycache__/
"""
IGNORED_BY_DVC = """\
# None of these is data; keeping DVC out of them keeps `dvc status` quick.
.venv
.train
__pycache__
/models
/inbox
/generated
/comparison
.prefect
"""
HEADER = """\
# What depends on what. `dvc repro` runs it, `dvc dag` draws it; `python -m flows.deploy` runs it on a schedule.
# .foreframe/code is the installed foreframe: a stage is run again when the code that it imports has changed.
"""


def read(name: str) -> str:
    """The text of dvc.yaml, params.yaml, pyproject.toml or one of PLOTS as this foreframe is developed with it."""
    for place in PLACES:
        if (place / name).is_file():
            return (place / name).read_text(encoding="utf-8")
    raise PipelineError(f"{PLACES[0] / name}: is missing; install foreframe again")


def dvc_yaml() -> str:
    """dvc.yaml of a project: no stage that makes a sample, and code by CODE instead of by a clone's files."""
    kept = re.sub(r"^  sample:\n(?:(?:    .*)?\n)*", "", read("dvc.yaml"), flags=re.MULTILINE)
    body = kept[re.search(r"^stages:", kept, flags=re.MULTILINE).start() :]  # type: ignore[union-attr]
    return HEADER + re.sub(r"^(      - )pipeline/", rf"\1{CODE}/", body, flags=re.MULTILINE)


def params_yaml(values: Mapping[str, Any]) -> str:
    """params.yaml with `values` (dotted key -> value) in it, comments kept, without the section of the sample."""
    kept = re.sub(r"^sample:.*\n(?:  .*\n)*\n", "", read("params.yaml"), flags=re.MULTILINE)
    return with_values(kept, values)


def prefect_toml() -> str:
    """prefect.toml: the tables [tool.prefect…] of pyproject.toml, which says what Prefect may do and whom it asks."""
    lines, inside = [], False
    for line in read("pyproject.toml").splitlines():
        if line.startswith("["):
            inside = line.startswith("[tool.prefect")
        if inside:
            lines.append(re.sub(r"^\[tool\.prefect\.?", "[", line))
    return "\n".join(lines).rstrip() + "\n"
