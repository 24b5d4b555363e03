"""What a frame carries beside its picture, of which PyAV knows fewer kinds than the FFmpeg in it."""

from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import SideDataContainer, Type
from numpy.typing import NDArray

MOST_KINDS = 64  # twice as many as FFmpeg 8 has


def display_matrix(frame: av.VideoFrame) -> NDArray[np.int32] | None:
    """How a player turns the picture: the 9 numbers of FFmpeg's display matrix, by rows; None where nothing says so."""
    sides: Any = SideDataContainer
    # not frame.side_data, which makes a cycle: the memory of the picture would wait for the garbage collector
    try:
        found = sides(frame)
    except ValueError:  # a kind of which it has no name, such as EXIF
        found = sides(_without_unknown(frame))
    matrix = found.get("DISPLAYMATRIX")
    return None if matrix is None else np.frombuffer(cast(Any, matrix), dtype=np.int32).copy()


def _without_unknown(frame: av.VideoFrame) -> av.VideoFrame:
    """The frame, its picture shared, without what PyAV cannot name."""
    known: set[Any] = {kind.value for kind in Type}
    graph = Graph()
    last = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000))
    for number in range(MOST_KINDS):
        if number not in known:
            step = graph.add("sidedata", f"mode=delete:type={number}")
            last.link_to(step)
            last = step
    last.link_to(graph.add("buffersink"))
    graph.configure()
    graph.push(frame)
    return graph.vpull()
