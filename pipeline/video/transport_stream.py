"""MPEG transport streams, packet by packet: where recordings were joined, and whether one was to go on.

Packets of each kind are numbered from 0 to 15 and round again, so that a gap shows (ISO/IEC 13818-1, 2.4.3.3). Where
two files were joined by `cat` the numbers jump as well, but nothing is missing.
"""

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SYNC = 0x47
LENGTHS = {188: 0, 192: 4}  # of a packet, and where in it the transport stream's own begins
CHUNK_PACKETS = 1 << 16
PROGRAM_TABLE = 0  # number of the packets that every transport stream begins with
TABLES, EMPTY = range(0x20), 0x1FFF  # numbers of packets of tables, but for those of programs, and of filling
TAIL_PACKETS = 256  # at the end of a file that are looked at


@dataclass(frozen=True)
class _Packets:
    """The header of every packet of a file, one value each."""

    length: int
    kinds: NDArray[np.int64]
    counters: NDArray[np.int64]
    starts: NDArray[np.bool_]  # whether a picture or a table begins in it
    has_payload: NDArray[np.bool_]
    is_stuffed: NDArray[np.bool_]  # whether it was filled up, as where a picture ends


def joins(file: int, kind: int) -> set[int]:
    """Places in the open file `file` of the last two pictures before another recording begins, of the stream `kind`.

    There a picture ends, the tables of a program come anew, uncounted, and another picture begins. FFmpeg takes the
    jump for damage of one of the two: its parser returns a picture when the next is read.
    """
    packets = _read(file)
    if packets is None:
        return set()
    own = np.flatnonzero((packets.kinds == kind) & packets.has_payload)
    jumps = (packets.counters[own][1:] - packets.counters[own][:-1]) % 16 != 1
    pictures = own[packets.starts[own]]
    found = set()
    for before, after in zip(own[:-1][jumps], own[1:][jumps], strict=True):
        if packets.starts[after] and packets.is_stuffed[before] and _tables_begin(packets, before, after):
            number = int(np.searchsorted(pictures, before, side="right"))
            found |= {int(place) * packets.length for place in pictures[max(0, number - 2) : number]}
    return found


def _tables_begin(packets: _Packets, before: int, after: int) -> bool:
    """Whether a program's table is between two packets, and not counted on."""
    between = np.arange(before + 1, after)
    if not (packets.kinds[between] == PROGRAM_TABLE).any():
        return False
    for place in between:
        earlier = np.flatnonzero(packets.kinds[:place] == packets.kinds[place])
        if len(earlier) and (packets.counters[place] - packets.counters[earlier[-1]]) % 16 != 1:
            return True
    return False


def was_to_go_on(file: int) -> bool:
    """Whether the open file `file` ends with tables of programs: writers put them before pictures, here before none.

    So does what was cut where a key frame begins. Cut before the tables it is as any shorter recording is.
    """
    layout = _layout(file)
    if layout is None:
        return False
    length, offset = layout
    end = os.fstat(file).st_size // length * length
    start = max(0, end - TAIL_PACKETS * length)
    data = os.pread(file, end - start, start)
    found = False
    for place in range(len(data) - length + offset, -1, -length):
        packet = data[place : place + 188]
        kind = (packet[1] & 0x1F) << 8 | packet[2]
        if kind == PROGRAM_TABLE:
            found = True
        elif kind not in TABLES and kind != EMPTY and packet[3] & 0x10 and not _is_table(packet):
            break
    return found


def _is_table(packet: bytes) -> bool:
    """Whether the packet begins the table of a program, of which streams it consists (ISO/IEC 13818-1, 2.4.4.8)."""
    content = packet[5 + packet[4] :] if packet[3] & 0x20 else packet[4:]
    return bool(packet[1] & 0x40) and len(content) > 1 and content[1 + content[0] :][:1] == b"\x02"


def _layout(file: int) -> tuple[int, int] | None:
    """(length of a packet, where in it the transport stream's own begins) of the open file `file`, if it is one."""
    head = os.pread(file, 1024, 0)
    for length, offset in LENGTHS.items():
        if len(head) > 3 * length and all(head[offset + number * length] == SYNC for number in range(3)):
            return length, offset
    return None


def _read(file: int) -> _Packets | None:
    layout = _layout(file)
    if layout is None:
        return None
    length, offset = layout
    size = os.fstat(file).st_size
    headers = []
    for start in range(0, size - length + 1, length * CHUNK_PACKETS):
        data = np.frombuffer(os.pread(file, length * CHUNK_PACKETS, start), np.uint8)
        rows = data[: len(data) // length * length].reshape(-1, length)[:, offset : offset + 5]
        if (rows[:, 0] != SYNC).any():
            return None
        headers.append(rows.astype(np.int64))
    _, second, third, fourth, fifth = np.concatenate(headers).T
    return _Packets(
        length,
        (second & 0x1F) << 8 | third,
        fourth & 0x0F,
        second & 0x40 != 0,
        fourth & 0x10 != 0,
        (fourth & 0x20 != 0) & (fifth > 0),
    )
