"""How many cores this process may use: those of the machine, of its affinity and of its container."""

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Cores that this process may run on, at least 1: not more than its affinity or its control group allows."""
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # macOS has none
        cores = len(os.sched_getaffinity(0))
    quota = _quota()
    return max(1, cores if quota is None else min(cores, round(quota)))


def own_cores() -> int:
    """This process's share of the cores, at least 1: `torchrun` starts several processes on a machine."""
    return max(1, usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def _quota() -> float | None:
    """Cores' worth of time that the control group grants (its second version, or its first); None without a bound."""
    try:
        if (v2 := CGROUP / "cpu.max").is_file():
            quota, period = v2.read_text().split()
        else:
            quota, period = ((CGROUP / f"cpu/cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):  # there is no such group, or it says "max"
        return None
