"""How many cores this process may use: those of the machine, of its affinity and of its container."""

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def core_limit() -> tuple[float, str]:
    """How many cores' worth of time this process may use, and what says so."""
    cores, why = float(os.cpu_count() or 1), "of the machine"
    if hasattr(os, "sched_getaffinity") and (allowed := len(os.sched_getaffinity(0))) < cores:  # macOS has none
        cores, why = float(allowed), "by affinity"
    quota = _quota()
    if quota is not None and quota < cores:
        cores, why = quota, "by the container's quota"
    return cores, why


def usable_cores() -> int:
    """Cores that this process may run on, at least 1: not more than its affinity or its control group allows."""
    return max(1, round(core_limit()[0]))


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
