"""What a file or a folder of several videos holds, looked at in a worker process, because libraries in C read it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import VideoError
from pipeline.sources import lerobot, sequences
from pipeline.sources.extras import MissingPackage
from pipeline.sources.part import without_path


@dataclass(frozen=True)
class Order:
    """What is to be looked at."""

    container: str  # array | lerobot
    path: str
    files: list[str]  # of a folder, that may be read
    axes: str | None  # extract.array_axes
    camera: str | None  # extract.camera
    is_quick: bool = False  # without content hashes; of arrays only some values are looked at


@dataclass(frozen=True)
class Found:
    """The parts as dicts, for JSON; and why there are none, or not all."""

    parts: list[dict[str, Any]]
    reason: str = ""
    is_final: bool = True  # nothing but another file would change it


def inspect(order: Order, heartbeat: Callable[[], None], _count_errors: Callable[[], int]) -> Found:
    """The videos in what `order` names."""
    path = Path(order.path)
    try:
        if order.container == "lerobot":
            inspection = lerobot.inspect(path, order.files, order.camera, heartbeat, is_quick=order.is_quick)
        else:
            inspection = sequences.inspect(path, order.axes, heartbeat, is_quick=order.is_quick)
    except VideoError as error:
        return Found([], without_path(order.path, error), is_final=not isinstance(error, MissingPackage))
    return Found([asdict(part) for part in inspection.parts], inspection.reason)
