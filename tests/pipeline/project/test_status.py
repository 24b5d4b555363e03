"""How a project stands, in one screen."""

import json
import shutil
import sqlite3
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from pipeline import model_versions
from pipeline.cli import main
from pipeline.errors import PipelineError
from pipeline.project import prefect_api
from pipeline.project.status import lines, status

SCHEMA = """
create table flow (id text, name text);
create table flow_run (id text, flow_id text, name text, state_id text, state_name text, state_type text,
    start_time text, expected_start_time text, parent_task_run_id text);
create table flow_run_state (id text, message text);
insert into flow values ('f', 'retrain');
insert into flow_run_state values ('s', 'mse is 1.0% lower: does not clear the margin');
insert into flow_run values ('r', 'f', 'odd-owl', 's', 'Refused', 'COMPLETED',
    '2026-11-27 03:00:00.5', '2026-11-27 03:00:00', null);
"""


@pytest.fixture
def project(tiny, tmp_path, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.delenv("PREFECT_HOME", raising=False)
    monkeypatch.setattr(prefect_api, "LOCAL_API", "http://127.0.0.1:1/api")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    models = tmp_path / "models"
    version = model_versions.store(tiny.model, {"reason": "the first model"}, models=models)
    model_versions.activate(version, models)
    (models / "judged.json").write_text(json.dumps({"better": False, "reason": "not enough"}))
    (tmp_path / ".prefect").mkdir()
    with sqlite3.connect(tmp_path / ".prefect/prefect.db") as database:
        database.executescript(SCHEMA)
        later = (datetime.now(UTC) + timedelta(hours=9)).strftime("%Y-%m-%d %H:%M:%S.000000")
        database.execute(
            "insert into flow_run values ('n', 'f', 'x', null, 'Scheduled', 'SCHEDULED', null, ?, null)", (later,)
        )
    return tmp_path, later[:19]


def test_runs_are_read_in_a_folder_of_any_name(project):
    folder, _ = project
    other = folder / "50%3F of what?#"
    other.mkdir()
    (folder / ".prefect/prefect.db").rename(other / "prefect.db")
    assert [run.flow for run in prefect_api.last_runs(other / "prefect.db", 1)] == ["retrain"]


def test_a_champion_that_only_git_tags_know_is_lost_and_one_that_they_dismiss_is_none(project):
    folder, _ = project
    shutil.rmtree(folder / "models")  # `git clean -fdx` does that
    assert status(folder)["champion"]["name"].startswith("none: ")
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "a"], ["tag", "generator#champion#9"]):
        subprocess.run(["git", *identity, *command], cwd=folder, check=True)
    assert status(folder)["champion"]["name"].startswith("lost: git tags name one (`python -m flows.retrain restore`")
    subprocess.run(["git", "tag", "generator#champion!#10"], cwd=folder, check=True)
    assert status(folder)["champion"]["name"].startswith("none: ")


def test_a_status_names_champion_verdict_runs_and_disk_and_says_that_the_server_is_off(project):
    folder, later = project
    facts = status(folder)
    assert facts["champion"] == {"name": "v1.0.0", "reason": "the first model"}
    assert facts["verdict"] == {"better": False, "reason": "not enough"}
    assert [(run["flow"], run["state"]) for run in facts["runs"]] == [("retrain", "Refused")]
    assert facts["next"] == {"retrain": later}
    assert facts["disk"]["models"] > 0
    text = "\n".join(lines(facts))
    assert "champion      v1.0.0: the first model" in text
    assert "last runs     2026-11-27 03:00:00 retrain Refused: mse is 1.0% lower" in text
    assert "does not answer; `python -m flows.deploy`" in text
    assert later not in text  # nobody would run it


def test_what_is_due_next_is_said_where_the_server_answers(project, monkeypatch):
    folder, later = project

    class Healthy(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/api/health" else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Healthy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{server.server_port}/api")
        text = "\n".join(lines(status(folder)))
        server.shutdown()
    assert f"next          retrain {later} UTC" in text


def test_stale_stages_are_named_with_what_changed(project):
    facts = status(project[0]) | {"stale": {"train": "params.yaml changed", "render": "always changed"}}
    text = "\n".join(lines(facts))
    assert "stale         train: params.yaml changed" in text
    assert "              render: always changed" in text


def test_a_folder_without_a_pipeline_has_no_status(tmp_path):
    with pytest.raises(PipelineError, match=r"it has no dvc.yaml.*foreframe init"):
        status(tmp_path)
    with pytest.raises(SystemExit) as ending:
        main(["status", str(tmp_path)])
    assert "is no project" in ending.value.code
