"""The one order in which the spans of closed traces leave, whatever the order of arrival."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from agentcost_collector.assemble.chunks import Gathered
from agentcost_collector.assemble.packing import unpack


def span_order(gathered: Gathered) -> tuple[np.ndarray, bool]:
    """The wanted rows of the table, sorted by (trace number, start_ns, span_id, received_at_ns,
    content), and whether some spans agree in the first three.

    Cost: two integer sorts; span ids are only looked at where start times tie, content only where
    everything else does.
    """
    packed, rows, traces = gathered
    start = packed.column("start_ns").to_numpy()[rows]
    order = np.lexsort((start, traces))
    tied = order[_in_runs(traces[order], start[order])]
    if not len(tied):
        return rows[order], False
    names = packed.column("span_id").take(pa.array(rows[tied])).to_pylist()
    span = np.zeros(len(order), dtype=np.int64)
    span[tied] = np.unique(np.array(names), return_inverse=True)[1]
    received = packed.column("received_at_ns").fill_null(0).to_numpy()[rows]
    order = np.lexsort((received, span, start, traces))
    repeated = bool(_in_runs(*(key[order] for key in (traces, start, span))).any())
    same = _in_runs(*(key[order] for key in (traces, start, span, received)))
    if same.any():  # copies of a span within one request: few
        among = order[same]
        content = [repr(row) for row in unpack(packed.take(pa.array(rows[among]))).to_pylist()]
        place = np.unique(np.array(content), return_inverse=True)[1]
        keys = (key[among] for key in (received, span, start, traces))
        order[same] = among[np.lexsort((place, *keys))]
    return rows[order], repeated


def _in_runs(*keys: np.ndarray) -> np.ndarray:
    """For rows in sorted order: has a neighbour the same keys?"""
    equal = np.ones(max(0, len(keys[0]) - 1), dtype=bool)
    for key in keys:
        equal &= key[1:] == key[:-1]
    runs = np.zeros(len(keys[0]), dtype=bool)
    runs[1:] |= equal
    runs[:-1] |= equal
    return runs
