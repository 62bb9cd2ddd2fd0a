"""What strace saw, and the points at which a later run of the same can be struck."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

WRITING = (
    "open,openat,creat,write,pwrite64,writev,pwritev,fsync,fdatasync,rename,renameat,renameat2,"
    "link,linkat,unlink,unlinkat,mkdir,mkdirat,ftruncate,fallocate"
)
"""Every system call by which a byte or a name gets to the disk."""

_LINE = re.compile(r"(\d+) +(\w+)\((.*)")
_PATH = re.compile(r'"([^"]+)"|\d+<([^>]+)>')


@dataclass(frozen=True)
class Point:
    """The `number`th call of this kind on this path (relative to the data folder) by a thread."""

    call: str
    path: str
    number: int

    def strike(self, data: Path, fault: str) -> list[str]:
        """Arguments of strace. `fault`: signal=KILL, or error=EIO; with a + at its end, at all
        later calls of this kind on this path too."""
        kind, lasting = fault.removesuffix("+"), "+" if fault.endswith("+") else ""
        inject = f"inject={self.call}:{kind}:when={self.number}{lasting}"
        return ["-e", f"trace={self.call}", "-P", str(data / self.path), "-e", inject]


def points(trace: str, data: Path) -> list[Point]:
    """The points of a recorded run, in order; reading calls and SQLite's shared memory left out,
    which is made anew at every start."""
    found: list[Point] = []
    seen: Counter[tuple[str, str, str]] = Counter()
    for line in trace.splitlines():
        match = _LINE.match(line)
        if not match:
            continue
        thread, call, rest = match.groups()
        within = [a or b for a, b in _PATH.findall(rest)]
        paths = list(dict.fromkeys(p for p in within if Path(p).is_relative_to(data)))
        for path in paths:
            seen[thread, call, path] += 1
        if not paths or paths[0].endswith("-shm"):
            continue
        if "open" in call and "O_CREAT" not in rest:
            continue
        path = str(Path(paths[0]).relative_to(data))
        found.append(Point(call, path, seen[thread, call, paths[0]]))
    return found
