"""The retrain flow on a pipeline that copies what was prepared, with real frames, clips and tiny real models.

What a model predicts is one shade of grey, so that its error is known: the nearer to the videos' shade, the better.
"""

import hashlib
import json
import random
import re
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from flows import champions, promotion, retrain, version_tags
from flows.prefect_dvc.command import DVC
from pipeline import dvc_lock, model_dir, model_versions
from pipeline.data.clips import write_clips
from pipeline.errors import ModelError
from pipeline.model_dir import ModelCard
from pipeline.params import load_params
from tests.damage import flip_bit
from tests.flows.conftest import ROOT, ask, git_and_dvc, logs, task_runs
from tests.flows.test_promotion import git, in_force

PIPELINE = """
stages:
  extract: {cmd: cp -r prepared/frames data/frames, deps: [videos, prepared/frames], outs: [data/frames]}
  tensorize: {cmd: cp -r prepared/clips data/clips, deps: [data/frames], outs: [data/clips]}
  train: {cmd: cp -r prepared/model data/model, deps: [data/clips, prepared/model], outs: [data/model]}
  evaluate:
    cmd: mkdir -p data/metrics && cp prepared/metrics.json data/metrics/metrics.json
    deps: [data/clips, data/model]
    metrics: [{data/metrics/metrics.json: {cache: false}}]
  render: {cmd: mkdir -p data/renders && cp page.html data/renders/index.html, deps: [data/model], outs: [data/renders]}
artifacts:
  generator: {path: data/model, type: model}
"""
SHADE = 0.5  # of the videos, in [-1, 1]
BASELINES = {"last_frame": 0.1, "mean_frame": 0.09, "background": 9.0, "optical_flow": 0.11}  # MSE over 16 pixels


def prepare_model(shade: float, hidden_size: int = 1, *, data: str = "abc") -> None:
    """A model that predicts `shade` everywhere; another `hidden_size` or `data` is another one with the same error."""
    sizes = {"hidden_size": hidden_size, "num_layers": 1, "nonlinearity": "tanh"}
    card = ModelCard(
        name="rnn", sizes=sizes, frame_shape=(1, 4, 4), out_channels=1, noise_channels=0, task="predict",
        context=2, horizon=3, data=data, metrics={},
    )  # fmt: skip
    model = card.build()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.output.bias.fill_(np.arctanh(shade))
    shutil.rmtree("prepared/model", ignore_errors=True)
    model_dir.save(Path("prepared/model"), model, card)
    error = float(16 * ((shade - SHADE) / 2) ** 2)
    rows = {name: dict.fromkeys(["mae", "psnr", "ssim"], 1.0) | {"mse": mse} for name, mse in BASELINES.items()}
    rows["model"] = dict.fromkeys(["mae", "psnr", "ssim"], 1.0) | {"mse": error}
    Path("prepared/metrics.json").write_text(json.dumps({**rows, "useful_horizon": 1}))


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """Ten videos of one shade with a little noise, their clips, a model that is better than the baselines."""
    folder = git_and_dvc(tmp_path, monkeypatch)
    Path("dvc.yaml").write_text(PIPELINE)
    shutil.copy(ROOT / "pyproject.toml", "pyproject.toml")  # Prefect reads its settings there
    Path("page.html").write_text("<p>a page")
    Path("code.py").write_text("\n")
    Path(".gitignore").write_text("/data/*\n!/data/metrics/\n/models/\n")
    params = (ROOT / "params.yaml").read_text()
    Path("params.yaml").write_text(params.replace("videos: data/sample", "videos: videos"))
    frames, rng = Path("prepared/frames"), np.random.default_rng(0)
    frames.mkdir(parents=True)
    Path("videos").mkdir()
    Path("data").mkdir()
    rows = []
    for number in range(10):
        name = f"{number}.mp4"
        Path("videos", name).write_text(name)
        shade = rng.normal(SHADE, 0.05, (8, 4, 4, 1)).clip(-1, 1)
        np.save(frames / f"{number}.npy", ((shade + 1) * 127.5).round().astype(np.uint8))
        sha256 = hashlib.sha256(name.encode()).hexdigest()
        rows.append({"path": name, "status": "ok", "sha256": sha256, "stored_frames": 8, "array": f"{number}.npy"})
    columns = ["path", "status", "reason", "sha256", "num_frames", "fps", "height", "width", "duration_seconds"]
    pd.DataFrame(rows, columns=[*columns, "stored_frames", "array"]).to_csv(frames / "index.csv", index=False)
    stretches = [{"video": row["path"], "split": "test", "start": 0, "stop": 8, "num_clips": 2} for row in rows]
    write_clips(Path("prepared/clips"), pd.DataFrame(stretches), task="predict", context=2, horizon=3, stride=3)
    prepare_model(0.4)
    git("add", "-A")
    git("commit", "-qm", "start")
    return folder


def run(**options):
    return retrain.retrain(return_state=True, **options)


def test_the_first_model_is_promoted_then_nothing_is_new_then_a_new_video_redoes_what_depends_on_it(workspace, api):
    first = run()
    assert first.name == "Promoted v1.0.0", first.message
    assert "lower than the 0.09 of the best baseline, mean_frame: clears the margin of 1.0%" in first.message
    assert in_force() == "v1.0.0"

    second = run()
    assert second.name == "Nothing new"
    assert [name for name in task_runs(api, second.state_details.flow_run_id) if name != "log changes"] == []

    Path("videos/new.mp4").write_text("new")
    third = run()
    assert third.name == "Refused"  # the very same model: data/frames came out as before
    states = task_runs(api, third.state_details.flow_run_id)
    assert {name: states[name]["name"] for name in ("extract", "tensorize", "train", "evaluate", "render")} == {
        "extract": "Completed", "tensorize": "Cached", "train": "Cached", "evaluate": "Cached", "render": "Cached"
    }  # fmt: skip
    [entry] = ask(api, "flow_runs/filter", flow_runs={"id": {"any_": [str(third.state_details.flow_run_id)]}})
    assert "champion:v1.0.0" in entry["tags"]
    assert entry["name"].startswith("refused: 1 new video (data ")


def test_new_changed_and_removed_videos_are_named(workspace):
    shutil.copytree("prepared/frames", "data/frames")
    assert retrain.changed_videos(Path("videos"), load_params(Path("params.yaml")).extract) == []
    Path("videos/new.mp4").write_text("new")
    Path("videos/.hidden").write_text("no video")
    Path("videos/3.mp4").write_text("other bytes")
    Path("videos/5.mp4").unlink()
    assert retrain.changed_videos(Path("videos"), load_params(Path("params.yaml")).extract) == [
        "1 new in videos: new.mp4", "1 changed in videos: 3.mp4", "1 removed in videos: 5.mp4"
    ]  # fmt: skip


@pytest.mark.slow
def test_the_report_has_the_verdict_the_metrics_and_a_link_to_the_page(workspace, api):
    state = run()
    found = ask(api, "artifacts/filter", artifacts={"flow_run_id": {"any_": [str(state.state_details.flow_run_id)]}})
    artifacts = {artifact["key"]: artifact for artifact in found}
    report = artifacts["report"]["data"]
    assert artifacts["report"]["description"] == "v1.0.0 is the new champion"
    assert report.startswith("**mse 0.04 is 55.6% lower than the 0.09 of the best baseline")
    assert re.search(r"^\| mean frame +\| 0\.09 ", report, re.MULTILINE)
    assert re.search(r"^\| evaluate +\| Completed \|$", report, re.MULTILINE)
    first, *others = [row["method"] for row in json.loads(artifacts["metrics"]["data"])]
    assert (first, sorted(others)) == ("candidate", sorted(name.replace("_", " ") for name in BASELINES))
    assert Path("data/renders/index.html").resolve().as_uri() in artifacts["rendered-page"]["data"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shade", "hidden_size", "outcome", "reason"),
    [
        (0.2, 1, "Refused", "higher than the champion's"),
        (0.4, 2, "Refused", "0.0% lower than the champion's"),
        (0.48, 1, "Promoted v2.0.0", "clears the margin"),
        (float("nan"), 1, "Refused", "the candidate's error is not a finite number on 20 of 20 clips"),
    ],
    ids=["worse", "equal", "better", "broken"],
)
def test_a_candidate_is_promoted_or_refused_and_can_be_rolled_back(workspace, api, shade, hidden_size, outcome, reason):
    run()
    prepare_model(shade, hidden_size)
    state = run()
    assert state.name == outcome
    assert reason in state.message
    if state.name == "Refused":
        assert in_force() == "v1.0.0"
        with pytest.raises(ModelError, match="no version before"):
            champions.rollback()
        assert in_force() == "v1.0.0"
    else:
        assert champions.rollback() == "v1.0.0"
        assert in_force() == "v1.0.0"
        assert run().name == "Nothing new"  # what was rolled back is not promoted again


def reproduce_by_hand() -> None:
    """What the stages leave, only `train` by DVC itself, which takes seconds for every stage."""
    for name in ("frames", "clips"):
        shutil.copytree(f"prepared/{name}", f"data/{name}", dirs_exist_ok=True)
    Path("data/metrics").mkdir(exist_ok=True)
    shutil.copy("prepared/metrics.json", "data/metrics/metrics.json")
    subprocess.run([*DVC, "repro", "--quiet", "--single-item", "train"], check=True)


def promote_by_hand() -> str:
    """What a promotion leaves, without Prefect: version, champion, tags; of the pipeline as it is."""
    reproduce_by_hand()
    revision = promotion._commit(git("rev-parse", "HEAD"), ["dvc.lock"], "promote", everything=True)
    facts = {"videos": [], "scores": {"videos": {}}}
    version = model_versions.store(Path("data/model"), facts, taken=version_tags.versions())
    version_tags.register(version, revision, "why")
    version_tags.assign(version, "why")
    model_versions.activate(version)
    return version


def compared() -> tuple[model_versions.Verdict, dict]:
    return retrain.compare.fn(load_params(Path("params.yaml")))


def test_a_damaged_champion_stops_and_does_not_lower_the_bar(workspace):
    promote_by_hand()
    prepare_model(0.38)  # worse than the champion, better than the baselines
    reproduce_by_hand()
    assert not compared()[0].better
    for seed in range(6):
        path = model_versions.champion() / ("model.safetensors" if seed % 2 else "model.json")
        content = path.read_bytes()
        flip_bit(path, random.Random(seed))
        remedies = ".*retrain restore.*foreframe rollback.*backup"
        with pytest.raises(ModelError, match=rf"v1\.0\.0/{path.name}: is damaged {remedies}"):
            compared()
        path.write_bytes(content)
    flip_bit(path, random.Random(seed))
    assert champions.restore() == "v1.0.0"
    verdict, _ = compared()
    assert (verdict.better, in_force()) == (False, "v1.0.0")
    assert model_versions.record(model_versions.champion())["scores"] == {"videos": {}}  # its record was sound


def test_a_champion_of_another_task_counts_as_none_and_that_is_said(workspace):
    promote_by_hand()
    prepare_model(0.38)
    reproduce_by_hand()
    champion = model_versions.champion()
    shutil.rmtree(champion)
    card = model_dir.load_card(Path("data/model")).model_copy(update={"frame_shape": (1, 8, 8)})
    model_dir.save(Path("other"), card.build(), card)
    model_versions.activate(model_versions.store(Path("other"), {}))
    verdict, scores = compared()
    assert verdict.better
    assert "the champion is whole, but not made for today's clips or code (the model is for frames of" in verdict.reason
    assert "so the candidate is compared with the non-learned baselines: mse" in verdict.reason
    assert "champion" not in scores


def test_a_champion_that_a_clean_took_comes_back_from_dvcs_cache_and_so_does_the_one_before(workspace):
    hashes = {}
    for shade in (0.4, 0.48):
        prepare_model(shade)
        version = promote_by_hand()
        hashes[version] = model_versions.content_hash(model_versions.champion())
    shutil.rmtree("models")
    assert not compared()[0].better  # than itself, which it is compared with again
    assert in_force() == "v2.0.0"
    shutil.rmtree("models")
    assert champions.rollback() == "v1.0.0"
    assert in_force() == "v1.0.0"
    assert {name: model_versions.content_hash(model_versions.MODELS / name) for name in hashes} == hashes
    assert version_tags.assigned() == "v1.0.0"


def test_a_champion_that_is_nowhere_stops_and_the_line_says_how_to_begin_anew(workspace):
    promote_by_hand()
    shutil.rmtree("models")
    shutil.rmtree(".dvc/cache")
    with pytest.raises(ModelError, match=r"v1\.0\.0.* is not here .*git tag 'generator#champion!#2'"):
        compared()
    with pytest.raises(ModelError, match=r"neither DVC's cache nor a remote has it"):
        champions.rollback()
    git("tag", "generator#champion!#2")
    assert compared()[0].better
    with pytest.raises(ModelError, match=r"no model was promoted yet.*git tag --list 'generator@\*'"):
        champions.rollback()


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_champion_whose_object_in_the_cache_is_damaged_is_not_brought_back(workspace, name):
    promote_by_hand()
    md5 = dvc_lock.file_md5(Path("data/model", name))
    flip_bit(Path(".dvc/cache/files/md5", md5[:2], md5[2:]), random.Random(0))
    shutil.rmtree("models")
    with pytest.raises(ModelError, match=r"v1\.0\.0: (its copy in DVC's cache is damaged|neither DVC's cache)"):
        champions.restore()
    assert not (model_versions.MODELS / "v1.0.0").exists()


def test_a_champion_link_that_leads_nowhere_stops(workspace):
    promote_by_hand()
    link = model_versions.MODELS / "champion"
    link.unlink()
    link.symlink_to("v9.0.0")
    with pytest.raises(ModelError, match=r"champion: leads to v9\.0\.0, which is not there"):
        compared()
    assert champions.restore() == "v1.0.0"


def prepare_trial() -> None:
    """The model of train.seed 0 is good, that of 1 worse, that of 2 better."""
    for seed, shade in ((1, 0.2), (2, 0.48), (0, 0.4)):  # that of 1 is worse than the baselines, too
        prepare_model(shade)
        shutil.copytree("prepared/model", f"prepared/model-{seed}")
        shutil.copy("prepared/metrics.json", f"prepared/metrics-{seed}.json")
    text = PIPELINE.replace("cp -r prepared/model data/model", '"cp -r prepared/model-${train.seed} data/model"')
    text = text.replace("prepared/model]", '"prepared/model-${train.seed}"]')
    Path("dvc.yaml").write_text(text.replace("prepared/metrics.json", "prepared/metrics-${train.seed}.json"))


def contents() -> dict[str, bytes]:
    """What a run may change, less what is Prefect's, DVC's and the models'."""
    paths = [Path("params.yaml"), Path("dvc.lock"), *Path("data").rglob("*"), *Path("models").glob("*.json")]
    return {str(path): path.read_bytes() for path in paths if path.is_file()}


@pytest.mark.slow
def test_after_a_refused_run_with_overrides_all_is_as_before_and_after_a_promoted_one_they_stay(workspace, api):
    prepare_trial()
    assert run().name == "Promoted v1.0.0"
    before = contents()
    refused = run(overrides=["train.seed=1"])
    assert refused.name == "Refused"
    assert contents() == before
    assert run().name == "Nothing new"
    found = ask(api, "artifacts/filter", artifacts={"flow_run_id": {"any_": [str(refused.state_details.flow_run_id)]}})
    artifacts = {artifact["key"]: artifact["data"] for artifact in found}
    assert "\n    python -m flows.repro -S train.seed=1\n" in artifacts["report"]
    assert "rendered-page" not in artifacts  # it is the one before again
    assert run(overrides=["train.seed=1"]).name == "Refused"  # once more, from DVC's cache

    assert run(overrides=["train.seed=2"]).name == "Promoted v2.0.0"
    assert load_params(Path("params.yaml")).train.seed == 2
    assert run().name == "Nothing new"


@pytest.mark.slow
def test_where_there_is_nothing_to_go_back_to_a_refused_run_stays(workspace, api):
    prepare_trial()
    Path("prepared/metrics-1.json").write_text(
        Path("prepared/metrics-1.json").read_text().replace('"mse": 0.36', '"mse": 9')
    )
    assert run(overrides=["train.seed=1"]).name == "Refused"  # the first run of all
    assert load_params(Path("params.yaml")).train.seed == 1
    assert run().name == "Nothing new"

    assert run(overrides=["train.seed=0"]).name == "Promoted v1.0.0"
    shutil.rmtree(".dvc/cache")
    model = model_versions.content_hash(Path("prepared/model-1"))
    state = run(overrides=["train.seed=1"])
    assert state.name == "Refused"
    assert load_params(Path("params.yaml")).train.seed == 1
    assert model_versions.content_hash(Path("data/model")) == model
    lines = logs(api, state.state_details.flow_run_id)
    assert any("cannot be brought back, what it has made stays" in line for line in lines)
    assert run().name == "Nothing new"


@pytest.mark.slow
def test_a_flow_with_a_damaged_champion_fails_before_it_trains(workspace, api):
    run()
    weights = model_versions.champion() / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    prepare_model(0.38)  # worse than the champion was
    state = run()
    assert state.is_failed()
    assert "models/v1.0.0/model.safetensors: is damaged" in state.message
    assert "extract" not in task_runs(api, state.state_details.flow_run_id)
    champions.restore()
    assert run().name == "Refused"


@pytest.mark.slow
def test_a_run_that_was_stopped_before_its_verdict_is_made_good(workspace, api, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(retrain, "promotion", None)  # anything that breaks the flow
        assert run().is_failed()
    assert run().name == "Promoted v1.0.0"


@pytest.mark.slow
def test_a_failure_is_told_to_the_address_that_is_set(workspace, api, monkeypatch):
    received = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Receiver) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        monkeypatch.setenv("FOREFRAME_NOTIFY", f"json://127.0.0.1:{service.server_port}")
        assert run(overrides=["train.seed=x"]).is_failed()
        assert run().name == "Promoted v1.0.0"
        service.shutdown()
    assert [message["title"] for message in received] == [
        "foreframe: retrain Failed",
        "foreframe: v1.0.0 is the new champion",
    ]
    assert "train.seed: Input should be a valid integer" in received[0]["message"]
