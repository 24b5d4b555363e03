"""A flow by hand ends when told to (SIGTERM, Ctrl-C): in order, without a traceback, whatever Prefect does then.

Prefect raises an exception where a signal is handled. Raised while a library calls back, it comes out as that
library's own error (findings/pydantic-serializers-swallow-signals.sh); raised while Prefect's server is gone, it is
followed by minutes of tries to tell that server.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

PATIENCE_SECONDS = 30.0  # for stages to end and their last outputs to be put back: longer than they are given
_told: list[int] = []  # the signals that have come


def told() -> bool:
    """Whether this process was told to end."""
    return bool(_told)


@contextmanager
def orderly() -> Iterator[None]:
    """What runs within ends this process as the signal would, where one came; at the latest after a while."""
    from prefect.utilities import engine  # takes seconds: not where nothing runs

    engine._prefect_sigterm_handler = _terminate  # type: ignore[assignment]
    if signal.getsignal(signal.SIGINT) in (signal.SIG_DFL, signal.default_int_handler):
        signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    except BaseException:
        if told():
            signal.signal(_told[0], signal.SIG_DFL)
            os.kill(os.getpid(), _told[0])
        raise
    finally:
        if signal.getsignal(signal.SIGINT) is _interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _terminate(number: int, *_: object) -> NoReturn:
    """In place of Prefect's handler of SIGTERM, which is there while a flow runs."""
    from prefect.exceptions import TerminationSignal

    _note(number)
    raise TerminationSignal(signal=number)


def _interrupt(number: int, *_: object) -> NoReturn:
    _note(number)
    raise KeyboardInterrupt


def _note(number: int) -> None:
    if not _told:
        late = threading.Timer(PATIENCE_SECONDS, os.kill, (os.getpid(), signal.SIGKILL))
        late.daemon = True
        late.start()
    _told.append(number)
