"""Ctrl-C ends a command of the flows in one line, in the seconds that imports take too."""

import signal
import subprocess
import sys

import pytest

from tests.flows.conftest import ROOT


@pytest.mark.parametrize("command", ["deploy", "repro"])
def test_ctrl_c_while_prefect_is_imported_is_one_line(command):
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", f"flows.{command}"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "prefect." in line:
            process.send_signal(signal.SIGINT)
            break
    said = [line for line in process.stderr.read().splitlines() if not line.startswith("import time:")]
    assert process.wait() == -signal.SIGINT  # so that a script that calls it ends too
    assert said == ["stopped"]
