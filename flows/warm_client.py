"""`python -I -S warm_client.py MODULE`: run a module in a fork of the warm process (warm.py), or as `python -m MODULE`.

It stands for the fork towards whoever started it: it passes signals on, and ends as the fork ends; the fork ends with
it. It imports nothing but what Python has, to be there in a few hundredths of a second.
"""

import json
import os
import signal
import socket
import sys
from contextlib import suppress

SOCKET = "FOREFRAME_WARM"  # environment variable: where the warm process listens; set by flows.deploy
PID_BYTES = 8


def main(module: str) -> None:
    """Ask for the fork; where there is none, become `python -m MODULE`."""
    with socket.socket(socket.AF_UNIX) as channel:
        pid = _ask(channel, module)
        if not pid:
            os.execv(sys.executable, [sys.executable, "-m", module])  # noqa: S606
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda received, _: _pass_on(pid, received))
        status = b""
        while part := channel.recv(16):
            status += part
    if not status:  # killed
        os.kill(os.getpid(), signal.SIGKILL)
    sys.exit(int(status))


def _ask(channel: socket.socket, module: str) -> int:
    """The number of the fork; 0 where the warm process is not there, or is no longer what the files say."""
    try:
        channel.connect(os.environ[SOCKET])
        order = json.dumps({"module": module, "folder": os.getcwd(), "environment": dict(os.environ)})  # noqa: PTH109
        content = order.encode(errors="surrogateescape")
        socket.send_fds(channel, [len(content).to_bytes(PID_BYTES, "big")], [1, 2])
        channel.sendall(content)
        return int.from_bytes(channel.recv(PID_BYTES, socket.MSG_WAITALL), "big")
    except (OSError, KeyError):
        return 0


def _pass_on(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


if __name__ == "__main__":
    main(sys.argv[1])
