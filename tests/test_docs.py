"""README.md and docs/ name all that there is, and what they name and link to is there.

`python -m tests.test_docs` writes the table of parameters in docs/parameters.md anew from params.yaml.
"""

import re
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from ruamel.yaml import YAML

from pipeline import cli
from pipeline.model_params import Recipe
from pipeline.models import MODELS

ROOT = Path(__file__).parents[1]
README, PARAMETERS = ROOT / "README.md", ROOT / "docs/parameters.md"
DOCS = [README, *sorted((ROOT / "docs").glob("*.md")), ROOT / ".github/CONTRIBUTING.md"]
SHIPPED = YAML(typ="safe").load(ROOT / "params.yaml")
STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
# those that people start; the others of flows/ are what these are made of
FLOWS = sorted(path.stem for path in (ROOT / "flows").glob("*.py") if 'prog="python -m flows.' in path.read_text())
COMMANDS = list(
    getattr(cli, "COMMANDS", ()) or next(action for action in cli.parser()._actions if action.dest == "command").choices
)
TABLE = re.compile(r"(?<=<!-- params -->\n).*?(?=<!-- /params -->)", flags=re.DOTALL)
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", flags=re.DOTALL | re.MULTILINE)
FILES = {".csv", ".json", ".py", ".safetensors", ".yaml"}  # suffixes: model.json is a file, model.name a parameter


# the table of parameters


def params_rows() -> list[tuple[str, str, str]]:
    """One row per key of params.yaml: key, shipped value, comment. The recipes share one row per key.

    A key's comment is on its line; that of a recipe's key is in the block of comments above `model:`.
    """
    text = (ROOT / "params.yaml").read_text()
    of_recipes = dict(re.findall(r"^#   (\w+) +(.*)$", text, flags=re.MULTILINE))
    rows: dict[str, tuple[str, str, str]] = {}
    path: list[str] = []
    for line in text.splitlines():
        match = re.match(r"( *)(\w+):(?: +([^#]*[^# ]))?(?: +# (.*))?$", line)
        if match is None:
            continue
        indent, key, value, comment = match.groups()
        path = [*path[: len(indent) // 2], key]
        if value is None:
            continue
        if path[0] == "model" and "recipe" in path:
            name = f"model.*.{'.'.join(path[2:])}"
            rows.setdefault(name, (name, "one per model", of_recipes.get(key, "")))
        else:
            name = ".".join(path)
            rows[name] = (name, f"`{value}`", comment or "")
    return list(rows.values())


def params_table() -> str:
    rows = [f"| `{key}` | {shown} | {comment.replace('|', chr(92) + '|')} |" for key, shown, comment in params_rows()]
    return "\n".join(["| key | as shipped | what it is |", "| --- | --- | --- |", *rows, ""])


def test_the_table_of_parameters_is_that_of_params_yaml():
    assert TABLE.search(PARAMETERS.read_text()).group() == params_table(), "run: python -m tests.test_docs"


def test_recipes_are_commented_once_above_the_models():
    text = (ROOT / "params.yaml").read_text()
    assert re.findall(r"^#   (\w+) ", text, flags=re.MULTILINE) == list(Recipe.model_fields)
    in_recipes = re.findall(r"^      \w+:.*#", text.split("\nmodel:\n")[1].split("\ntrain:\n")[0], flags=re.MULTILINE)
    assert in_recipes == []


# every stage, model, flow, command and folder has a row


BY_FLOWS = ("data/metrics/previous.json",)  # in data/, and written by no stage


@cache
def all_docs() -> str:
    return "\n".join(path.read_text() for path in DOCS)


def in_table(name: str) -> bool:
    """Whether a table row of README.md or docs/ begins with `name` in backquotes."""
    return re.search(rf"^\| `{re.escape(name)}` \|", all_docs(), flags=re.MULTILINE) is not None


@pytest.mark.parametrize("name", [*STAGES, *MODELS, *(f"python -m flows.{flow}" for flow in FLOWS)])
def test_every_stage_model_and_flow_has_a_row(name):
    assert in_table(name)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_row(command):
    assert re.search(rf"^\| `foreframe {command}[ `]", all_docs(), flags=re.MULTILINE)


@pytest.mark.parametrize("folder", [path.parent.name for path in sorted((ROOT / "pipeline").glob("*/__init__.py"))])
def test_every_folder_of_the_pipeline_has_a_row(folder):
    assert in_table(f"{folder}/")


def test_the_diagram_has_every_stage_in_an_order_that_dvc_yaml_allows():
    drawn = re.findall(r"^    (\w+)\S*(?:\[.*?\])? -->\|(\S+)\| (\w+)", README.read_text(), flags=re.MULTILINE)
    chain = [drawn[0][0], *(target for _, _, target in drawn)]
    assert sorted(chain) == sorted(STAGES)
    assert all(former[2] == latter[0] for former, latter in pairwise(drawn))
    written = {stage: outs(stage) for stage in STAGES}
    for number, stage in enumerate(chain):
        read = [dep.replace("${data.videos}", SHIPPED["data"]["videos"]) for dep in STAGES[stage]["deps"]]
        makers = {maker for maker in STAGES for path in read if path in shipped_folders(maker, written)}
        assert makers <= set(chain[:number]), stage
    for source, label, _ in drawn:
        assert label in shipped_folders(source, written), f"{source} does not write {label}"


def outs(stage: str) -> list[str]:
    """The paths that a stage writes."""
    spec = STAGES[stage]
    entries = [entry for key in ("outs", "metrics", "plots") for entry in spec.get(key, [])]
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


def shipped_folders(stage: str, written: dict[str, list[str]]) -> set[str]:
    """What a stage writes, and the folders of single files among that."""
    return {path for out in written[stage] for path in (out, str(Path(out).parent)) if path != "data"}


def code_blocks(text: str, language: str) -> list[str]:
    return [block for _, name, block in FENCE.findall(text) if name == language]


def inline_code(text: str) -> list[str]:
    return [" ".join(code.replace("\\|", "|").split()) for code in re.findall(r"`([^`]+)`", FENCE.sub("", text))]


@pytest.mark.parametrize("path", [README, ROOT / "docs/python.md"], ids=lambda path: path.name)
def test_the_python_of_the_docs_continues_a_video(path, tiny, bar_video, tmp_path, monkeypatch):
    (block,) = code_blocks(path.read_text(), "python")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/model").symlink_to(tiny.model)
    (tmp_path / "walk.mp4").symlink_to(bar_video)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(block, names)
    assert names["future"].shape == (30, 8, 8, 3)
    assert names["future"].dtype == "uint8"


# what people open


def test_the_first_screen_of_the_readme_moves():
    head = README.read_text().splitlines()[:10]
    (picture,) = re.findall(r"!\[.+?\]\((\S+)\)", "\n".join(head))
    assert Image.open(ROOT / picture).n_frames > 1


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_relative_links_lead_to_files_and_headings(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        file, _, heading = target.partition("#")
        aim = (path.parent / file).resolve() if file else path
        assert aim.exists(), target
        assert not heading or heading in anchors(aim), target


def anchors(path: Path) -> set[str]:
    """The names by which links reach the headings of a Markdown file, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_paths_and_parameters_that_are_named_exist(path):
    written = [*BY_FLOWS, *(out for stage in STAGES for out in outs(stage))]
    for code in inline_code(path.read_text()):
        if re.fullmatch(r"(pipeline|tests|flows|docs|findings|\.ci|\.github)/[\w./-]*", code) and "NAME" not in code:
            assert (ROOT / code).exists(), code
        elif re.fullmatch(r"data/[\w./-]+", code):
            name = code.rstrip("/")
            known = any(out == name or f"{out}/" in f"{name}/" or f"{name}/" in f"{out}/" for out in written)
            assert known, f"{code} is written by no stage"
        elif re.fullmatch(r"\w+(\.\w+)+", code) and code.split(".")[0] in SHIPPED and Path(code).suffix not in FILES:
            section = SHIPPED
            for key in code.split("."):
                assert key in section, f"{code} is no parameter"
                section = section[key]


# findings


@pytest.mark.parametrize("path", sorted((ROOT / "findings").glob("*")), ids=lambda path: path.stem)
def test_a_finding_is_a_script_that_pins_what_it_installs(path):
    text = path.read_text()
    assert path.suffix == ".sh"
    assert path.stat().st_mode & 0o111, "is not executable"
    assert "\nset -euo pipefail\n" in text
    assert "mktemp -d" in text
    pins = dict(pin.split("==") for pin in (ROOT / "constraints.txt").read_text().split())
    installed = re.findall(r"install -qq (.+)$", text, flags=re.MULTILINE)
    assert installed
    for name, version in (package.split("==") for line in installed for package in line.split()):
        told = re.search(rf"{name}-([\d.]+\d)", path.stem)  # of an older version, which the name of the finding says
        same = version.startswith(told[1]) if told else pins.get(name, version) == version
        assert same, f"{name} is pinned to {pins.get(name)} in constraints.txt"


if __name__ == "__main__":
    PARAMETERS.write_text(TABLE.sub(lambda _: params_table(), PARAMETERS.read_text()))
