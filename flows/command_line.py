"""What the commands `python -m flows.…` share: a --help that ends with examples, as those of `foreframe` do."""

import argparse
import shutil
import textwrap

EXIT_CODES = "exit codes: 0 done; 1 a clear no, in one line on standard error; 2 wrong usage; 130 Ctrl-C"


def parser(module: str, description: str | None, *examples: str) -> argparse.ArgumentParser:
    """The parser of `python -m module`; `examples` are what may follow that, one line each."""
    program = f"python -m {module}"
    width = min(100, shutil.get_terminal_size().columns - 2)
    return argparse.ArgumentParser(
        prog=program,
        description=textwrap.fill(" ".join((description or "").split()), width),
        epilog="\n".join(["examples:", *(f"  {program} {example}".rstrip() for example in examples), "", EXIT_CODES]),
        formatter_class=argparse.RawDescriptionHelpFormatter,  # examples are not wrapped
    )


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Add -S KEY=VALUE, as of `dvc exp run`: `overrides` of what is parsed."""
    parser.add_argument(
        "-S",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="write this into params.yaml first, such as train.max_minutes=5; may be given several times",
    )
