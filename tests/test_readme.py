"""The README names all that there is: stages, parameters, models, flows, commands.

`python -m tests.test_readme` writes its table of parameters anew from params.yaml.
"""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.cli import COMMANDS
from pipeline.models import MODELS

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
# those that people start; the others of flows/ are what these are made of
FLOWS = sorted(path.stem for path in (ROOT / "flows").glob("*.py") if 'prog="python -m flows.' in path.read_text())
TABLE = re.compile(r"(?<=<!-- params -->\n).*?(?=<!-- /params -->)", flags=re.DOTALL)


def params_table() -> str:
    """A row a key of params.yaml: key, shipped value, the key's comment. The models' recipes share their rows."""
    rows: dict[str, str] = {}
    path: list[str] = []
    for line in (ROOT / "params.yaml").read_text().splitlines():
        match = re.match(r"( *)(\w+):(?: +([^#]*[^# ]))?(?: +# (.*))?$", line)
        if match is None:
            continue
        indent, key, value, comment = match.groups()
        path = [*path[: len(indent) // 2], key]
        if value is None:
            continue
        name, shown = ".".join(path), f"`{value}`"
        if path[0] == "model" and "recipe" in path:
            name, shown = f"model.*.{'.'.join(path[2:])}", "a value a model"
        rows.setdefault(name, f"| `{name}` | {shown} | {str(comment).replace('|', chr(92) + '|')} |")
    return "\n".join(["| key | as shipped | what it is |", "| --- | --- | --- |", *rows.values(), ""])


def in_table(name: str) -> bool:
    """Whether a table row begins with `name` in backquotes."""
    return re.search(rf"^\| `{re.escape(name)}` \|", README.read_text(), flags=re.MULTILINE) is not None


@pytest.mark.parametrize("stage", YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"])
def test_every_stage_has_a_row(stage):
    assert in_table(stage)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_has_a_row(model):
    assert in_table(model)


@pytest.mark.parametrize("flow", FLOWS)
def test_every_flow_has_a_row(flow):
    assert in_table(f"python -m flows.{flow}")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_row(command):
    assert re.search(rf"^\| `foreframe {command}[ `]", README.read_text(), flags=re.MULTILINE)


def test_the_table_of_parameters_is_that_of_params_yaml():
    assert TABLE.search(README.read_text()).group() == params_table(), "run: python -m tests.test_readme"


if __name__ == "__main__":
    README.write_text(TABLE.sub(lambda _: params_table(), README.read_text()))
