"""What all commands of `foreframe` share: the application, its options, and how a command says what it did."""

import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

from typer import Exit, Option, Typer, echo

# \b: the lines that follow are not wrapped
EXAMPLES = """\b
examples:
  foreframe init walks --videos ~/films/walks
  foreframe predict walk.mp4 longer.mp4 --frames 30
  foreframe predict walk.avi longer.mp4 --frames 300 --model models/champion
  foreframe translate noisy.mp4 clean.mp4 --model models/denoiser
  foreframe info walk.mp4
  foreframe info data/metrics
  foreframe status
  foreframe doctor
  foreframe --install-completion

\b
exit codes: 0 done; 1 a clear no, in one line on standard error; 2 wrong usage; 130 Ctrl-C
"""

Model = Annotated[
    Path | None,
    Option(metavar="PATH", help="a model directory (default: the champion, else data/model)", show_default=False),
]
Json = Annotated[bool, Option("--json", help="say what was done as one JSON object on standard output")]
Quiet = Annotated[bool, Option("--quiet", "-q", help="say nothing but mistakes, and show no progress")]

app = Typer(
    help="Recurrent networks for videos: `dvc repro` trains one, these commands use it.",
    epilog=EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,  # plain text, which is quick, and whole in a log or a narrow terminal
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        echo(f"foreframe {version('foreframe')}")
        raise Exit


@app.callback()
def options(
    version: Annotated[
        bool, Option("--version", callback=_version, is_eager=True, help="say which foreframe this is, and end")
    ] = False,
) -> None:
    """Recurrent networks for videos: `dvc repro` trains one, these commands use it."""


def command(app: Typer, help: str, *examples: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers a function of the same name as a command, with one line of help in the list and examples below."""
    return app.command(short_help=help, epilog="\n".join(["\b", "examples:", *(f"  {line}" for line in examples)]))


@dataclass(frozen=True)
class Voice:
    """How a command says what it did: as lines for a person, as JSON for a program, or not at all."""

    json: bool = False
    quiet: bool = False

    def __post_init__(self) -> None:
        if self.quiet:  # progress bars too: they are shown where warnings are (pipeline/inference/output.py)
            logging.getLogger().setLevel(logging.ERROR)

    def line(self, text: str) -> None:
        """A line for a person."""
        if not (self.json or self.quiet):
            echo(text)

    def facts(self, facts: Mapping[str, Any]) -> None:
        """The same for a program: one JSON object, once per command."""
        if self.json:
            echo(json.dumps(facts, default=str))

    def refuse(self, text: str, facts: Mapping[str, Any]) -> NoReturn:
        """A clear no that has facts to it: exit code 1, the text on standard error."""
        self.facts({"error": text, **facts})
        sys.exit(text)


def say_mistake(arguments: Sequence[str], text: str) -> str:
    """The line on standard error for a mistake; with --json it is a JSON object on standard output as well."""
    if "--json" in arguments:
        echo(json.dumps({"error": text}))
    return f"foreframe {arguments[0] if arguments else ''}: {text}"
