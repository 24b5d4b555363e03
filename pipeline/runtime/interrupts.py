"""Ctrl-C while a command imports what it needs, for seconds, ends it as SIGTERM does: without a traceback."""

import signal
import sys


def end_quietly() -> None:
    """From now on Ctrl-C ends `python -m …` at once; a signal that is ignored, or is somebody else's, stays so."""
    if sys.argv[0] == "-m" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # "-m": until it is found
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def interruptible() -> None:
    """From now on Ctrl-C is a KeyboardInterrupt again: there is something to put in order."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
