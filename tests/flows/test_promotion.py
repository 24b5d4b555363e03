"""Promotion is all or nothing, whatever goes wrong; on a small git and DVC repository with a model directory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from prefect import flow

from flows import champions, promotion, version_tags
from pipeline import model_versions
from pipeline.errors import ModelError, PipelineError
from tests.flows.conftest import git_and_dvc

TRACKED = ["dvc.lock", "params.yaml", "data/metrics/metrics.json"]


LOCK = "schema: '2.0'\nstages: {}\n"  # as DVC wants it
# runs a promotion that dies when the step named in argv is done, before the next begins
KILLED = """
import os, signal, sys
from pipeline import model_versions
from tests.flows.test_promotion import promote, promotion
activate = model_versions.activate
def die(*_arguments, **_options):
    if sys.argv[1] == "switch":
        activate("v2.0.0")
    os.kill(os.getpid(), signal.SIGKILL)
steps = {
    "record_revision": (promotion, "tag"),
    "tag": (promotion, "switch"),
    "switch": (model_versions, "activate"),
}
setattr(*steps[sys.argv[1]], die)
promote(commit=True)
"""


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A repository with what a promotion tracks, one commit, and a candidate; the current folder."""
    folder = git_and_dvc(tmp_path, monkeypatch)
    Path(".gitignore").write_text("/data/model\n/models/\n")
    Path("dvc.yaml").write_text("artifacts:\n  generator: {path: data/model, type: model}\n")
    Path("params.yaml").write_text("a: 1\n")
    Path("code.py").write_text("# as committed\n")
    Path("data/metrics").mkdir(parents=True)
    candidate("one")
    git("add", "-A")
    git("commit", "-qm", "start")
    return folder


def candidate(content: str) -> None:
    Path("data/model").mkdir(exist_ok=True)
    Path("data/model/model.json").write_text(json.dumps({"name": content}))
    Path("data/model/model.safetensors").write_text(content * 1000)
    Path("dvc.lock").write_text(LOCK + f"# {content}\n")
    Path("data/metrics/metrics.json").write_text(json.dumps({"of": content}))


@flow
def promote(commit: bool = False) -> str:
    return promotion.promote(Path("data/model"), {"why": "test"}, TRACKED, "Promote a model\n\nwhy\n", commit=commit)


def in_force() -> str:
    current = model_versions.champion()
    assert current is not None
    assert model_versions.is_whole(current)
    return current.name


def tags() -> list[str]:
    return git("tag", "--list").splitlines()


def state() -> tuple:
    """All that a promotion that fails must leave as it was."""
    return (
        model_versions.champion(),
        model_versions.versions(),
        tags(),
        git("rev-parse", "HEAD"),
        git("status", "--porcelain"),
        git("diff", "--cached"),
    )


def test_a_promotion_without_commit_tags_what_the_model_was_made_from_beside_the_branch(workspace, api):
    head = git("rev-parse", "HEAD")
    Path("code.py").write_text("# as changed\n")
    Path("dvc.lock").write_text(LOCK + "# retrained\n")
    assert promote() == "v1.0.0"
    assert in_force() == "v1.0.0"
    assert git("rev-parse", "HEAD") == head
    assert git("status", "--porcelain") == "M code.py\n M dvc.lock"  # (strip took the first blank)
    assert git("show", "generator@v1.0.0:code.py") == "# as changed"
    assert git("show", "generator@v1.0.0:dvc.lock") == LOCK + "# retrained"
    assert version_tags.assigned() == "v1.0.0"
    assert model_versions.record(model_versions.champion())["why"] == "test"
    assert not champions.JOURNAL.exists()


@pytest.mark.slow
def test_a_promotion_with_commit_commits_just_the_results_and_leaves_a_dirty_tree_dirty(workspace, api):
    promote()
    candidate("two")
    Path("code.py").write_text("# in progress\n")
    Path("staged.py").write_text("# staged\n")
    git("add", "staged.py")
    assert promote(commit=True) == "v2.0.0"
    assert in_force() == "v2.0.0"
    assert git("show", "--name-only", "--format=%s", "HEAD").split("\n\n") == [
        "Promote a model",
        "data/metrics/metrics.json\ndvc.lock",
    ]
    assert git("status", "--porcelain").splitlines() == ["M code.py", "A  staged.py"]
    assert git("rev-parse", "generator@v2.0.0^{commit}^") == git("rev-parse", "HEAD")  # with code.py as it was used
    candidate("two")
    git("stash", "-q")
    before = git("rev-parse", "HEAD")
    assert promote(commit=True) == "v3.0.0"  # nothing to commit is no failure
    assert git("rev-parse", "HEAD") == before


@pytest.mark.parametrize("commit", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_an_unreachable_remote_leaves_everything_as_it_was(workspace, api, commit):
    promote()
    Path("not-a-folder").write_text("")
    subprocess.run([sys.executable, "-m", "dvc", "remote", "add", "-q", "-d", "far", "not-a-folder/x"], check=True)
    Path("data/big").write_text("content to push")
    subprocess.run([sys.executable, "-m", "dvc", "add", "-q", "data/big"], check=True)
    candidate("two")
    before = state()
    with pytest.raises(PipelineError, match="dvc push"):
        promote(commit)
    assert state() == before
    subprocess.run([sys.executable, "-m", "dvc", "remote", "remove", "far"], check=True)
    assert promote(commit) == "v2.0.0"
    assert champions.rollback() == "v1.0.0"


@pytest.mark.parametrize(
    "step",
    ["tag", pytest.param("record_revision", marks=pytest.mark.slow), pytest.param("switch", marks=pytest.mark.slow)],
)
def test_a_failure_at_any_step_is_taken_back(workspace, api, monkeypatch, step):
    promote()
    candidate("two")
    before = state()

    def fail(*_arguments, **_options):
        raise OSError("disk full")

    # what lies outside of each step: git's tree, the registry's tags, the rename
    broken = {
        "record_revision": (promotion, "_commit"),
        "tag": (version_tags, "assign"),
        "switch": (model_versions, "activate"),
    }
    with monkeypatch.context() as patch:
        patch.setattr(*broken[step], fail)
        with pytest.raises(OSError, match="disk full"):
            promote(commit=True)
    assert state() == before
    assert not champions.JOURNAL.exists()
    assert promote(commit=True) == "v2.0.0"
    assert champions.rollback() == "v1.0.0"
    assert in_force() == "v1.0.0"


@pytest.mark.slow
@pytest.mark.parametrize("step", ["record_revision", "tag", "switch"])
def test_what_a_promotion_that_was_killed_left_is_taken_back_by_the_next(workspace, api, step):
    promote()
    candidate("two")
    before = state()
    killed = subprocess.run([sys.executable, "-c", KILLED, step], check=False, capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    assert champions.JOURNAL.exists()
    champions.settle()
    if step == "switch":  # it was the last step
        assert in_force() == "v2.0.0"
    else:
        assert state() == before
    assert not champions.JOURNAL.exists()
    candidate("three")
    assert promote() == ("v3.0.0" if step == "switch" else "v2.0.0")


def test_a_damaged_journal_of_a_promotion_removes_no_version(workspace, api):
    promote()
    candidate("two")
    promote()
    with model_versions.locked():
        champions.note({"version": "v3.0.0", "head": "0"})
    champions.JOURNAL.write_text(champions.JOURNAL.read_text().replace("v3.0.0", "v1.0.0"))  # one bit
    with pytest.raises(PipelineError, match=r"promoting.json: is damaged"):
        champions.settle()
    assert model_versions.versions() == ["v1.0.0", "v2.0.0"]


def test_a_machine_without_a_git_identity_promotes_under_a_name_of_ours(workspace, api, monkeypatch):
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "EMAIL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    git("config", "user.useConfigOnly", "true")
    candidate("two")
    assert promote(commit=True) == "v1.0.0"
    assert git("log", "-1", "--format=%an <%ae>") == "foreframe <foreframe@localhost>"
    assert git("for-each-ref", "--format=%(taggername)", "refs/tags/generator@v1.0.0") == "foreframe"
    candidate("three")
    assert promote() == "v2.0.0"
    assert champions.rollback() == "v1.0.0"


def test_a_champion_that_a_tag_dismisses_is_none_any_more_and_the_next_version_is(workspace, api, caplog):
    promote()
    git("tag", "generator#champion!#2", "generator@v1.0.0")  # as `gto deprecate` and a person do
    known = tags()
    champions.settle()
    assert model_versions.champion() is None
    assert model_versions.versions() == ["v1.0.0"]
    assert "v1.0.0 is the champion no more: the git tag generator#champion!#2 dismisses it" in caplog.text
    champions.settle()
    assert tags() == known
    candidate("two")
    promote()
    assert (in_force(), version_tags.assigned()) == ("v2.0.0", "v2.0.0")


@pytest.mark.parametrize("settled", [True, False])
def test_after_a_dismissal_a_rollback_takes_the_version_before(workspace, api, settled):
    promote()
    candidate("two")
    promote()
    git("tag", "generator#champion!#3")
    if settled:
        champions.settle()
        assert champions.rollback() == "v1.0.0"
    else:
        model_versions.rollback()  # as `foreframe rollback` does, which knows no tags
        champions.settle()
    assert (in_force(), version_tags.assigned()) == ("v1.0.0", "v1.0.0")


@pytest.mark.slow
def test_rollback_assigns_the_stage_anew_and_a_rollback_without_the_tags_is_made_good(workspace, api):
    promote()
    with pytest.raises(ModelError, match="no version before"):
        champions.rollback()
    for content in ("two", "three"):
        candidate(content)
        promote()
    assert champions.rollback() == "v2.0.0"
    assert version_tags.assigned() == "v2.0.0"
    model_versions.rollback()  # as `foreframe rollback` does, which knows no tags
    champions.settle()
    assert in_force() == "v1.0.0"
    assert version_tags.assigned() == "v1.0.0"
