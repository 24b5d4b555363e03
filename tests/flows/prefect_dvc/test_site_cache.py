"""What DVC remembers lies where nobody else can write, unless the user has chosen a place."""

import os
import subprocess
import sys

import pytest

from flows.prefect_dvc import site_cache
from tests.flows.conftest import ROOT


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home without anything, and no folder chosen."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(site_cache.VARIABLE)
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(autouse=True)
def _variable(monkeypatch):
    monkeypatch.setenv(site_cache.VARIABLE, "")  # so that it is as it was afterwards


def test_the_folder_is_the_users_alone_even_if_it_was_not_before(home):
    folder = home / ".cache/foreframe/dvc"
    folder.mkdir(parents=True, mode=0o777)
    folder.chmod(0o777)
    site_cache.use_private()
    assert os.environ[site_cache.VARIABLE] == str(folder)
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("place", [".config/dvc/config", ".dvc/config", ".dvc/config.local"])
def test_a_folder_that_the_user_has_configured_stays(home, place):
    (home / place).parent.mkdir(parents=True)
    (home / place).write_text("[core]\n    site_cache_dir = /mine\n")
    site_cache.use_private()
    assert site_cache.VARIABLE not in os.environ


def test_a_folder_in_the_environment_stays_and_a_home_that_cannot_be_written_to_changes_nothing(home, monkeypatch):
    (home / ".cache").touch()
    site_cache.use_private()
    assert site_cache.VARIABLE not in os.environ
    monkeypatch.setenv(site_cache.VARIABLE, "/mine")
    site_cache.use_private()
    assert os.environ[site_cache.VARIABLE] == "/mine"


def test_what_flows_start_uses_it(home):
    shown = subprocess.run(
        [sys.executable, "-c", "import flows, os; print(os.environ['DVC_SITE_CACHE_DIR'])"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.strip() == str(home / ".cache/foreframe/dvc")
