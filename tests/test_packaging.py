"""A wheel holds every file of the package that git knows, not its modules alone."""

import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATTERNS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["pipeline"]


def matches(path: str, pattern: str) -> bool:
    """As setuptools reads package-data: `*` and `?` stay within a directory, `**` stands for any number of them."""
    expressions = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"(\*\*/|\*|\?)", pattern)
    return re.fullmatch("".join(expressions.get(piece, re.escape(piece)) for piece in pieces), path) is not None


def left_out(paths: list[str]) -> list[str]:
    """Those of `paths`, in the directory pipeline, that a wheel would lack."""
    data = [path for path in paths if not path.endswith(".py")]
    return [path for path in data if not any(matches(path, pattern) for pattern in PATTERNS)]


def test_every_file_of_the_package_that_is_no_module_is_package_data():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT / "pipeline",
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    assert "cli/app.py" in listed
    assert left_out(listed) == []


def test_what_no_pattern_matches_would_be_noticed():
    assert left_out(["pages/page.jinja", "pages/style.css", "LICENSE.digits", "stages/digits.csv.gz", "stage.py"]) == []
    assert left_out(["pages/page.html", "notes/README.md", "jinja"]) == ["pages/page.html", "notes/README.md", "jinja"]
