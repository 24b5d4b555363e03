"""A flow by hand that is told to end."""

import os
import signal
import subprocess
import sys

import pytest

from tests.flows.conftest import ROOT

RUN = """
import os, signal, time
from prefect.utilities.engine import capture_sigterm
from flows import at_the_prompt, termination

def work():
    with capture_sigterm():
        try:
            os.kill(os.getpid(), signal.{signal})
            time.sleep(60)
        except BaseException:
            {then}

termination.PATIENCE_SECONDS = 0.5
at_the_prompt(work)
"""


def ended(number: signal.Signals, then: str) -> tuple[int, str]:
    """The exit code and the messages of a run that does something else with the exception that a signal raises."""
    code = RUN.format(signal=number.name, then=then)
    environment = {**os.environ, "PREFECT_API_URL": "http://127.0.0.1:9/api"}  # which a function does not ask
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT, env=environment, capture_output=True, text=True, preexec_fn=heed_ctrl_c, timeout=120,
    )  # fmt: skip
    return ran.returncode, ran.stderr


def heed_ctrl_c() -> None:
    """In a new process: what was started by a shell's `&` ignores it, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_without_a_traceback_where_a_library_makes_another_error_of_it(number):
    assert ended(number, "raise ValueError from None") == (-number, "")


def test_a_run_that_goes_on_in_spite_of_it_is_ended_after_a_while():
    assert ended(signal.SIGTERM, "time.sleep(60)") == (-signal.SIGKILL, "")


@pytest.mark.parametrize("command", ["deploy", "repro"])
def test_ctrl_c_while_prefect_is_imported_is_no_traceback(command):
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", f"flows.{command}"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_ctrl_c,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "prefect." in line:
            process.send_signal(signal.SIGINT)
            break
    assert [line for line in process.stderr if not line.startswith("import time:")] == []
    assert process.wait() == -signal.SIGINT  # so that a script that calls it ends too
