"""A workspace of a test's own: this checkout as it stands, in a new git and DVC repository, with small parameters."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def make_workspace(path: Path) -> dict[str, str]:
    """Copy what git would commit into the new folder `path`, commit it there, make its parameters small.

    The result is the environment for commands in it: this Python first on PATH, and DVC's and Prefect's state under
    `path`'s parent rather than in the home of whoever runs the tests.
    """
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    for name in filter(None, listing.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, path / name)
    state = path.parent / f"{path.name}-state"
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DVC_SITE_CACHE_DIR": str(state / "dvc"),
        "PREFECT_HOME": str(state / "prefect"),
        "DO_NOT_TRACK": "1",
        "GIT_AUTHOR_NAME": "test",
        "GIT_AUTHOR_EMAIL": "test@localhost",
        "GIT_COMMITTER_NAME": "test",
        "GIT_COMMITTER_EMAIL": "test@localhost",
    }
    for command in (
        [sys.executable, "-m", "tests.small_params", "."],
        ["git", "init", "-q", "-b", "main"],
        ["git", "add", "-A"],
        ["git", "commit", "-qm", "workspace"],
    ):
        subprocess.run(command, cwd=path, env=environment, check=True)
    return environment
