"""Freed memory is used again."""

import ctypes
import subprocess
import sys

from tests.support.recordings import ROOT

_CHURN = """
import resource
import numpy as np
import pyarrow as pa
from agentcost_collector.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        batch = [np.ones(125_000) for _ in range(50)]
        del batch
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

kept = keep_freed_memory()
faults()
print(int(kept), pa.default_memory_pool().backend_name, faults())
"""


def test_batches_of_one_size_fault_their_pages_in_once():
    """On glibc the second round of equal batches finds its memory there: of the 120,000
    pages that it writes, under a tenth come from the kernel."""
    done = subprocess.run(
        [sys.executable, "-c", _CHURN], cwd=ROOT, check=True, capture_output=True, text=True
    )
    kept, pool, faults = done.stdout.split()
    assert bool(int(kept)) == hasattr(ctypes.CDLL(None), "mallopt")
    assert (pool == "system" and int(faults) < 12_000) or not int(kept)
