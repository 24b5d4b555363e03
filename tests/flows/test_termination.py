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
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    return ran.returncode, ran.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_without_a_traceback_where_a_library_makes_another_error_of_it(number):
    assert ended(number, "raise ValueError from None") == (-number, "")


def test_a_run_that_goes_on_in_spite_of_it_is_ended_after_a_while():
    assert ended(signal.SIGTERM, "time.sleep(60)") == (-signal.SIGKILL, "")


def test_ctrl_c_while_a_command_imports_what_it_needs_is_no_traceback():
    code = (
        "import signal, sys; sys.argv[0] = '-m'; import flows; before = signal.getsignal(signal.SIGINT);"
        "from pipeline.runtime.interrupts import interruptible; interruptible();"
        "print(before is signal.SIG_DFL, signal.getsignal(signal.SIGINT).__name__)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout == "True default_int_handler\n"
