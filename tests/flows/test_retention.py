"""What is kept: each rule on real small things, and a collected cache from which every tagged version comes back."""

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from dvc.cli import main
from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import dvc_cache, prefect_database, retention, version_tags
from pipeline import model_versions
from pipeline.errors import PipelineError
from pipeline.params import Params, load_params
from tests.faults.soak import soak
from tests.flows.conftest import ROOT, ask, free_port, git_and_dvc, start_server
from tests.flows.test_promotion import git

DAY = 86400


def params(**retain: object) -> Params:
    """As shipped, but for what `retain` says; nothing else is cut back."""
    shipped = load_params(ROOT / "params.yaml")
    nothing = dict.fromkeys(type(shipped.retain).model_fields) | {"cache": "everything"}
    return shipped.model_copy(update={"retain": shipped.retain.model_copy(update={**nothing, **retain})})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty git and DVC repository; the current folder."""
    return git_and_dvc(tmp_path, monkeypatch)


def store(number: int, *, register: bool = True) -> str:
    """A version whose two files only have to be there, promoted from a commit of its own."""
    candidate = Path("candidate")
    candidate.mkdir(exist_ok=True)
    for name in ("model.json", "model.safetensors"):
        (candidate / name).write_text(f"{number}")
    name = model_versions.store(candidate, {})
    if register:
        git("commit", "-q", "--allow-empty", "-m", name)
        version_tags.register(name, git("rev-parse", "HEAD").strip(), "m")
        version_tags.assign(name, "m")
    model_versions.activate(name)
    return name


def aged(path: Path, days: float) -> Path:
    """The file `path`, written so many days ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    moment = time.time() - days * DAY
    os.utime(path, (moment, moment))
    return path


# model versions and tags


def test_the_champion_the_one_before_and_marked_versions_are_never_pruned(folder):
    for number in range(8):
        store(number)
    git("tag", "shown-in-the-paper", "generator@v2.0.0^{commit}")
    git("tag", "generator#production#9", "generator@v4.0.0^{commit}")
    assert retention.marked_versions() == ["v2.0.0", "v4.0.0"]
    model_versions.activate("v6.0.0")  # rolled back twice: the champion is not the newest, its predecessor is v5.0.0
    expected = ["models/v1.0.0", "models/v3.0.0"]
    assert retention.model_versions_beyond(params(model_versions=1), dry_run=True) == [*expected, "models/v7.0.0"]
    assert len(model_versions.versions()) == 8  # a dry run removes nothing
    assert retention.model_versions_beyond(params(model_versions=2), dry_run=False) == expected
    assert model_versions.versions() == [f"v{number}.0.0" for number in (2, 4, 5, 6, 7, 8)]
    assert model_versions.rollback() == "v5.0.0"
    assert len(version_tags.versions()) == 8


def test_without_a_champion_or_a_number_no_version_goes(folder):
    for number in range(3):
        store(number, register=False)
    assert retention.model_versions_beyond(params(), dry_run=False) == []
    Path("models/champion").unlink()
    assert retention.model_versions_beyond(params(model_versions=1), dry_run=False) == []


def test_where_the_one_before_is_damaged_the_whole_one_before_that_stays(folder):
    for number in range(4):
        store(number, register=False)
    Path("models/v3.0.0/model.json").write_text("damaged")
    assert model_versions.prunable(1) == ["v1.0.0", "v3.0.0"]
    assert model_versions.previous() == "v2.0.0"


def test_tags_go_only_of_versions_that_are_gone_and_numbers_are_never_used_again(folder):
    for number in range(6):
        store(number)
    git("tag", "mine", "generator@v2.0.0^{commit}")
    keep = params(model_versions=2, version_tags=3)
    retention.model_versions_beyond(keep, dry_run=False)
    listed = retention.tags_beyond(keep, dry_run=True)
    assert retention.tags_beyond(keep, dry_run=False) == listed
    assert sorted(listed) == [
        "tag generator#champion#1", "tag generator#champion#3", "tag generator@v1.0.0", "tag generator@v3.0.0"
    ]  # fmt: skip
    assert version_tags.versions() == ["v2.0.0", "v4.0.0", "v5.0.0", "v6.0.0"]
    assert version_tags.assigned() == "v6.0.0"
    assert store(9) == "v7.0.0"
    assert version_tags.assigned() == "v7.0.0"
    assert retention.tags_beyond(params(model_versions=2), dry_run=False) == []


# results, training states, leftovers, the log


def test_results_of_earlier_champions_and_of_videos_that_are_gone_go_when_they_are_old(folder):
    for number in range(2):
        store(number, register=False)
    Path("inbox/a").mkdir(parents=True)
    Path("inbox/a/x.mp4").touch()
    results = Path("generated")
    old = [
        aged(results / "a/x.mp4.0123456789ab.v1.0.0.mp4", 9),
        aged(results / "gone.mp4.0123456789ab.v2.0.0.mp4", 9),
    ]
    for name, days in [
        ("a/x.mp4.0123456789ab.v2.0.0.mp4", 9),
        ("a/x.mp4.ba9876543210.v1.0.0.mp4", 7),
        ("mine.mp4", 99),
    ]:
        aged(results / name, days)
    assert retention.results_of_old(params(), dry_run=False) == []
    assert retention.results_of_old(params(generated_days=8), dry_run=True) == [str(path) for path in old]
    assert retention.results_of_old(params(generated_days=8), dry_run=False) == [str(path) for path in old]
    assert len(list(results.rglob("*.mp4"))) == 3


def test_the_newest_training_states_stay(folder):
    for days, key in enumerate(["newest", "older", "oldest"]):
        aged(Path(".train", key, "state.pt"), days)
        os.utime(Path(".train", key), (0, 0))
    assert retention.training_states_beyond(params(), dry_run=False) == []
    assert retention.training_states_beyond(params(training_states=2), dry_run=True) == [".train/oldest"]
    assert retention.training_states_beyond(params(training_states=1), dry_run=False) == [
        ".train/older",
        ".train/oldest",
    ]
    assert [path.name for path in Path(".train").iterdir()] == ["newest"]


def test_what_killed_processes_left_in_dvcs_folders_goes_after_a_day(folder):
    lost = [
        aged(Path(".dvc/tmp/kept/.model.json.part"), 2),
        aged(Path(".dvc/cache/files/md5/ab/Zm9vYmFyYmF6cXV4MTIzNA.tmp"), 2),
    ]
    aged(Path(".dvc/cache/files/md5/ab/cdef0123456789abcdef0123456789"), 2)
    aged(Path(".dvc/tmp/.new.part"), 0.5)
    assert retention.lost_files(params(), dry_run=True) == [str(path) for path in lost]
    retention.lost_files(params(), dry_run=False)
    assert [path.exists() for path in lost] == [False, False]
    assert Path(".dvc/tmp/.new.part").exists()


def test_a_large_log_is_emptied_in_place_and_its_end_stays_beside_it(tmp_path):
    log = tmp_path / "server.log"
    with log.open("a") as writer:  # as the server holds it
        writer.write("a" * 1500 + "b" * 1000)
        writer.flush()
        assert prefect_database.rotate_log(0.003, log) == []
        assert prefect_database.rotate_log(None, log) == []
        assert prefect_database.rotate_log(0.001, log, dry_run=True) == [f"{log} (0.0 MB)"]
        assert log.stat().st_size == 2500
        prefect_database.rotate_log(0.001, log)
        writer.write("next")
        writer.flush()
    assert log.read_text() == "next"
    assert (tmp_path / "server.log.1").read_text() == "b" * 1000


# DVC's cache


def dvc(*arguments: str) -> None:
    assert main([*arguments, "-q"]) == 0  # in this process: importing DVC takes seconds


def reproduce(text: str) -> None:
    Path("source.txt").write_text(text)
    dvc("repro")


@pytest.fixture
def versions(folder):
    """A stage run four times: v1 is on the branch, v2 beside it, then something refused, and now."""
    Path("dvc.yaml").write_text(
        "stages:\n  train:\n    cmd: mkdir -p data/model && cp source.txt data/model/\n"
        "    deps: [source.txt]\n    outs: [data/model]\n"
    )
    Path("data").mkdir()
    for name in ("v1", "v2"):
        reproduce(name)
        git("add", "-A")
        git("commit", "-qm", name)
        version_tags.register(f"{name}.0.0", git("rev-parse", "HEAD").strip(), "m")
    git("reset", "-q", "--soft", "HEAD~1")  # v2's commit is now the tag's alone, as without promote.commit
    for text in ("refused", "now"):
        reproduce(text)
    return folder


def objects() -> list[str]:
    """The texts in the cache."""
    files = [path for path in Path(".dvc/cache/files").rglob("*") if path.is_file() and path.suffix != ".dir"]
    return sorted(path.read_text() for path in files)


@pytest.mark.slow
def test_what_no_tag_and_no_commit_names_leaves_the_cache_and_every_tagged_version_comes_back(versions):
    listed = dvc_cache.collect("commits", dry_run=True)
    assert sorted(dvc_cache.collect("tags", dry_run=True)) == sorted(listed)
    assert objects() == ["now", "refused", "v1", "v2"]
    gone = dvc_cache.collect("tags", dry_run=False)
    assert sorted(gone) == sorted(listed)
    assert objects() == ["now", "v1", "v2"]
    assert len(list(Path(".dvc/cache/runs").rglob("*/*/*"))) == 3  # records of the others would be of no use
    dvc("checkout")
    assert Path("data/model/source.txt").read_text() == "now"
    git("add", "-A")
    git("commit", "-qm", "now")
    for tag, text in (("generator@v1.0.0", "v1"), ("generator@v2.0.0", "v2")):
        git("checkout", "-q", tag)
        dvc("checkout")
        assert Path("data/model/source.txt").read_text() == text
        dvc("get", ".", "data/model", "--rev", tag, "-o", f"restored-{text}")
        assert Path(f"restored-{text}/source.txt").read_text() == text
    git("checkout", "-q", "main")


def test_the_lines_of_dvc_gc_in_the_docs_keep_what_the_flow_keeps():
    lines = (ROOT / "docs/operations.md").read_text().splitlines()
    documented = [line.removeprefix("dvc gc ").split() for line in lines if line.startswith("dvc gc ")]
    assert documented == [[flag for flag in flags if flag != "--force"] for flags in dvc_cache.KEPT.values()]


def test_a_cache_that_others_may_use_and_what_a_stash_names_are_left_alone(folder, tmp_path):
    Path("file").touch()
    git("add", "-A")
    git("commit", "-qm", "start")
    Path("file").write_text("changed")
    git("stash")
    with pytest.raises(PipelineError, match="stash"):
        dvc_cache.collect("commits", dry_run=False)
    git("stash", "drop")
    dvc("cache", "dir", str(tmp_path / "shared"))
    with pytest.raises(PipelineError, match="others may use this cache"):
        dvc_cache.collect("commits", dry_run=False)
    assert dvc_cache.collect("everything", dry_run=False) == []


# Prefect's database


def ended_runs(api: str, name: str) -> list[str]:
    return [run["name"] for run in ask(api, "flow_runs/filter", flows={"name": {"any_": [name]}}, sort="NAME_ASC")]


@flow(name="monitor")
def ours(text: str) -> None:
    """Stands in for one of our flows."""
    create_markdown_artifact(text, key="retention-test")


@flow(name="somebody-elses")
def foreign() -> None:
    """A flow of others on the same server."""


def test_old_runs_go_with_their_artifacts_and_logs_but_the_newest_and_others_stay(api):
    prefect_database.delete_runs(1e-9, dry_run=False)
    for number in range(4):
        ours.with_options(flow_run_name=f"run {number}")(f"text {number}")
    foreign.with_options(flow_run_name="foreign")()

    def artifacts() -> list[str]:
        found = ask(api, "artifacts/filter", artifacts={"key": {"any_": ["retention-test"]}})
        return sorted(each["data"] for each in found)

    assert len(artifacts()) == 4
    assert prefect_database.delete_runs(1, dry_run=False) == []  # none is a day old
    listed = prefect_database.delete_runs(1e-9, dry_run=True)
    assert [line.split(" of ")[0] for line in listed if "run run" in line] == ["run run 0", "run run 1", "run run 2"]
    assert len(artifacts()) == 4
    prefect_database.delete_runs(1e-9, dry_run=False)
    assert ended_runs(api, "monitor") == ["run 3"]
    assert ended_runs(api, "somebody-elses") == ["foreign"]
    assert artifacts() == ["text 3"]
    latest = httpx.get(f"{api}/artifacts/retention-test/latest").json()
    assert latest["data"] == "text 3"


def test_free_pages_go_back_to_the_disk_only_where_nobody_has_the_database_open(tmp_path):
    path = tmp_path / "prefect.db"
    assert prefect_database.compact(path) is False  # there is none yet
    with closing(sqlite3.connect(path)) as server:
        server.execute("PRAGMA journal_mode = WAL")
        server.execute("CREATE TABLE log (line TEXT)")
        server.executemany("INSERT INTO log VALUES (?)", [("x" * 1000,)] * 1000)
        server.commit()
        server.execute("DELETE FROM log WHERE rowid > 10")
        server.commit()
        assert prefect_database.compact(path) is False
    before = path.stat().st_size
    assert prefect_database.compact(path) is True
    assert path.stat().st_size < before / 10
    assert prefect_database.compact(path) is False  # nothing is free any more
    with closing(sqlite3.connect(path)) as server:
        assert server.execute("SELECT count(*) FROM log").fetchone() == (10,)
        assert server.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.slow
def test_fifty_more_runs_need_less_room_once_as_many_old_ones_went(tmp_path, monkeypatch):
    home, port = tmp_path / "home", free_port()
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{port}/api")
    server = start_server(home, port)

    def fifty() -> int:
        for _ in range(50):
            ours("x" * 10_000)
        return (home / "prefect.db").stat().st_size

    try:
        with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}):
            sizes = [0, fifty()]
            sizes.append(fifty())
            assert len(prefect_database.delete_runs(1e-9, dry_run=False)) == 99
            time.sleep(5)  # the server deletes their logs after it has answered
            sizes.append(fifty())
    finally:
        server.terminate()
        server.wait()
    prefect_database.compact(home / "prefect.db")
    sizes.append((home / "prefect.db").stat().st_size)
    print(sizes)
    assert sizes[3] - sizes[2] < sizes[2] - sizes[1]  # what is left are events, which the server keeps for 7 days


# the flow


def test_a_dry_run_lists_and_a_rule_that_fails_does_not_stop_the_others(folder, api, monkeypatch):
    text = (ROOT / "params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("training_states: 3", "training_states: 1"))
    for key in ("a", "b"):
        aged(Path(".train", key, "state.pt"), 1)
    git("add", "-A")
    git("commit", "-qm", "start")
    state = retention.tidy(dry_run=True, return_state=True)
    assert (state.name, "1 training states" in state.message) == ("Listed", True)
    assert len(list(Path(".train").iterdir())) == 2

    def fail(params: Params, *, dry_run: bool) -> list[str]:
        raise PipelineError("models: no")

    monkeypatch.setitem(retention.RULES, "model versions", fail)
    state = retention.tidy(return_state=True)
    assert state.is_failed()
    assert "model versions: models: no" in state.message
    assert len(list(Path(".train").iterdir())) == 1


@pytest.mark.slow
def test_three_cycles_and_a_tidying_leave_no_process_and_no_locked_database_behind(tmp_path):
    first, last = soak(tmp_path / "workspace", cycles=3, untidied=0, every=3)
    assert (last["promoted"], last["models"], last["tags"], last["generated"], last["locked"]) == (1, 1, 2, 1, 0)
    assert last["processes"] == first["processes"]
    assert last["files"] <= first["files"] + 10
