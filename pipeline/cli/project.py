"""Commands about a project's folder: check."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Typer

from pipeline.cli.app import Json, Quiet, Voice, command


def register(app: Typer) -> None:
    """Add the commands of this module to `app`."""
    command(
        app,
        "look for files that a disk or a copy has damaged",
        "foreframe check",
        "foreframe check ~/walks --json",
    )(check)


def check(
    folder: Annotated[Path, Argument(metavar="[FOLDER]", help="where dvc.yaml is")] = Path(),
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Read frames, models, training states and what dvc.lock names: one line per damaged file, and exit code 1."""
    from pipeline import integrity

    voice = Voice(json, quiet)
    found: dict[str, str] = {}  # path -> what is wrong with it
    for name, faults in integrity.parts(folder):
        count = len(found)
        for fault in faults():
            path = fault.partition(": ")[0]
            if path not in found:
                voice.line(fault)
            found.setdefault(path, fault)
        if len(found) == count:
            voice.line(f"{name}: sound")
    facts = {"damaged": list(found.values())}
    if found:
        are = "files are" if len(found) > 1 else "file is"
        voice.refuse(f"foreframe check: {len(found)} {are} not as written", facts)
    voice.facts(facts)
