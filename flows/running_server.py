"""Which Prefect server runs for this workspace: `flows.deploy` notes its own; who has none set uses that one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from flows.sealed import read_sealed, write_sealed

NOTE = "server.json"  # in its home


def home() -> Path:
    """The folder of the workspace's own servers: their database and log; two workspaces never share one."""
    return Path(os.environ.get("PREFECT_HOME", ".prefect")).resolve()


@contextmanager
def noted(address: str) -> Iterator[None]:
    """Tell others that this process keeps a server running at `address`, such as http://127.0.0.1:4200."""
    own = {"api": f"{address}/api", "process": os.getpid(), "begun": psutil.Process().create_time()}
    home().mkdir(parents=True, exist_ok=True)
    write_sealed(home() / NOTE, own)
    try:
        yield
    finally:
        with suppress(OSError, ValueError):
            if read_sealed(home() / NOTE) == own:
                (home() / NOTE).unlink()


def api() -> str | None:
    """The API of the server that runs for this workspace; None where whoever noted one has ended."""
    try:
        note = read_sealed(home() / NOTE)
        process = psutil.Process(int(note["process"]))
        lives = process.is_running() and abs(process.create_time() - float(note["begun"])) < 1
        return str(note["api"]) if lives else None
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None
