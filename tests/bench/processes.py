"""CPU time of a process and all its descendants, from /proc."""

from __future__ import annotations

import os
import time
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
QUIET_S = 3.0


def cpu_s(pid: int) -> float:
    """CPU seconds of `pid` and its descendants, those that ended and were waited for included."""
    stats = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                text = (folder / "stat").read_text(encoding="utf-8", errors="replace")
            except OSError:  # it ended meanwhile
                continue
            stats[int(folder.name)] = text.rpartition(")")[2].split()
    family = {pid}
    while more := {p for p, s in stats.items() if int(s[1]) in family} - family:
        family |= more
    return sum(int(ticks) for p in family if p in stats for ticks in stats[p][11:15]) * _TICK_S


def wait_until_quiet(pid: int, limit_s: float) -> bool:
    """Waits until the family of `pid` has used less than a twentieth of a core for QUIET_S; False
    where it is still at work after `limit_s`."""
    end_s = time.monotonic() + limit_s
    while time.monotonic() < end_s:
        before_s = cpu_s(pid)
        time.sleep(QUIET_S)
        if cpu_s(pid) - before_s < QUIET_S / 20:
            return True
    return False
