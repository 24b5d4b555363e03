"""Libraries that only some files need: installed with `foreframe[formats]`, and named where they are missing."""

import importlib
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

from pipeline.errors import VideoError

EXTRA = "pip install 'foreframe[formats]'"


class MissingPackage(VideoError):
    """A file needs a package that is not installed: it is read once that is there."""


def imported(package: str) -> ModuleType:
    """The module of `package`; raises MissingPackage with what to do where it is not installed."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise MissingPackage(f"needs the package {package}: {EXTRA}") from error


def installed_versions(*packages: str) -> dict[str, str]:
    """The version of each of `packages`, "" where it is not installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = ""
    return found
