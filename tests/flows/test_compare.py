"""The comparison as a person runs it. Takes a minute: `pytest -m slow tests/flows/test_compare.py`."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.workspace import make_workspace


@pytest.mark.slow
def test_generators_and_baselines_meet_in_one_table(tmp_path):
    workspace = tmp_path / "w"
    environment = make_workspace(workspace)
    Path(environment["PREFECT_HOME"]).mkdir(parents=True)  # Prefect makes the last folder of the path alone
    command = [sys.executable, "-m", "flows.compare", "--minutes", "0.01", "--generators", "rnn"]
    first = subprocess.run(command, cwd=workspace, env=environment, capture_output=True, text=True)
    assert first.returncode == 0, first.stdout + first.stderr
    table = pd.read_csv(workspace / "comparison/comparison.csv", keep_default_na=False)
    assert table["mse"].is_monotonic_increasing
    assert set(zip(table["generator"], table["objective"], strict=True)) == {
        ("rnn", "pixel"),
        ("rnn", "adversarial"),
        ("last_frame", ""),
        ("mean_frame", ""),
        ("background", ""),
        ("optical_flow", ""),
    }
    assert (workspace / "comparison/comparison.md").read_text() in first.stdout
    assert (workspace / "comparison/comparison.png").stat().st_size > 1000
