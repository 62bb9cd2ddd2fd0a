"""Spans -> Traces: which traces are open, and when each of them closes. Pure; time is passed in.

In: SPANS tables in order of arrival. Out: the spans of the traces that closed, grouped by trace
and sorted by (trace_id, start_ns, span_id, received_at_ns), and one row per closed trace.

A trace closes by the first rule that applies:

    root    a span without parent came, every parent came, and nothing arrived for `settle_ms`
    idle    nothing arrived for `idle_ms`: the root, or a parent, never came
    age     its first span arrived `age_ms_max` ago
    limit   the open set is over its bounds; oldest trace first
    end     the caller closes the oldest

Invariants:
- every span that goes in comes out once, or is an exact repeat of one that does, and is counted;
- the order of arrival and the split into batches never change what comes out of a closed trace;
- the cost of `add` and `close` does not depend on how much is open, and memory is bounded;
- a span of a closed trace opens it again; the caller joins it with the evidence.
"""
