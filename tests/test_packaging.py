"""A wheel holds every file of the packages that git knows, and what `foreframe init` makes projects of."""

import subprocess
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[1]
PLOTS = (".dvc/plots/by_method.json", ".dvc/plots/page.html")
TEMPLATE = [f"pipeline/project/files/{name}" for name in ("dvc.yaml", "params.yaml", "pyproject.toml", *PLOTS)]


def built(root: Path, folder: Path) -> set[str]:
    """The files in the wheel of the project at `root`."""
    [wheel] = WheelBuilder(str(root)).build(directory=str(folder), versions=["standard"])
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


@pytest.fixture
def known() -> set[str]:
    """What a wheel should hold."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "pipeline", "flows"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    return {path for path in listed if (ROOT / path).is_file()} | set(TEMPLATE)


def test_a_wheel_holds_what_git_knows_and_the_files_of_a_new_project(known, tmp_path):
    assert "pipeline/pages/player.js" in known
    assert built(ROOT, tmp_path) == known


def test_a_wheel_of_the_source_distribution_holds_the_same(known, tmp_path):
    [archive] = SdistBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    subprocess.run(["tar", "-xzf", archive, "-C", tmp_path], check=True)
    [source] = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert built(source, tmp_path / "wheel") == known
