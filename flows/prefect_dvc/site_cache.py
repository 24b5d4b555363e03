"""A folder of the user's own for what DVC remembers: its default, /var/tmp/dvc, can be written to by every user."""

import os
from pathlib import Path

VARIABLE = "DVC_SITE_CACHE_DIR"
OPTION = "site_cache_dir"  # of DVC's configuration


def use_private() -> None:
    """Has DVC, in this process and those it starts, keep hashes of files where nobody else can write.

    A folder that the user has chosen stays, and so does DVC's default where none can be made. Plain `dvc` keeps its own
    and needs nothing of this one: both only remember the hashes of files that have not changed.
    """
    if os.environ.get(VARIABLE) or _is_configured():
        return
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(caches).expanduser() / "foreframe/dvc"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if status.st_uid != os.getuid():
            return
        if status.st_mode & 0o077:
            folder.chmod(0o700)
    except (OSError, RuntimeError):  # no home
        return
    os.environ[VARIABLE] = str(folder)


def _is_configured() -> bool:
    """Whether a configuration of DVC's, the machine's, the user's or the workspace's, names a folder."""
    configs = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    places = ["/etc/xdg/dvc/config", f"{configs}/dvc/config", ".dvc/config", ".dvc/config.local"]
    for place in places:
        try:
            if OPTION in Path(place).expanduser().read_text(errors="replace"):
                return True
        except (OSError, RuntimeError):
            continue
    return False
