"""The model registry in git tags: which commit a version belongs to, and which version is the champion.

The tags are those of GTO 1.x (https://github.com/iterative/gto), whose `gto show` and `gto history` read them:

    generator@v2.0.0        annotates the commit that version 2.0.0 was made from
    generator#champion#3    the same commit again: since the registry's third assignment that version is the champion
    generator#champion!#4   since the fourth assignment no version is (`gto deprecate` or a person writes it)

A tag is never moved; of the assignments the one with the highest number counts.
"""

import re

from flows.git import git, signature
from pipeline.errors import PipelineError

ARTIFACT = "generator"  # the entry of dvc.yaml's `artifacts:`
STAGE = "champion"
VERSION = re.compile(rf"{ARTIFACT}@(v[\d.]+)")
COUNTED = re.compile(rf"{ARTIFACT}[#@].*#(\d+)")
ASSIGNMENT = re.compile(rf"{ARTIFACT}#{STAGE}(!?)#(\d+)")


def register(version: str, revision: str, message: str) -> None:
    """Tag the commit `revision` as the one that `version` was made from; PipelineError where it has a version."""
    if known := _version_at(revision):
        raise PipelineError(f"{revision[:12]}: is {ARTIFACT}@{known} already, so it cannot be {version}")
    _tag(version_tag(version), revision, message)


def assign(version: str, message: str) -> None:
    """Make `version`, which is registered, the champion: a tag with the next number."""
    _tag(f"{ARTIFACT}#{STAGE}#{_next_number()}", f"{version_tag(version)}^{{commit}}", message)


def next_dismissal() -> str:
    """The name of the tag that would say that no version is the champion any more."""
    return f"{ARTIFACT}#{STAGE}!#{_next_number()}"


def assigned() -> str | None:
    """The version that the tags name as the champion; None where they name none."""
    history = _assignments()
    return _version_at(history[-1][0]) if history and not history[-1][1] else None


def dismissed() -> tuple[str, str] | None:
    """The version that was the champion until a tag said that none is any more, and that tag; None without one."""
    history = _assignments()
    if not history or not history[-1][1]:
        return None
    version = next((_version_at(tag) for tag, cancelled in reversed(history) if not cancelled), None)
    return (version, history[-1][0]) if version else None


def _assignments() -> list[tuple[str, bool]]:
    """Tags that say who is the champion, in the order of their numbers, and whether each says that nobody is."""
    found = sorted((int(match[2]), match[0], bool(match[1])) for tag in tags() if (match := ASSIGNMENT.fullmatch(tag)))
    return [(tag, cancelled) for _, tag, cancelled in found]


def before(version: str) -> str | None:
    """The version that was the champion when `version` became it for the first time; None where none was."""
    history = [_version_at(tag) for tag, cancelled in _assignments() if not cancelled]
    if version not in history[1:]:
        return None
    return history[history.index(version) - 1] if history[0] != version else None


def versions() -> list[str]:
    """The registered versions, such as v2.0.0."""
    return _versions_among(tags())


def tags(*options: str) -> list[str]:
    """The registry's tags; `options` are those of `git tag --list`."""
    return git("tag", *options, "--list", f"{ARTIFACT}[@#]*").splitlines()


def delete(tag: str) -> None:
    """Remove a tag."""
    git("tag", "--delete", tag)


def _next_number() -> int:
    return max((int(match[1]) for tag in tags() if (match := COUNTED.fullmatch(tag))), default=0) + 1


def number(version: str) -> int:
    """A version's place in their order."""
    return int(version.removeprefix("v").split(".")[0])


def own_tags(version: str) -> list[str]:
    """The tags that the registry itself gave to a version's commit: its name, and every time it became the champion."""
    return [tag for tag in _at(version) if VERSION.fullmatch(tag) or ASSIGNMENT.fullmatch(tag)]


def foreign_tags(version: str) -> list[str]:
    """Tags on a version's commit that are someone else's: marks of a user, other stages of GTO's."""
    return [tag for tag in _at(version) if tag not in own_tags(version)]


def _at(version: str) -> list[str]:
    return git("tag", "--points-at", f"{version_tag(version)}^{{commit}}").splitlines()


def _version_at(revision: str) -> str | None:
    return next(iter(_versions_among(tags("--points-at", f"{revision}^{{commit}}"))), None)


def _versions_among(names: list[str]) -> list[str]:
    return [match[1] for name in names if (match := VERSION.fullmatch(name))]


def version_tag(version: str) -> str:
    return f"{ARTIFACT}@{version}"


def _tag(name: str, revision: str, message: str) -> None:
    # as GTO makes them: annotated, never signed, the message byte for byte
    options = ["--annotate", "--no-sign", "--cleanup=verbatim", "--file=-"]
    git("tag", *options, name, revision, text=message, **signature())
