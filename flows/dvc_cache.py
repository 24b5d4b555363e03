"""Which objects of DVC's cache go: `dvc gc`, told to keep all that a rollback or a checkout may want."""

import re
import subprocess
from pathlib import Path
from typing import Literal

from flows.git import git
from flows.prefect_dvc.command import DVC
from pipeline.errors import PipelineError
from pipeline.runtime.yaml_file import read_yaml

# beside what the workspace's dvc.lock names, which always stays; --force: nobody is there to answer
KEPT = {
    "commits": ["--workspace", "--all-commits", "--all-experiments", "--force"],
    "tags": ["--workspace", "--all-branches", "--all-tags", "--all-experiments", "--force"],
}


def collect(keep: Literal["everything", "commits", "tags"], *, dry_run: bool) -> list[str]:
    """Remove objects from the local cache that `keep` does not; returns the paths that go. Remotes stay as they are."""
    if keep == "everything":
        return []
    cache = Path(_dvc("cache", "dir").strip()).resolve()
    if not cache.is_relative_to(Path.cwd()):
        raise PipelineError(f"{cache}: others may use this cache, so nothing is removed; set retain.cache: everything")
    if git("stash", "list"):
        raise PipelineError(
            "git stash list: DVC does not see what a stash names; drop it, or set retain.cache: everything"
        )
    listed = re.findall(r"Removing (.+)", _dvc("gc", *KEPT[keep], "--dry"))
    if listed and not dry_run:
        _dvc("gc", *KEPT[keep])
    return [str(Path(path)) for path in listed] + _records(cache, set(listed) if dry_run else set(), dry_run=dry_run)


def _records(cache: Path, going: set[str], *, dry_run: bool) -> list[str]:
    """Records of DVC's run cache (which inputs made which outputs) whose outputs are gone: dvc gc leaves them."""
    found = []
    for path in sorted(cache.glob("runs/*/*/*")):
        try:
            outs = read_yaml(path)["outs"]
            objects = [cache / "files/md5" / out["md5"][:2] / out["md5"][2:] for out in outs]
        except (PipelineError, KeyError, TypeError):
            continue  # not written by this DVC: let it be
        if any(not each.exists() or str(each) in going for each in objects):
            found.append(path)
    for path in [] if dry_run else found:
        path.unlink()
    return [str(path) for path in found]


def _dvc(*arguments: str) -> str:
    result = subprocess.run([*DVC, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if result.returncode:
        raise PipelineError(f"dvc {' '.join(arguments)}: {result.stderr.strip() or result.stdout.strip()}")
    return result.stdout + result.stderr
