"""A list of videos, as archives are used: a .csv, or what else pandas reads, with path, split, times and target."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import DataError
from pipeline.sources.extras import imported
from pipeline.sources.sequences import SPLITS

if TYPE_CHECKING:
    import pandas as pd  # most of a second, which only lists need


def _separated(path: Path, separator: str) -> "pd.DataFrame":
    import pandas as pd

    return pd.read_csv(path, dtype=str, keep_default_na=False, sep=separator)


def _csv(path: Path) -> "pd.DataFrame":
    """Parted by commas, or by semicolons as spreadsheets do where the comma is for decimals."""
    with path.open(encoding="utf-8-sig") as file:
        header = file.readline().replace('"', "").strip()
    if ";" not in header or "path" not in header.split(";"):
        return _separated(path, ",")
    table = _separated(path, ";")
    for name in {"start_seconds", "stop_seconds"} & set(table.columns):
        table[name] = table[name].str.replace(",", ".")
    return table


def _jsonl(path: Path) -> "pd.DataFrame":
    import pandas as pd

    return pd.read_json(path, dtype=False, lines=True)


def _parquet(path: Path) -> "pd.DataFrame":
    import pandas as pd

    imported("pyarrow")
    return pd.read_parquet(path)


READERS: dict[str, Callable[[Path], "pd.DataFrame"]] = {
    ".csv": _csv,
    ".tsv": lambda path: _separated(path, "\t"),
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass(frozen=True)
class Row:
    """One video of a list."""

    path: str  # relative to the folder of the list, or absolute
    split: str  # train | val | test | "": not said
    start_seconds: float | None  # the part of the video that counts, half-open; None: from its start
    stop_seconds: float | None  # None: to its end
    target: str  # what `path` is to be translated to; "": nothing


def is_list(path: Path) -> bool:
    """Whether the file at `path` is a list of videos, by its name."""
    return path.suffix.lower() in READERS


def read_list(path: Path) -> list[Row]:
    """The rows of the list at `path`, in their order.

    Columns: `path`, and if wanted `split`, `start_seconds`, `stop_seconds`, `target`; others are not read. Raises
    DataError, with the line, where a value is none, and where one video is in two splits.
    """
    try:
        table = READERS[path.suffix.lower()](path)
    except (ValueError, OSError, UnicodeError) as error:
        raise DataError(f"{path}: cannot be read as a list ({' '.join(str(error).split())[:200]})") from error
    if "path" not in table:
        raise DataError(f"{path}: has no column path (its columns: {', '.join(map(str, table.columns))})")
    rows = [_row(f"{path}: row {number}", values) for number, values in enumerate(table.to_dict("records"), start=1)]
    if not rows:
        raise DataError(f"{path}: lists no video")
    if len({bool(row.target) for row in rows}) > 1:
        raise DataError(f"{path}: some rows have a target, others have none")
    split_of: dict[str, str] = {}
    for row in rows:
        if split_of.setdefault(row.path, row.split) != row.split:
            raise DataError(
                f"{path}: {row.path} is in two splits ({split_of[row.path]}, {row.split}): what is learnt would leak"
            )
    return rows


def _row(where: str, values: dict[Any, Any]) -> Row:
    text = {
        name: "" if values.get(name) is None or values.get(name) != values.get(name) else str(values[name]).strip()
        for name in ("path", "split", "start_seconds", "stop_seconds", "target")
    }
    for name in ("path", "target"):
        if ADDRESS.match(text[name]):
            raise DataError(f"{where}: {text[name]} is an address; list files of this machine")
    if not text["path"]:
        raise DataError(f"{where}: has no path")
    split = SPLITS.get(text["split"].lower(), "")
    if text["split"] and not split:
        raise DataError(f"{where}: split is {text['split']}; wanted is train, val or test")
    start, stop = (_seconds(where, name, text[name]) for name in ("start_seconds", "stop_seconds"))
    if stop is not None and stop <= (start or 0.0):
        raise DataError(f"{where}: stop_seconds ({stop:g}) is not after start_seconds ({start or 0.0:g})")
    return Row(text["path"], split, start, stop, text["target"])


def _seconds(where: str, name: str, text: str) -> float | None:
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise DataError(f"{where}: {name} is {text}; wanted is a number of seconds")
    return seconds
