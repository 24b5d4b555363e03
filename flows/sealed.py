"""Small JSON files with a content hash of their own: what a disk has changed is not taken for what was written."""

import json
from pathlib import Path
from typing import Any

from pipeline.runtime.files import read_json, write_json
from pipeline.runtime.hashing import content_hash

SEAL = "sha256"  # the key of the content hash of all others


def write_sealed(path: Path, content: dict[str, Any]) -> None:
    """Write `content` as JSON; whole or not there."""
    write_json(path, {**content, SEAL: _seal(content)})


def read_sealed(path: Path) -> dict[str, Any]:
    """What write_sealed was given; OSError as read_regular, ValueError where the file does not hold that any more."""
    content = read_json(path)
    if not isinstance(content, dict) or content.pop(SEAL, None) != _seal(content):
        raise ValueError(f"{path}: is not as it was written (its content hash differs)")
    return content


def _seal(content: dict[str, Any]) -> str:
    return content_hash(json.dumps(content, sort_keys=True).encode())
