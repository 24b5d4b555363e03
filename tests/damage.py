"""Damage to files, as a disk or a copy does it."""

import random
import socket
from contextlib import chdir
from pathlib import Path


def flip_bit(path: Path, rng: random.Random, *, first: int = 0) -> int:
    """Flip one bit of the file at a random position from byte `first` on; returns the byte's position.

    The file is written anew, so that a link into a cache stays what it was, with its mode: DVC takes what is read-only
    in its cache for whole.
    """
    content, mode = bytearray(path.read_bytes()), path.stat().st_mode
    position = rng.randrange(first, len(content))
    content[position] ^= 1 << rng.randrange(8)
    path.unlink()
    path.write_bytes(content)
    path.chmod(mode)
    return position


def socket_at(path: Path) -> None:
    """A socket where a file is expected: no regular file, and whoever opens it all the same gets an error at once."""
    with socket.socket(socket.AF_UNIX) as server, chdir(path.parent):  # its address has room for short paths only
        server.bind(path.name)
