"""Names and links of files in data.videos: what is shown of a name, and where links may lead."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

# DVC's cache may stand behind a symbolic link for each file of a folder that it keeps (cache.type symlink)
DVC_CACHE_OBJECT = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")


def printable(path: Path | str) -> str:
    r"""`path` with forward slashes, in which bytes that are not UTF-8 and control characters are \xNN, and \ is \\."""
    text = os.fsencode(path).replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")
    if text.isprintable():  # most are; what is not need not be a control character
        return text
    return "".join(f"\\x{ord(c):02x}" if ord(c) < 32 or ord(c) == 127 else c for c in text)


def allowed_folders(root: Path, roots: Sequence[str]) -> list[Path]:
    """The folders that a link may lead into: `root` and `roots`, themselves without links."""
    return [root, *(Path(os.path.realpath(other)) for other in roots)]


def why_not_followed(path: Path, allowed: Sequence[Path]) -> str:
    """Why the symbolic link at `path` is not followed; "" where it is."""
    target = Path(os.path.realpath(path))
    if target.is_dir():
        return "a symbolic link to a folder"
    if any(target.is_relative_to(folder) for folder in allowed) or DVC_CACHE_OBJECT.search(str(target)):
        return ""
    return "a symbolic link that leaves the folder, to nowhere under data.roots of params.yaml"
