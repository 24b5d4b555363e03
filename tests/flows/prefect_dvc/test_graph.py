"""What is read from DVC, on a pipeline of shell commands; a new version of DVC is tried with this file."""

import hashlib
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from flows.prefect_dvc import disks, graph
from flows.prefect_dvc.graph import MissingDependency, has_remote, plan, plan_changed
from flows.prefect_dvc.stage_process import Order
from pipeline.errors import PipelineError


def test_a_stage_that_is_added_to_dvc_yaml_is_in_the_next_plan_with_what_it_needs(diamond):
    with Path("dvc.yaml").open("a") as file:
        file.write("  shout:\n    cmd: tr a-z A-Z < joined > shouted\n    deps: [joined]\n    outs: [shouted]\n")
    stages = plan()
    needs = {stage.name: stage.needs for stage in stages}
    assert needs == {
        "words": (), "count": ("words",), "sort": ("words",), "join": ("count", "sort"), "shout": ("join",)
    }  # fmt: skip
    assert [stage.name for stage in plan(["sort"])] == ["words", "sort"]
    assert all(stage.stale for stage in stages)
    with pytest.raises(PipelineError, match="no stage nonsense"):
        plan(["nonsense"])


def test_a_project_that_is_up_to_date_has_no_changed_stages_and_one_that_is_not_all(diamond):
    subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet"], check=True)
    assert plan_changed() == []
    assert [stage.stale for stage in plan()] == [False] * 4
    Path("count.py").write_text(Path("count.py").read_text() + "\n")
    assert plan_changed() == plan()
    assert [stage.name for stage in plan_changed() if stage.stale] == ["count", "join"]
    Path("words.txt").unlink()
    with pytest.raises(MissingDependency):
        plan_changed()


def test_a_list_of_files_in_the_cache_that_is_none_is_one_line(diamond):
    Path("dvc.yaml").write_text("stages:\n  make: {cmd: mkdir made && echo a > made/a, outs: [made]}\n")
    subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet"], check=True)
    shutil.rmtree("made")
    (listing,) = Path(".dvc/cache").rglob("*.dir")
    listing.chmod(0o644)
    listing.write_text("[" * 3_000)
    with pytest.raises(PipelineError, match=r"\.dvc/cache: an object is no list of files; `foreframe check`"):
        plan()


def test_a_stage_may_read_a_folder_of_which_others_write_the_files_and_a_file_in_what_they_write(diamond):
    Path("dvc.yaml").write_text(
        "stages:\n  write: {cmd: x, outs: [some/a, all]}\n  read: {cmd: x, deps: [some, all/b], outs: [c]}\n"
    )
    assert [stage.name for stage in plan(["read"])] == ["write", "read"]


def test_what_a_stage_would_not_find_is_said(diamond):
    Path("words.txt").rename("words.text")
    with pytest.raises(MissingDependency, match=r"^words\.txt: there is no such .*, and stage words reads it$"):
        plan()
    Path("dvc.yaml").write_text("stages: [")
    with pytest.raises(PipelineError, match=r"^dvc\.yaml: "):
        plan()


def test_settings_that_dvc_does_not_know_are_told_by_the_name_of_their_file(diamond):
    with Path(".dvc/config").open("a") as file:
        file.write("[cores]\n    remote = x\n")
    with pytest.raises(PipelineError, match=r"\.dvc/config .*: config file error: extra keys not allowed.*cores"):
        plan()


@pytest.mark.parametrize(
    ("refusals", "said"), [(["/data: No space left on device"], "/data: No space left"), ([], "remove .*dvc.*anew")]
)
def test_a_disk_that_takes_none_of_dvcs_notes_is_one_line(diamond, monkeypatch, refusals, said):
    monkeypatch.setattr(graph, "_plan", lambda *_: (_ for _ in ()).throw(sqlite3.OperationalError("disk I/O error")))
    monkeypatch.setattr(disks, "refusals", lambda project: refusals)
    with pytest.raises(PipelineError, match=rf"^what DVC remembers of files: disk I/O error; {said}"):
        plan()


def test_metrics_that_persist_are_put_back_as_well(diamond):
    text = Path("dvc.yaml").read_text()
    changed = text.replace("score.json: {cache: false}", "score.json: {cache: false, persist: true}")
    assert changed != text
    Path("dvc.yaml").write_text(changed)
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], check=True)
    (count,) = (stage for stage in plan() if stage.name == "count")
    assert list(count.order.uncached) == ["score.json"]


def test_a_plan_says_what_changed_what_can_be_fetched_and_what_is_to_be_put_back(diamond):
    assert {stage.changes for stage in plan()} == {("has not run here yet",)}
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], check=True)
    stages = {stage.name: stage for stage in plan()}
    assert not any(stage.stale or stage.changes for stage in stages.values())
    count = stages["count"]
    assert count.outs == ("count", "score.json")
    assert count.stored == ("count",)  # the score is in git, not in DVC's cache
    md5 = hashlib.md5(b'{"n": 2}').hexdigest()
    assert count.order == Order(stage="count", cached=["count"], uncached={"score.json": md5})

    with Path("count.py").open("a") as file:
        file.write("# changed\n")
    assert {stage.name: (stage.stale, stage.changes) for stage in plan()} == {
        "words": (False, ()),
        "count": (True, ("count.py: modified",)),
        "sort": (False, ()),
        "join": (True, ()),  # because of what it needs
    }


def test_a_remote_counts_when_it_is_the_default(diamond):
    assert not has_remote()
    subprocess.run([sys.executable, "-m", "dvc", "remote", "add", "-q", "far", "elsewhere"], check=True)
    assert not has_remote()
    subprocess.run([sys.executable, "-m", "dvc", "remote", "default", "far"], check=True)
    assert has_remote()
