"""What README.md and docs/ tell people to type is taken by the program that it is typed for.

Commands are parsed by the real parsers (or looked up in the real help), not run: a test that ran them all would take
hours. What they do is for the tests of each.
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
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import prefect.settings
import pytest
from dvc.cli import DvcParserError
from dvc.cli.parser import get_main_parser
from ruamel.yaml import YAML
from torch.distributed.run import get_args_parser as torchrun_parser

from pipeline.errors import ParamsError
from pipeline.params import parse_params
from tests.test_docs import COMMANDS, DOCS, ROOT, SHIPPED, STAGES, code_blocks, inline_code, outs

pytestmark = pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")  # parsed_by runs it once more

VALUES = ("--python-version", "-o")  # options of `uv pip compile` whose values are no files to read
PLACEHOLDER = re.compile(r"[A-Z][A-Z|]*")  # IN, OUT, N, NAME: what stands for a reader's own


def commands_in(text: str) -> Iterator[str]:
    """The command lines of the ```sh blocks and of inline code in a Markdown text."""
    for block in code_blocks(text, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip():
                yield line.strip()
    for code in inline_code(text):
        if re.match(r"(foreframe|dvc|python|pytest|torchrun|prefect|git|pip|uv) \S", code):
            yield code


def simple_commands(line: str) -> list[list[str]]:
    """A line of shell as the words of each command; comments and quotes are gone."""
    words = shlex.split(line, comments=True)
    commands: list[list[str]] = [[]]
    for word in words:
        if word in ("&&", "|"):
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
        "python -m tests.small_params",
        "python -m tests.test_docs now",
        "torchrun --nproc_per_node 2 -m pipeline.stages.train data/frames",
        "pytest tests/test_nothing.py",
        "pip install -e .[nothing]",
        "uv pip compile nothing.toml",
        "uvx pip-audit -r nothing.txt",
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
    if Path(importlib.util.find_spec(module).origin).name == "__init__.py":
        module = f"{module}.__main__"
    if module == "flows.experiments":
        check_dvc(["exp", "show", *rest])
        return
    source = Path(importlib.util.find_spec(module).origin).read_text()
    if not re.search(r"ArgumentParser\(|stage\.run\(|command_line\.parser\(|news\.at_the_prompt\(", source):
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


def at_parsing(module: str, arguments: list[str], do: Callable[..., Any]) -> Any:
    """What `do(parser, args, namespace)` returns in place of parse_args in `python -m module`; nothing else is run."""
    result: list[Any] = []

    def stop(self: argparse.ArgumentParser, args: Any = None, namespace: Any = None) -> argparse.Namespace:
        result.append(do(self, args, namespace))
        raise Parsed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", stop)
        patch.setattr(sys, "argv", [module, *arguments])
        with pytest.raises(Parsed):
            runpy.run_module(module, run_name="__main__", alter_sys=False)
    return result[0]


def parsed_by(module: str, arguments: list[str]) -> argparse.Namespace:
    """What the parser of `python -m module` makes of the arguments."""
    return at_parsing(module, arguments, argparse.ArgumentParser.parse_args)


def is_flow(path: Path) -> bool:
    """Whether a person runs this module of flows by `python -m`; flows.deploy alone starts the two named here."""
    by_deploy = path.stem in ("warm", "warm_client")
    return path.name == "__main__.py" or ('__name__ == "__main__"' in path.read_text() and not by_deploy)


FLOWS = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in (ROOT / "flows").rglob("*.py") if is_flow(path)
)


@pytest.mark.parametrize("module", FLOWS)
def test_the_help_of_every_flow_has_examples_that_its_parser_takes(module):
    parser = at_parsing(module, ["--help"], lambda parser, *_: parser)
    assert parser.description
    examples = re.findall(rf"^  ({re.escape(parser.prog)}\b.*)$", parser.epilog or "", flags=re.MULTILINE)
    assert examples
    for example in examples:
        check_python(shlex.split(example)[1:])
    assert "exit codes: 0 done; 1 a clear no" in parser.epilog
    assert all(action.help for action in parser._actions)


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
    if command.startswith("--"):
        check_options(help_of("pipeline.cli"), arguments)
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
    """`pip install -c constraints.txt -e '.[EXTRA]'`: the file and the extra exist; `pip download NAME==VERSION`."""
    if arguments[0] == "download":
        assert "==" in arguments[-1], arguments
        return
    assert arguments[0] == "install", arguments
    for before, word in pairwise(arguments):
        if before == "-c":
            assert (ROOT / word).is_file(), word
        elif before == "-e":
            assert word == "." or word[2:-1] in pyproject()["project"]["optional-dependencies"], word


def check_uv(arguments: list[str]) -> None:
    if arguments == ["venv"]:
        return
    assert arguments[0] == "pip", arguments
    if arguments[1] == "compile":
        check_pins(arguments[2:])
    else:
        check_install(arguments[1:])


def check_pins(arguments: list[str]) -> None:
    """`uv pip compile pyproject.toml -c constraints.txt`, `pip-audit -r constraints.txt`: the files exist."""
    files = [word for before, word in pairwise(["", *arguments]) if "." in word and before not in VALUES]
    assert files, arguments
    assert all((ROOT / word).is_file() for word in files), files


def check_uvx(arguments: list[str]) -> None:
    assert arguments[0] == "pip-audit", arguments
    check_pins(arguments[1:])


def check_git(arguments: list[str]) -> None:
    known = (
        ["checkout", "params.yaml"],
        ["checkout", "."],
        ["status"],
        ["checkout", "generator@v3.0.0"],
        ["checkout", "dvc.lock"],
        ["clean", "-fdx"],
        ["tag", "generator#champion!#3"],
        ["show", "HEAD:data/metrics/metrics.json", ">", "data/metrics/previous.json"],
    )
    assert arguments in known or (arguments[0], arguments[-1]) == ("tag", "generator@v3.0.0^{}"), arguments


def check_rm(arguments: list[str]) -> None:
    options, paths = ([word for word in arguments if word.startswith("-") is dash] for dash in (True, False))
    assert set(options) <= {"-f", "-r"}, arguments
    assert all(word == "data/model" or word.startswith(".dvc/cache/files/md5/") for word in paths), arguments


@cache
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def check_ci_runs(tool: str) -> Callable[[list[str]], None]:
    """A check for a tool with whatever options: .ci/run calls it too."""

    def check(_: list[str]) -> None:
        assert re.search(rf"^{tool}\b", (ROOT / ".ci/run").read_text(), flags=re.MULTILINE), tool

    return check


CHECKS = {
    "foreframe": check_foreframe,
    "dvc": check_dvc,
    "python": check_python,
    "python3": check_python,
    "pytest": check_pytest,
    "pip": check_install,
    "uv": check_uv,
    "uvx": check_uvx,
    "torchrun": check_torchrun,
    "prefect": check_prefect,
    "git": check_git,
    "rm": check_rm,
    ".": lambda words: None,  # .venv/bin/activate
    "ffmpeg": lambda words: None,  # no part of this project's environment
    "ffplay": lambda words: None,
    "npm": lambda words: None,
    "tar": lambda words: None,
    "ruff": check_ci_runs("ruff"),
    "mypy": check_ci_runs("mypy"),
    "lint-imports": check_ci_runs("lint-imports"),
}
