"""The command `foreframe`: what a person types. Torch is imported by the commands that need it, so help is quick."""

import errno
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from pipeline.cli import live, models, project, videos
from pipeline.cli.app import app, say_mistake
from pipeline.errors import PipelineError, told

__all__ = ["COMMANDS", "main"]

SIGNALLED = 128  # added to a signal's number, the exit code that shells know

for commands in (videos, live, models, project):
    commands.register(app)
COMMANDS = [command.callback.__name__ for command in app.registered_commands if command.callback]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command in `arguments`, argv by default, and exit: 0, or 1 and one line for a mistake or a full disk.

    Exits with 2 where the arguments are wrong, with 130 at Ctrl-C, 143 at SIGTERM, 141 where nobody reads the output.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # under nohup it is not
            signal.signal(number, _end)
    try:
        os.getcwd()  # noqa: PTH109 -- torch's libraries die where there is none, and name something else
    except FileNotFoundError:
        sys.exit(say_mistake(arguments, "the folder that this was called in was removed: change to another one"))
    try:
        try:
            app(arguments, prog_name="foreframe")
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # here, because at exit Python would print a traceback
    except SystemExit as ending:
        if isinstance(ending.__context__, BrokenPipeError):  # Typer makes it a mistake, exit code 1
            _nobody_reads()
        raise
    except PipelineError as error:
        sys.exit(say_mistake(arguments, str(error)))
    except BrokenPipeError:
        _nobody_reads()
    except OSError as error:
        if error.filename is None and error.errno == errno.ENOSPC:
            error.filename = "standard output"  # a file would be named
            _forget_output()
        sys.exit(say_mistake(arguments, told(error)))


def _end(number: int, _: object) -> None:
    """A signal's handler: ends the process in order, so that half a file is removed."""
    sys.exit(SIGNALLED + number)


def _nobody_reads() -> NoReturn:
    _forget_output()
    sys.exit(SIGNALLED + signal.SIGPIPE)


def _forget_output() -> None:
    """Drop what standard output still holds: it cannot be written."""
    if sys.stdout is not None:
        with suppress(OSError, ValueError):  # what pytest puts there has no number
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
