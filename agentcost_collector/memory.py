"""What becomes of freed memory in the processes that settle batches.

Every batch allocates and frees about the same. By default that goes back to the kernel each time,
which clears every page before it hands it out again. `docs/bench.md` says what that costs.
"""

from __future__ import annotations

import ctypes

import pyarrow as pa

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # parameters of mallopt, from malloc.h
_MIB = 1024 * 1024
_MMAP_BYTES = 32 * _MIB  # glibc takes no more


def keep_freed_memory(mib: int = 256) -> bool:
    """Keeps up to `mib` MiB of freed memory at the end of the heap for the next batch, and lets
    Arrow use the same heap, which all threads share: what one has freed serves the next. Where the
    C library is not glibc nothing changes and False is returned."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    kept = (
        mallopt(_ARENA_MAX, 1)
        and mallopt(_TRIM_THRESHOLD, mib * _MIB)
        and mallopt(_MMAP_THRESHOLD, _MMAP_BYTES)
    )
    if kept:
        pa.set_memory_pool(pa.system_memory_pool())
    return bool(kept)
