"""The registry's tags are GTO's: byte for byte those that it writes, and it reads ours."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows import version_tags
from flows.git import git
from pipeline.errors import PipelineError
from tests.flows.conftest import git_and_dvc

MESSAGE = "Promote a model\n\nmse is lower\n# not a comment\n\n- train: changed\n"
# of GTO, which our environment has because DVC depends on it; in a process of its own, because it sets up logging anew
WRITTEN_BY_GTO = f"""
import gto.api
signer = dict(author="Ann", author_email="ann@localhost", force=True)
gto.api.register(".", "generator", "HEAD", version="v1.0.0", message={MESSAGE!r}, **signer)
gto.api.assign(".", "generator", "champion", version="v1.0.0", message={MESSAGE!r}, **signer)
gto.api.assign(".", "generator", "champion", version="v1.0.0", message="again", **signer)
"""


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A git repository with one commit, by Ann; the current directory."""
    folder = git_and_dvc(tmp_path, monkeypatch)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Ann")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "ann@localhost")
    commit("one")
    return folder


def commit(content: str) -> str:
    Path("file").write_text(content)
    git("add", "file")
    git("commit", "-qm", content)
    return git("rev-parse", "HEAD")


def gto(*arguments: str) -> str:
    return subprocess.run(["gto", *arguments], check=True, capture_output=True, text=True).stdout


def tag_objects() -> dict[str, str]:
    """Every tag as git stores it, less its time."""
    return {
        tag: "\n".join(line.partition("> ")[0] if line.startswith("tagger") else line for line in lines)
        for tag in version_tags.tags()
        if (lines := subprocess.check_output(["git", "cat-file", "-p", tag], text=True).split("\n"))
    }


def test_tags_are_byte_for_byte_those_that_gto_writes(repository):
    pytest.importorskip("gto")
    version_tags.register("v1.0.0", "HEAD", MESSAGE)
    version_tags.assign("v1.0.0", MESSAGE)
    version_tags.assign("v1.0.0", "again")
    ours = tag_objects()
    assert sorted(ours) == ["generator#champion#1", "generator#champion#2", "generator@v1.0.0"]
    assert "tagger Ann <ann@localhost" in ours["generator@v1.0.0"]
    for tag in ours:
        version_tags.delete(tag)
    assert version_tags.tags() == []
    subprocess.run([sys.executable, "-c", WRITTEN_BY_GTO], check=True)
    assert tag_objects() == ours


def test_gto_shows_the_versions_and_the_champion_that_we_wrote(repository, monkeypatch):
    pytest.importorskip("gto")
    for second, version in enumerate(("v1.0.0", "v2.0.0"), start=1):
        monkeypatch.setenv("GIT_COMMITTER_DATE", f"2026-01-01T00:00:0{second}")  # it goes by time, ours by number
        version_tags.register(version, commit(version), "new")
        version_tags.assign(version, "new")
    shown = json.loads(gto("show", "--json"))["generator"]
    assert shown["version"] == "v2.0.0"
    assert shown["stage"]["champion"] == "v2.0.0"
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2026-01-01T00:00:03")
    version_tags.assign("v1.0.0", "in force again")
    assert json.loads(gto("show", "--json"))["generator"]["stage"]["champion"] == "v1.0.0"
    assert [row["event"] for row in json.loads(gto("history", "generator", "--json"))].count("assignment") == 3


def test_we_understand_what_gto_takes_back(repository):
    pytest.importorskip("gto")
    version_tags.register("v1.0.0", "HEAD", "new")
    version_tags.assign("v1.0.0", "new")
    gto("deprecate", "generator", "v1.0.0", "champion")
    assert "generator#champion!#2" in version_tags.tags()
    assert version_tags.assigned() is None
    assert version_tags.dismissed() == ("v1.0.0", "generator#champion!#2")
    assert version_tags.versions() == ["v1.0.0"]
    version_tags.assign("v1.0.0", "again")
    assert "generator#champion#3" in version_tags.tags()
    assert version_tags.assigned() == "v1.0.0"
    assert version_tags.dismissed() is None


def test_the_assignment_with_the_highest_number_counts(repository):
    assert version_tags.assigned() is None
    first = git("rev-parse", "HEAD")
    version_tags.register("v1.0.0", first, "new")
    version_tags.register("v2.0.0", commit("two"), "new")
    assert version_tags.versions() == ["v1.0.0", "v2.0.0"]
    for number in range(1, 12):  # 10 and 11 come before 2 in the alphabet
        version_tags.assign("v1.0.0" if number % 2 else "v2.0.0", "change")
    assert version_tags.assigned() == "v1.0.0"
    assert git("rev-parse", "generator#champion#11^{commit}") == first


def test_a_commit_has_one_version_and_a_version_one_commit(repository):
    version_tags.register("v1.0.0", "HEAD", "new")
    with pytest.raises(PipelineError, match=r"HEAD: is generator@v1\.0\.0 already, so it cannot be v2\.0\.0"):
        version_tags.register("v2.0.0", "HEAD", "new")
    with pytest.raises(PipelineError, match="already exists"):
        version_tags.register("v1.0.0", commit("two"), "new")
    with pytest.raises(PipelineError, match="git tag"):
        version_tags.assign("v7.0.0", "never registered")
    assert version_tags.tags() == ["generator@v1.0.0"]


def test_tags_are_not_signed_with_a_key_even_where_git_is_told_to(repository):
    git("config", "tag.gpgSign", "true")
    git("config", "gpg.program", os.devnull)
    version_tags.register("v1.0.0", "HEAD", "new")
    assert version_tags.versions() == ["v1.0.0"]
