"""What would stand in the way, and what to do about it."""

import json
import shutil
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.project import doctor
from pipeline.project.doctor import examine

ROOT = Path(__file__).parents[3]


def found(folder, *checks):
    return [finding for check in checks for finding in check(folder)]


def project(folder, **values):
    text = (ROOT / "params.yaml").read_text()
    for before, after in values.items():
        key = before.replace("__", ".").rpartition(".")[2]
        text = "\n".join(f"  {key}: {after}" if line.startswith(f"  {key}:") else line for line in text.splitlines())
    (folder / "params.yaml").write_text(text)
    (folder / "dvc.yaml").write_text("stages: {}\n")
    return folder


def test_more_threads_than_cores_are_found(tmp_path, monkeypatch):
    folder = project(tmp_path, num_threads=64)
    monkeypatch.setattr(doctor, "core_limit", lambda: (1.5, "by the container's quota"))
    finding = found(folder, doctor._threads)[0]
    assert (finding.state, finding.remedy) == ("warn", "set train.num_threads to 1 in params.yaml")
    assert "64" in finding.text


def test_a_full_disk_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))
    assert [finding.state for finding in found(tmp_path, doctor._disk)] == ["warn", "warn"]


def test_a_wrong_key_and_a_folder_that_is_not_there_are_found(tmp_path):
    assert found(project(tmp_path, stride=0), doctor._project)[0].state == "fail"
    finding = found(project(tmp_path, videos="nowhere"), doctor._project)[0]
    assert (finding.state, finding.text) == ("fail", "nowhere: there is no such folder")


def test_an_api_that_is_named_and_silent_is_in_the_way_and_one_that_is_off_is_not(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    assert found(tmp_path, doctor._prefect)[0].state == "fail"
    monkeypatch.delenv("PREFECT_API_URL")
    monkeypatch.setattr(doctor.prefect_api, "LOCAL_API", "http://127.0.0.1:1/api")
    assert found(tmp_path, doctor._prefect)[0].state == "ok"


def test_a_check_that_fails_itself_does_not_end_the_others(tmp_path, monkeypatch):
    def _broken(folder):
        raise RuntimeError("no")
        yield

    monkeypatch.setattr(doctor, "CHECKS", [_broken, doctor._disk])
    assert [finding.name for finding in examine(tmp_path)] == ["broken", "disk", "temporary files"]


def test_the_exit_code_says_whether_something_is_in_the_way(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "CHECKS", [doctor._videos, doctor._disk])
    with pytest.raises(SystemExit) as ending:
        main(["doctor", str(tmp_path)])
    assert ending.value.code == 0
    assert "ok    videos: H.264 is written and read" in capsys.readouterr().out
    monkeypatch.setattr(doctor, "CHECKS", [doctor._project])
    with pytest.raises(SystemExit) as ending:
        main(["doctor", str(project(tmp_path, videos="nowhere")), "--json"])
    assert ending.value.code == "foreframe doctor: 1 of 1 checks failed"
    assert json.loads(capsys.readouterr().out)["findings"][0]["state"] == "fail"
