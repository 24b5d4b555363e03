"""Runs git commands, and says who signs what they write."""

import os
import subprocess

from pipeline.errors import PipelineError

FALLBACK_IDENTITY = ("foreframe", "foreframe@localhost")  # signs where git knows nobody


def git(*arguments: str, text: str = "", **environment: str) -> str:
    """Run `git ARGUMENTS` with `text` on its standard input and return what it prints, less surrounding blanks.

    `environment` is added to this process's. Raises PipelineError with git's own message where it fails.
    """
    result = subprocess.run(
        ["git", *arguments],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    if result.returncode:
        raise PipelineError(f"git {' '.join(arguments[:2])}: {result.stderr.strip()}")
    return result.stdout.strip()


def signature() -> dict[str, str]:
    """The environment of a command that makes a commit or a tag: git's own author, or ours where git has none.

    So a machine on which nobody has told git who they are can promote as well.
    """
    name, address = FALLBACK_IDENTITY
    if subprocess.run(["git", "var", "GIT_COMMITTER_IDENT"], capture_output=True, check=False).returncode == 0:
        name, _, rest = git("var", "GIT_COMMITTER_IDENT").partition(" <")
        address = rest.partition(">")[0]
    return {
        "GIT_AUTHOR_NAME": name,
        "GIT_AUTHOR_EMAIL": address,
        "GIT_COMMITTER_NAME": name,
        "GIT_COMMITTER_EMAIL": address,
    }
