"""Reads a YAML file whose content is as small as it looks: a few lines of nested aliases can stand for gigabytes.

And writes values into its text, every comment, blank and column left as it is.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from pipeline.errors import ParamsError
from pipeline.runtime.files import read_regular

# indent, key, and on the same line a value and a comment, with the blanks before each
KEY = re.compile(r"( *)([\w-]+):(?:( +)((?:'[^'\n]*'|\"[^\"\n]*\"|[^#'\"\s])[^#\n]*?)?( *)(#.*)?)?$")
MOST_BYTES = 1 << 18
MOST_DEPTH = 32
MOST_VALUES = 100_000  # keys and values, with every alias written out


def read_yaml(path: Path) -> Any:
    """The content of the YAML file at `path`; raises ParamsError, one line, where it cannot be read or is too much."""
    try:
        text = read_regular(path, MOST_BYTES).decode()
        # before anything is made of it
        _check_size(path, text)
        # YAML 1.2, as DVC reads it: PyYAML takes 1e-3 for a string
        return YAML(typ="safe").load(text)
    except FileNotFoundError as error:
        raise ParamsError(f"{path}: no such file; run this in the folder that holds params.yaml") from error
    except OSError as error:
        raise ParamsError(f"{path}: cannot be read ({error.strerror}); put a file of parameters there") from error
    except (YAMLError, ValueError) as error:
        raise ParamsError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error


def with_values(text: str, values: Mapping[str, Any]) -> str:
    """The YAML text of nested sections with `values` (dotted key -> number, text, list, bool or None) in it.

    Each key must be there, its value on the same line; KeyError for one that is not.
    """
    lines: list[str] = []
    path: list[str] = []
    left = dict(values)
    for line in text.splitlines(keepends=True):
        match = KEY.match(line.rstrip("\n"))
        if match:
            indent, key, space, value, gap, comment = match.groups()
            path = [*path[: len(indent) // 2], key]
            name = ".".join(path)
            if name in left and value is not None:
                shown = json.dumps(left.pop(name), ensure_ascii=False)
                width = len(value) + len(gap)
                line = f"{indent}{key}:{space}{shown}"
                if comment:
                    line += f"{' ' * max(1, width - len(shown))}{comment}"
                line += "\n"
        lines.append(line)
    if left:
        raise KeyError(next(iter(left)))
    return "".join(lines)


def _check_size(path: Path, text: str) -> None:
    """Raises ParamsError where the text is nested too deep, or stands for too many values.

    It is read as a stream of events, which takes no more than the text does, and no recursion.
    """
    sizes: dict[str, int] = {}  # of what each anchor names, written out
    open_nodes: list[tuple[str | None, int]] = []  # their anchors, and how many values came before each
    total = 0
    for event in YAML(typ="safe").parse(text):
        if isinstance(event, MappingEndEvent | SequenceEndEvent):
            anchor, before = open_nodes.pop()
            if anchor is not None:
                sizes[anchor] = total - before
        elif isinstance(event, AliasEvent):
            if any(anchor == event.anchor for anchor, _ in open_nodes):
                raise ParamsError(f"{path}: *{event.anchor} is used in what it stands for; write the values out")
            total += sizes.get(event.anchor, 1)
        elif isinstance(event, NodeEvent):
            if isinstance(event, MappingStartEvent | SequenceStartEvent):
                open_nodes.append((event.anchor, total))
            elif event.anchor is not None:
                sizes[event.anchor] = 1
            total += 1
        if len(open_nodes) > MOST_DEPTH:
            raise ParamsError(f"{path}: is nested more than {MOST_DEPTH} deep; params.yaml has sections of keys")
        if total > MOST_VALUES:
            raise ParamsError(
                f"{path}: stands for more than {MOST_VALUES:,} values, its aliases (*name) written out; use fewer"
            )
