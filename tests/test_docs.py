"""README.md and docs/ name all that there is, and what they tell people to type or open is there.

`python -m tests.test_docs` writes the table of parameters in docs/parameters.md anew from params.yaml.
"""

import argparse
import importlib.util
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import prefect.settings
import pytest
from dvc.cli import DvcParserError
from dvc.cli.parser import get_main_parser
from PIL import Image
from ruamel.yaml import YAML
from torch.distributed.run import get_args_parser as torchrun_parser

from pipeline import cli
from pipeline.errors import ParamsError
from pipeline.model_dir import load_card
from pipeline.models import MODELS
from pipeline.params import Recipe, parse_params

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
FILES = {".csv", ".json", ".py", ".safetensors", ".yaml"}
PLACEHOLDER = re.compile(r"[A-Z][A-Z|]*")  # IN, OUT, N, NAME: what stands for a reader's own


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


# every stage, model, flow, command and degradation has a row


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


# what people type


def code_blocks(text: str, language: str) -> list[str]:
    return [block for _, name, block in FENCE.findall(text) if name == language]


def commands_in(text: str) -> Iterator[str]:
    """The command lines of the ```sh blocks and of inline code in a Markdown text."""
    for block in code_blocks(text, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip():
                yield line.strip()
    for code in inline_code(text):
        if re.match(r"(foreframe|dvc|python|pytest|torchrun|prefect|git|pip|uv) \S", code):
            yield code


def inline_code(text: str) -> list[str]:
    return [" ".join(code.replace("\\|", "|").split()) for code in re.findall(r"`([^`]+)`", FENCE.sub("", text))]


def simple_commands(line: str) -> list[list[str]]:
    """A line of shell as the words of each command; comments and quotes are gone."""
    words = shlex.split(line, comments=True)
    commands: list[list[str]] = [[]]
    for word in words:
        if word == "&&":
            commands.append([])
        else:
            commands[-1].append(word)
    return commands


ALL_COMMANDS = sorted({command for path in DOCS for command in commands_in(path.read_text())})


@pytest.mark.parametrize("line", ALL_COMMANDS)
def test_a_command_of_the_docs_is_one_that_its_program_takes(line):
    for words in simple_commands(line):
        while re.fullmatch(r"[A-Z_]+=.+", words[0]):
            check_variable(words.pop(0).split("=")[0])
        program, *arguments = words
        assert program in CHECKS, f"no check for {program}"
        CHECKS[program](arguments)


@pytest.mark.parametrize(
    "line",
    [
        "foreframe predict a.mp4 b.mp4 --fraems 3",
        "foreframe foretell a.mp4",
        "dvc exp run -S train.sed=1",
        "dvc exp run -S train.seed=one",
        "dvc reproduce",
        "dvc repro nothing",
        "python -m flows.nothing",
        "python -m flows.compare --hours 3",
        "python -m flows.retrain -S model.name=gpt",
        "python -m tests.benchmarks.footage --set train.seed=x",
        "python -m pipeline.stages.train data/frames",
        "python -m tests.small_params now",
        "torchrun --nproc_per_node 2 -m pipeline.stages.train data/frames",
        "pytest tests/test_nothing.py",
        "pip install -e .[nothing]",
        "NO_SUCH_NAME=1 pytest",
        "PREFECT_NO_SUCH_NAME=1 pytest",
        "prefect work-pool create --sort process foreframe",
        "make all",
    ],
)
def test_a_wrong_command_is_found(line):
    with pytest.raises((AssertionError, SystemExit, KeyError, ParamsError, DvcParserError)):
        test_a_command_of_the_docs_is_one_that_its_program_takes(line)


def check_variable(name: str) -> None:
    """An environment variable is one that the code, a test or Prefect reads."""
    if name.startswith("PREFECT_"):
        assert hasattr(prefect.settings, name), name
        return
    sources = [path for folder in ("pipeline", "flows", "tests") for path in (ROOT / folder).rglob("*.py")]
    assert any(f'"{name}"' in path.read_text() for path in sources if path != Path(__file__)), name


def check_python(arguments: list[str]) -> None:
    """`python -m MODULE …`: the module exists, and its parser takes the arguments."""
    if "-m" not in arguments:
        assert arguments == ["-c"], arguments
        return
    module, *rest = arguments[arguments.index("-m") + 1 :]
    assert importlib.util.find_spec(module) is not None, module
    if module == "venv":
        return
    source = Path(importlib.util.find_spec(module).origin).read_text()
    if not re.search(r"ArgumentParser\(|stage\.run\(", source):
        assert rest == [], f"{module} takes no arguments"
        return
    parsed = parsed_by(module, [fill(word) for word in rest])
    overrides = [*(getattr(parsed, "overrides", None) or []), *(getattr(parsed, "set", None) or [])]
    check_overrides(overrides)


def fill(word: str) -> str:
    """A placeholder of the docs as something that any parser takes."""
    return "1" if PLACEHOLDER.fullmatch(word) else word


class Parsed(BaseException):
    """Ends a module's main once its arguments are parsed; no Exception, so that nobody catches it."""


def parsed_by(module: str, arguments: list[str]) -> argparse.Namespace:
    """What the parser of `python -m module` makes of the arguments; nothing is run beyond parsing."""
    result: list[argparse.Namespace] = []
    parse = argparse.ArgumentParser.parse_args

    def stop(self: argparse.ArgumentParser, args: Any = None, namespace: Any = None) -> argparse.Namespace:
        result.append(parse(self, args, namespace))
        raise Parsed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", stop)
        patch.setattr(sys, "argv", [module, *arguments])
        patch.delitem(sys.modules, module, raising=False)
        with pytest.raises(Parsed):
            runpy.run_module(module, run_name="__main__", alter_sys=False)
    return result[0]


def check_overrides(overrides: list[str]) -> None:
    """`-S key=value`: keys of params.yaml, with values that it takes."""
    params = json.loads(json.dumps(SHIPPED))
    for override in overrides:
        key, value = override.split("=", 1)
        *sections, last = key.split(".")
        section = params
        for name in sections:
            section = section[name]
        assert last in section, f"{key} is no parameter"
        section[last] = YAML(typ="safe").load(value)
    parse_params(params, Path("params.yaml"))


@cache
def help_of(*command: str) -> str:
    """What `python -m …` prints as its help; wide, so that no option is broken over two lines."""
    ran = subprocess.run(
        [sys.executable, "-m", *command, "--help"], capture_output=True, text=True, check=True, cwd=ROOT,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
    )  # fmt: skip
    return ran.stdout


def check_options(help_text: str, arguments: list[str]) -> None:
    for word in arguments:
        if word.startswith("-"):
            assert re.search(rf"{re.escape(word.split('=')[0])}\b", help_text), f"{word} is no option"


def check_foreframe(arguments: list[str]) -> None:
    command, *rest = arguments
    if command == "--help":
        return
    assert command in COMMANDS, command
    check_options(help_of("pipeline.cli", command), rest)


def check_dvc(arguments: list[str]) -> None:
    parsed = get_main_parser().parse_args(arguments)
    check_overrides(getattr(parsed, "set_param", None) or [])
    for target in getattr(parsed, "targets", None) or []:
        known = [*STAGES, *(out for stage in STAGES for out in outs(stage))]
        assert target in known, f"{target} is no stage and no output"


def check_prefect(arguments: list[str]) -> None:
    words = [word for word in arguments if word == arguments[0] or word in ("create", "start")]
    check_options(help_of("prefect", *words), arguments)


def check_torchrun(arguments: list[str]) -> None:
    parsed = torchrun_parser().parse_args(arguments)
    assert parsed.module
    check_python(["-m", parsed.training_script, *parsed.training_script_args])


def check_pytest(arguments: list[str]) -> None:
    marks = [mark.split(":")[0] for mark in pyproject()["tool"]["pytest"]["ini_options"]["markers"]]
    for before, word in pairwise(["", *arguments]):
        if before == "-m":
            assert word in marks, word
        elif not word.startswith("-"):
            assert (ROOT / word).exists(), word


def check_install(arguments: list[str]) -> None:
    """`pip install -c constraints.txt -e '.[EXTRA]'`: the file and the extra exist."""
    assert arguments[0] == "install", arguments
    for before, word in pairwise(arguments):
        if before == "-c":
            assert (ROOT / word).is_file(), word
        elif before == "-e":
            assert word == "." or word[2:-1] in pyproject()["project"]["optional-dependencies"], word


def check_uv(arguments: list[str]) -> None:
    if arguments != ["venv"]:
        assert arguments[0] == "pip", arguments
        check_install(arguments[1:])


def check_git(arguments: list[str]) -> None:
    assert arguments == ["checkout", "params.yaml"], arguments


@cache
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def is_in_ci(*arguments: str) -> Any:
    """A check for a tool that .ci/run calls, with whatever options."""
    return lambda given: None if re.search(rf"^\s*{arguments[0]}\b", CI, flags=re.MULTILINE) else pytest.fail(arguments)


CI = (ROOT / ".ci/run").read_text()
CHECKS = {
    "foreframe": check_foreframe,
    "dvc": check_dvc,
    "python": check_python,
    "python3": check_python,
    "pytest": check_pytest,
    "pip": check_install,
    "uv": check_uv,
    "torchrun": check_torchrun,
    "prefect": check_prefect,
    "git": check_git,
    ".": lambda words: None,  # .venv/bin/activate
    "ruff": is_in_ci("ruff"),
    "mypy": is_in_ci("mypy"),
    "lint-imports": is_in_ci("lint-imports"),
}


def test_the_python_of_the_readme_continues_clips(tiny, tmp_path, monkeypatch):
    (block,) = code_blocks(README.read_text(), "python")
    (tmp_path / "data").mkdir()
    for name in ("frames", "clips", "model"):
        (tmp_path / "data" / name).symlink_to(getattr(tiny, name))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(block, names)
    _, height, width = load_card(tiny.model).frame_shape
    assert names["future"].shape == (1, 30, height, width, 1)
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
    written = [out for stage in STAGES for out in outs(stage)]
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
        assert pins.get(name, version) == version, f"{name} is pinned to {pins.get(name)} in constraints.txt"


if __name__ == "__main__":
    PARAMETERS.write_text(TABLE.sub(lambda _: params_table(), PARAMETERS.read_text()))
