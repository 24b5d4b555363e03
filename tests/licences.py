"""The licence of every dependency: `python -m tests.licences` writes the table of docs/licences.md anew.

What is told is what each installed package says of itself (importlib.metadata), so it runs where all of constraints.txt
is installed: `uv pip install -c constraints.txt -e '.[test]'` on Linux x86-64.
"""

import re
import sys
from importlib.metadata import PackageNotFoundError, distribution, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
CONSTRAINTS, LICENCES = ROOT / "constraints.txt", ROOT / "docs/licences.md"
TABLE = re.compile(r"(?<=<!-- licences -->\n).*?(?=<!-- /licences -->)", flags=re.DOTALL)
ROW = re.compile(r"^\| (\S+) \| (\S+) \| (.+) \| (\w+) \|$", flags=re.MULTILINE)
GROUPS = {  # an installation, and the extras of pyproject.toml it has
    "run": (),
    "s3": ("s3",),
    "plots": ("plots",),
    "formats": ("formats",),
    "onnx": ("onnx",),
    "test": ("s3", "test"),
    "pretrain": ("pretrain",),
}
# where the metadata is silent: read in the package's files
UNSTATED = {"cuda-toolkit": "none: it holds no files, it requires NVIDIA's packages"}
NOT_HERE = {"async-timeout": "Apache-2.0"}  # only Python before 3.11.3 needs it
SPDX = {
    "Apache": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD 2-Clause License": "BSD-2-Clause",
    "BSD 3-Clause License": "BSD-3-Clause",
    "BSD License": "BSD",
    "ISC License": "ISC",
    "MIT License": "MIT",
    "MIT license": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "New BSD": "BSD-3-Clause",
    "Python Software Foundation License": "PSF-2.0",
}


def pins() -> dict[str, str]:
    """Version by normalised name, of constraints.txt."""
    found = (line.split("==") for line in CONSTRAINTS.read_text().split())
    return {canonicalize_name(name): version for name, version in found}


def needed(extras: tuple[str, ...]) -> set[str]:
    """All that an installation of this project with these extras brings on this machine, by normalised name."""
    found: set[str] = set()
    pending = [("foreframe", extra) for extra in ("", *extras)]
    seen = set(pending)
    while pending:
        name, extra = pending.pop()
        try:
            lines = requires(name) or []
        except PackageNotFoundError:
            continue
        for requirement in map(Requirement, lines):
            if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
                continue
            wanted = canonicalize_name(requirement.name)
            found.add(wanted)
            new = {(wanted, one) for one in ("", *requirement.extras)} - seen
            seen |= new
            pending += new
    return found


def licence(name: str) -> str:
    """What the metadata of an installed package say: its expression, else its field, else its classifiers."""
    metadata = distribution(name).metadata
    stated = metadata.get("License-Expression") or (metadata.get("License") or "").strip()
    if not stated or "\n" in stated or stated == "Dual License":
        classifiers = metadata.get_all("Classifier") or []
        classes = [one.split(" :: ")[-1] for one in classifiers if one.startswith("License ::")]
        stated = ", ".join(SPDX.get(one, one) for one in classes) or UNSTATED.get(name, "")
    if not stated:
        raise SystemExit(f"{name}: its metadata state no licence: look at its files, and add it to UNSTATED")
    return SPDX.get(stated, stated).replace("|", "or")


def rows() -> list[tuple[str, str, str, str]]:
    """Name, version, licence and the smallest installation that brings it, of every pinned package."""
    groups = {name: group for group in reversed(GROUPS) for name in needed(GROUPS[group])}
    found = []
    for name, version in pins().items():
        if name in NOT_HERE:
            found.append((name, version, NOT_HERE[name], "run"))
            continue
        try:
            installed = distribution(name).version
        except PackageNotFoundError:
            installed = "not installed"
        if installed != version:
            raise SystemExit(f"{name}: {installed}, but constraints.txt pins {version}: install what it pins first")
        found.append((name, version, licence(name), groups[name]))
    return sorted(found, key=lambda row: (list(GROUPS).index(row[3]), row[0]))


def table() -> str:
    """The rows as Markdown."""
    head = "| package | version | licence, in its own words | comes with |\n| --- | --- | --- | --- |\n"
    return head + "".join(f"| {' | '.join(row)} |\n" for row in rows())


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit("usage: python -m tests.licences")
    LICENCES.write_text(TABLE.sub(lambda _: table(), LICENCES.read_text()))
