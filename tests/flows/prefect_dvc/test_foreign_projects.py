"""Projects that flows.prefect_dvc knows nothing of, run from another folder.

`FOREFRAME_MEDIA=.github/media pytest -m slow tests/flows/prefect_dvc/test_foreign_projects.py -k dashboard` renews the
screenshot in docs/operations.md.
"""

import os
import time
from pathlib import Path

import pytest

from flows.prefect_dvc.flow import dvc_repro
from flows.prefect_dvc.graph import plan
from pipeline.errors import PipelineError
from tests.flows.browser import GRAPH, Browser, keep
from tests.flows.conftest import ask, task_runs
from tests.flows.prefect_dvc import foreign

TRAINED = ["train@linear-1", "train@linear-2", "train@tree-1", "train@tree-2"]
DATA = "data/data.txt.dvc"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """The current folder is not the project's; commands find this Python."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name, value in foreign.environment(tmp_path / "project").items():
        monkeypatch.setenv(name, value)
    return tmp_path / "project"


def states(api, state):
    """The state of every task of a run; the server hears of them by events, a moment later."""
    for _ in range(100):
        runs = task_runs(api, state.state_details.flow_run_id)
        if runs and all(run["type"] not in ("PENDING", "RUNNING") for run in runs.values()):
            break
        time.sleep(0.2)
    return {name: run["name"] for name, run in runs.items()}


def test_a_plan_names_foreach_and_matrix_stages_data_and_those_of_sub_folders(elsewhere):
    foreign.get_started(elsewhere)
    stages = {stage.name: stage for stage in plan(project=elsewhere)}
    assert stages.keys() == {
        DATA, "prepare", "featurize@train", "featurize@test", *TRAINED, "evaluate", "vocabulary", "weather", "forecast",
        "sub/dvc.yaml:summary", "sub/dvc.yaml:below",
    }  # fmt: skip
    assert stages["prepare"].needs == (DATA,)
    assert stages["train@tree-2"].needs == ("featurize@train",)
    assert stages["evaluate"].needs == ("featurize@test", *TRAINED)
    assert stages["sub/dvc.yaml:below"].needs == ("sub/dvc.yaml:summary",)
    assert stages["sub/dvc.yaml:below"].outs == ("sub/deeper/copy.txt",)
    assert [name for name, stage in stages.items() if not stage.in_lock] == [
        DATA, "sub/dvc.yaml:summary", "sub/dvc.yaml:below"
    ]  # fmt: skip
    assert not stages[DATA].stale
    assert stages["vocabulary"].needs == ("prepare",)
    foreign.call(elsewhere, "dvc", "freeze", "vocabulary")
    frozen = {stage.name: stage for stage in plan(["vocabulary"], elsewhere)}
    assert frozen["vocabulary"].needs == ()  # what it reads may change
    assert frozen.keys() == {"vocabulary"}
    with pytest.raises(PipelineError, match="no stage train "):
        plan(["train"], elsewhere)


def test_a_folder_without_dvc_is_refused_in_one_line(elsewhere, api):
    elsewhere.mkdir()
    with pytest.raises(PipelineError, match=r"project: is no DVC project \(`dvc init` makes it one\)$"):
        dvc_repro(str(elsewhere))


@pytest.mark.slow
def test_a_project_of_get_starteds_shape_runs_and_only_what_changed_runs_again(elsewhere, api):
    foreign.get_started(elsewhere)
    first = states(api, dvc_repro(str(elsewhere), return_state=True))
    assert {name for name, state in first.items() if state == "Cached"} == {DATA}
    assert (elsewhere / "sub/deeper/copy.txt").read_text().strip() == "13"
    assert (elsewhere / "forecast.txt").read_text() == "mild\n"

    second = states(api, dvc_repro(str(elsewhere), return_state=True))
    assert {name for name, state in second.items() if state == "Completed"} == {"weather"}  # always changed

    foreign.call(elsewhere, "dvc", "freeze", "vocabulary")
    (elsewhere / "conf/train.toml").write_text("rate = 0.25\n")
    (elsewhere / "src/vocabulary.py").write_text("raise SystemExit('it is frozen')\n")
    third = states(api, dvc_repro(str(elsewhere), ["evaluate", "vocabulary"], return_state=True))
    assert {name for name, state in third.items() if state == "Completed"} == {*TRAINED, "evaluate"}
    assert foreign.call(elsewhere, "dvc", "status", "evaluate").strip() == "Data and pipelines are up to date."

    (elsewhere / "src/evaluate.py").write_text("import shutil; shutil.rmtree('eval', True); raise SystemExit(3)\n")
    failed = dvc_repro(str(elsewhere), ["evaluate"], return_state=True)
    assert failed.is_failed()
    # what git keeps is back: a file, and a folder
    assert (elsewhere / "eval/metrics.json").is_file()
    assert (elsewhere / "eval/images/a.svg").read_text() == "<svg/>"


@pytest.mark.slow
def test_the_dashboard_shows_the_stages_of_a_project_and_which_of_them_ran(elsewhere, api):
    media = Path(os.environ.get("FOREFRAME_MEDIA", elsewhere.parent))
    folder = elsewhere.with_name("get-started")
    foreign.get_started(folder)
    dvc_repro(str(folder))
    (folder / "conf/train.toml").write_text("rate = 0.25\n")
    state = dvc_repro(str(folder), return_state=True)
    assert set(states(api, state).values()) == {"Cached", "Completed"}
    address = f"{api.removesuffix('/api')}/runs/flow-run/{state.state_details.flow_run_id}"
    with Browser(elsewhere.parent / "profile") as browser:
        browser.open(address, "get-started: all", "Running stage 'train@tree-2'", "featurize@train")
        for _ in range(100):
            if browser.run(GRAPH):
                break
            time.sleep(0.2)
        keep(browser, "dashboard-foreign", media)
        assert browser.outside == []


@pytest.mark.slow
def test_in_a_diamond_of_ten_a_failure_stops_what_needs_it_alone_and_a_second_run_does_the_rest(elsewhere, api):
    foreign.diamond_of_ten(elsewhere)
    (elsewhere / "broken").touch()
    failed = dvc_repro(str(elsewhere), return_state=True)
    assert failed.is_failed()
    assert "failed: w3; not run: end" in failed.message
    wide = {f"w{number}" for number in range(8)}
    first = states(api, failed)
    assert {name for name, state in first.items() if state == "Completed"} == {"top"} | wide - {"w3"}

    (elsewhere / "broken").unlink()
    second = states(api, dvc_repro(str(elsewhere), return_state=True))
    assert {name for name, state in second.items() if state == "Completed"} == {"w3", "end"}
    assert (elsewhere / "end").read_text() == "seed\n" * 8


@pytest.mark.slow
def test_every_output_is_an_asset_with_its_hash_once_a_stage_has_made_it(elsewhere, api):
    foreign.init(elsewhere, {"dvc.yaml": "stages: {a: {cmd: echo x > 'o u t' && echo y > b, outs: ['o u t', b]}}\n"})
    state = dvc_repro(str(elsewhere), return_state=True)
    run = str(state.state_details.flow_run_id)
    query = {
        "event": {"name": ["prefect.asset.materialization.succeeded"]},
        "related": {"id": [f"prefect.flow-run.{run}"]},
    }
    for _ in range(100):
        events = ask(api, "events/filter", filter=query)["events"]
        if len(events) == 2:
            break
        time.sleep(0.2)
    payloads = {event["payload"]["path"]: event["payload"]["md5"] for event in events}
    assert payloads == {"o u t": "401b30e3b8b5d629635a5c613cdb7919", "b": "009520053b00386d1173f3988c55d192"}
    assert all(event["resource"]["prefect.resource.id"].startswith("dvc://project/") for event in events)
