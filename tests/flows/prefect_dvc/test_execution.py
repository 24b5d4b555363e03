"""dvc.yaml as a Prefect run, on a pipeline of shell commands: it knows no stage by name."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from dvc.cli import main

from flows import repro
from flows.prefect_dvc import execution
from flows.prefect_dvc.command import DVC
from pipeline import dvc_lock
from pipeline.errors import DataError
from tests.damage import flip_bit
from tests.flows.conftest import ask, git_and_dvc, logs, task_runs

ROOT = Path(__file__).parents[3]


def states(api, state):
    return {name: run["name"] for name, run in task_runs(api, state.state_details.flow_run_id).items()}


def test_every_stage_is_a_task_and_a_second_run_is_cached(diamond, api):
    first = repro.repro(return_state=True)
    assert states(api, first) == dict.fromkeys(["words", "count", "sort", "join"], "Completed")
    assert Path("joined").read_text() == "2\na\nb\n"

    second = repro.repro(return_state=True)
    assert states(api, second) == dict.fromkeys(["words", "count", "sort", "join"], "Cached")

    # the same words in another order: count's result does not change... but sort is run for nothing, and join is not
    Path("words.txt").write_text("a\nb\n")
    third = repro.repro(return_state=True)
    assert states(api, third) == {"words": "Completed", "count": "Completed", "sort": "Completed", "join": "Cached"}

    # DVC has the result of the first words: it runs nothing
    Path("words.txt").write_text("b\na\n")
    fourth = repro.repro(["sort"], return_state=True)
    assert states(api, fourth) == {"words": "Cached", "sort": "Cached"}
    assert Path("words").read_text() == "b\na\n"


def test_names_of_stages_and_outputs_may_hold_what_prefect_takes_not(diamond, api):
    Path("dvc.yaml").write_text(
        "stages:\n  a_B:\n    foreach: [x]\n    do:\n      cmd: echo step 1/2; echo y > 'o u#t'\n"
        "      deps: [words.txt]\n      outs: ['o u#t']\n"
    )
    state = repro.repro(return_state=True)
    assert states(api, state) == {"a_B@x": "Completed"}
    identity = str(state.state_details.flow_run_id)
    [progress] = ask(api, "artifacts/filter", artifacts={"flow_run_id": {"any_": [identity]}})
    assert progress["key"] == "a-b-x-progress"
    [entry] = ask(api, "flow_runs/filter", flow_runs={"id": {"any_": [identity]}})
    assert entry["name"] == "repro all"


def test_a_failure_says_its_last_lines_and_leaves_the_last_good_outputs(diamond, api):
    repro.repro()
    good = Path("count.py").read_text()
    Path("count.py").write_text(good + "print('about to fail'); raise SystemExit('out of numbers')\n")
    failed = repro.repro(return_state=True)
    assert failed.is_failed()
    runs = task_runs(api, failed.state_details.flow_run_id)
    assert {name: run["name"] for name, run in runs.items()} == {
        "words": "Cached", "count": "Failed", "sort": "Cached", "join": "NotReady"
    }  # fmt: skip
    assert "about to fail\nout of numbers" in runs["count"]["message"]
    assert "not run: join" in failed.message
    assert Path("count").read_text() == "2\n"  # DVC deletes both before the stage starts
    assert json.loads(Path("score.json").read_text()) == {"n": 2}

    Path("count.py").write_text(good + "# mended\n")
    assert states(api, repro.repro(return_state=True))["count"] == "Completed"


@pytest.mark.slow
def test_output_is_in_the_log_while_the_stage_runs_and_independent_stages_run_side_by_side(diamond, api):
    # each waits for the other's sign: one after the other they would never end
    for mine, other in ("ab", "ba"):
        Path(f"{mine}.sh").write_text(
            f"echo {mine} is there; touch {mine}.sign; "
            f"for i in $(seq 300); do [ -e {other}.sign ] && echo {mine} > {mine} && exit; sleep .1; done; exit 1"
        )
    Path("dvc.yaml").write_text(
        "stages:\n  a: {cmd: sh a.sh, deps: [a.sh], outs: [a]}\n  b: {cmd: sh b.sh, deps: [b.sh], outs: [b]}\n"
    )
    state = repro.repro(return_state=True)
    assert states(api, state) == {"a": "Completed", "b": "Completed"}
    for _ in range(50):
        if {"a is there", "b is there"} <= set(logs(api, state.state_details.flow_run_id)):
            break
        time.sleep(0.1)
    else:
        raise AssertionError(logs(api, state.state_details.flow_run_id))


HOLDER = """
import sys
from pathlib import Path
from flows.prefect_dvc import graph
from flows.prefect_dvc.guards import Guards
guards = Guards(Path())
run = guards.start(next(stage.order for stage in graph.plan() if stage.name == "count"))
sys.stdin.read()
"""  # holds a stage, as a flow does


def alive(mark):
    """Processes whose command line holds `mark`."""
    return [p for p in psutil.process_iter(["cmdline"]) if any(mark in part for part in p.info["cmdline"] or [])]


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.mark.parametrize(
    "end",
    [
        "kill the caller",
        pytest.param("close the pipe", marks=pytest.mark.slow),
        pytest.param("ignore SIGTERM", marks=pytest.mark.slow),
    ],
)
def test_a_stage_ends_with_its_caller_and_its_outputs_are_put_back(diamond, end):
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], check=True)
    lock = Path("dvc.lock").read_bytes()
    mark = f"{1000 + len(end)}.{os.getpid()}"  # seconds of a sleep, to tell it from all others
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" if end == "ignore SIGTERM" else ""
    Path("count.py").write_text(
        f"{stubborn}import pathlib, subprocess, time\npathlib.Path('started').touch()\n"
        f"subprocess.Popen(['sleep', '{mark}']); time.sleep({mark})\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE)
    wait_for(lambda: Path("started").exists(), 120)
    wait_for(lambda: alive(mark), 60)
    begin = time.monotonic()
    if end == "kill the caller":
        holder.send_signal(signal.SIGKILL)
    holder.stdin.close()
    holder.wait()
    wait_for(lambda: not alive(mark) and not alive(str(Path.cwd())), 30)  # the guard's command names the project
    assert time.monotonic() - begin < 30  # 10 on a quiet machine
    assert Path("count").read_text() == "2\n"
    assert json.loads(Path("score.json").read_text()) == {"n": 2}
    assert Path("dvc.lock").read_bytes() == lock
    Path("count.py").write_text("open('count', 'w').write('3\\n'); open('score.json', 'w').write('{}')\n")
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], check=True)
    assert Path("joined").read_text() == "3\na\nb\n"


def test_wrong_overrides_fail_the_run_before_any_stage(diamond, api):
    state = repro.repro(overrides=["train.seed=x"], return_state=True)
    assert state.is_failed()
    assert "train.seed: Input should be a valid integer" in state.message
    assert task_runs(api, state.state_details.flow_run_id) == {}


def test_a_wrong_params_file_fails_the_run_before_any_stage(diamond, api):
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("promote:", "promote:\n  margim: 1", 1))
    state = repro.repro(return_state=True)
    assert state.is_failed()
    assert "params.yaml: promote.margim: is no parameter (got 1)" in state.message
    assert task_runs(api, state.state_details.flow_run_id) == {}


@pytest.mark.slow
def test_a_retry_of_the_run_runs_the_failed_stage_and_what_waited_for_it(diamond, api):
    Path("count.py").write_text(
        "import pathlib as p\n"
        "if not p.Path('tried').exists():\n    p.Path('tried').touch()\n    raise SystemExit('not yet')\n"
        "p.Path('count').write_text('2\\n')\np.Path('score.json').write_text('{}')\n"
    )
    state = repro.repro.with_options(retries=1, retry_delay_seconds=0)(return_state=True)
    assert state.is_completed(), state.message
    assert states(api, state) == {"words": "Cached", "count": "Completed", "sort": "Cached", "join": "Completed"}


def test_what_dvc_restores_from_a_damaged_cache_is_found(tmp_path, monkeypatch):
    git_and_dvc(tmp_path, monkeypatch)
    Path("dvc.yaml").write_text("stages:\n  a: {cmd: mkdir d && cp in d/x && cp in d/y, deps: [in], outs: [d]}\n")
    Path("in").write_text("content " * 100)
    subprocess.run([*DVC, "repro", "--quiet"], check=True)
    execution.check_restored(["d"])
    [cached] = [path for path in Path(".dvc/cache/files/md5").glob("*/*") if path.suffix == ""]
    flip_bit(cached, random.Random(0))
    shutil.rmtree("d")
    subprocess.run([*DVC, "repro", "--quiet"], check=True)  # from its cache, without a word
    assert Path("d/x").read_text() != "content " * 100
    with pytest.raises(DataError, match=r"what DVC restored is damaged:\n\.dvc/cache.*remove it, then `dvc fetch d`"):
        execution.check_restored(["d"])
    for line in dvc_lock.restored_faults(Path(), ["d"]):  # as each line says
        Path(line.partition(": ")[0]).unlink()
    subprocess.run([*DVC, "repro", "--quiet", "--force", "a"], check=True)
    execution.check_restored(["d"])
    assert Path("d/y").read_text() == "content " * 100


def test_what_a_remote_has_mends_a_damaged_cache_as_the_operations_page_says(diamond, tmp_path):
    assert main(["remote", "add", "-q", "-d", "store", str(tmp_path / "remote")]) == 0
    assert main(["repro", "-q", "words"]) == 0
    assert main(["push", "-q"]) == 0
    [stored] = [path for path in Path(".dvc/cache/files/md5").rglob("*") if path.is_file()]
    flip_bit(stored, random.Random(0))  # it stays read-only: DVC hashes again what is not
    damaged = stored.read_bytes()
    Path("words").unlink()
    assert main(["pull", "-q", "words"]) == 0
    assert Path("words").read_bytes() == damaged  # DVC alone takes it for whole
    assert any(str(stored) in fault for fault in dvc_lock.restored_faults(Path(), ["words"]))
    stored.unlink()
    Path("words").unlink()
    assert main(["pull", "-q", "words"]) == 0
    assert Path("words").read_text() == "b\na\n"
    assert list(dvc_lock.restored_faults(Path(), ["words"])) == []
