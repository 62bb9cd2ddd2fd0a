"""The one order in which the spans of closed traces leave, whatever the order of arrival."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.assemble.chunks import Gathered
from agentcost_collector.assemble.packing import unpack


def span_order(gathered: Gathered) -> tuple[np.ndarray, np.ndarray]:
    """The wanted rows of the table, sorted by (trace number, start_ns, span_id, received_at_ns,
    content), and the places among them of spans that agree in the first three with another.

    Cost: one integer sort; only where start times tie, span ids are looked at and sorted by;
    content only where everything else ties.
    """
    packed, rows, traces = gathered
    start = packed.column("start_ns").to_numpy()[rows]
    order = np.lexsort((start, traces))
    places = np.flatnonzero(_in_runs(traces[order], start[order]))
    if not len(places):
        return rows[order], places
    tied = order[places]
    among = packed.select(["span_id", "received_at_ns"]).take(pa.array(rows[tied]))
    span = pc.rank(among.column("span_id"), tiebreaker="dense").to_numpy().astype(np.int64)
    received = among.column("received_at_ns").fill_null(0).to_numpy()
    keys = [received, span, start[tied], traces[tied]]
    sort = np.lexsort(keys)
    received, span, *moment = (key[sort] for key in keys)
    tied = tied[sort]
    repeated = _in_runs(span, *moment)
    same = _in_runs(received, span, *moment)
    if same.any():  # copies of a span within one request: few
        copies = tied[same]
        content = [repr(row) for row in unpack(packed.take(pa.array(rows[copies]))).to_pylist()]
        rank = {text: number for number, text in enumerate(sorted(set(content)))}
        place = [rank[text] for text in content]
        others = (key[same] for key in (received, span, *moment))
        tied[same] = copies[np.lexsort((place, *others))]
    order[places] = tied
    return rows[order], places[repeated]


def _in_runs(*keys: np.ndarray) -> np.ndarray:
    """For rows in sorted order: has a neighbour the same keys?"""
    equal = np.ones(max(0, len(keys[0]) - 1), dtype=bool)
    for key in keys:
        equal &= key[1:] == key[:-1]
    runs = np.zeros(len(keys[0]), dtype=bool)
    runs[1:] |= equal
    runs[:-1] |= equal
    return runs
