"""The walk: from spans and their facts to a verdict on every span."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.attribute.calls import CALL_KINDS, own_calls
from agentcost_collector.attribute.config import Config
from agentcost_collector.attribute.ownership import Ownership, Rules, Spans, reason_code
from agentcost_collector.attribute.places import (
    place_lost_embeddings,
    place_lost_retrievals,
    unseen_calls,
)
from agentcost_collector.attribute.tree import NONE, Tree, build_tree, nearest
from agentcost_collector.model.kinds import KINDS, Kind
from agentcost_collector.model.reasons import UsageReason
from agentcost_collector.model.tables import codes

_TOOL, _AGENT = KINDS.index(Kind.TOOL), KINDS.index(Kind.AGENT)
_RETRIEVAL, _WRITE = KINDS.index(Kind.RETRIEVAL), KINDS.index(Kind.VECTOR_WRITE)
_SERVER = 2  # OTLP SpanKind
_HTTP, _COMPUTE, _LLM = (KINDS.index(k) for k in (Kind.HTTP, Kind.COMPUTE, Kind.LLM))


@dataclass
class Walk:
    """What was decided, by row of the spans walked."""

    tree: Tree
    kind: np.ndarray
    ownership: Ownership
    step: np.ndarray
    """Spans that are a step."""
    inferred: np.ndarray
    """Spans placed by time under the one tool around them."""
    metered: np.ndarray
    """Requests to an API that charges for a call."""


def walk(spans: pa.Table, facts: pa.Table, config: Config) -> Walk:
    """Decides for SPANS (sorted by trace_id, start_ns, span_id) and their FACTS which are steps."""
    tree = build_tree(spans)
    kind = facts.column("kind").to_numpy().astype(np.int64)
    numbers = _spans_of(spans, facts, tree, kind)
    slack_ns = config.clock_slack_ms * 1_000_000
    ownership = own_calls(numbers, Rules(slack_ns))
    inferred = place_lost_retrievals(facts, numbers, slack_ns)
    inferred |= place_lost_embeddings(numbers, ownership, slack_ns)
    live = tree.repeated_of < 0
    step = ownership.call.copy()
    step |= live & _tool_steps(spans, facts, numbers, ownership)
    step |= live & _store_steps(numbers, ownership, _RETRIEVAL)
    step |= live & _store_steps(numbers, ownership, _WRITE)
    step |= live & _compute_steps(facts, kind)
    _name_transport(numbers, ownership)
    metered = _metered_requests(facts, numbers, ownership, config) & live
    unseen = unseen_calls(spans, facts, numbers, ownership, slack_ns) & live & ~metered
    kind[metered] = _TOOL
    kind[unseen] = facts.column("request_kind").fill_null(_LLM).to_numpy()[unseen]
    step |= metered | unseen
    again = np.flatnonzero(~live)
    ownership.survivor[again] = tree.repeated_of[again]
    ownership.reason[again] = reason_code(UsageReason.SPAN_REPEATED)
    return Walk(tree, kind, ownership, step & live, inferred, metered)


def _spans_of(spans: pa.Table, facts: pa.Table, tree: Tree, kind: np.ndarray) -> Spans:
    def counts(name: str) -> np.ndarray:
        values: np.ndarray = facts.column(name).fill_null(-1).to_numpy()
        return values

    def code(column: pa.ChunkedArray) -> np.ndarray:
        indices: np.ndarray = codes(column).indices.fill_null(-1).to_numpy(zero_copy_only=False)
        return indices.astype(np.int64)

    def flag(name: str) -> np.ndarray:
        values: np.ndarray = facts.column(name).to_numpy()
        return values

    model, asked = _in_one_code(facts.column("bare_model"), facts.column("bare_requested_model"))
    return Spans(
        tree=tree,
        kind=kind,
        server=spans.column("kind").fill_null(0).to_numpy() == _SERVER,
        scope=code(spans.column("scope_name")),
        process=facts.column("process").to_numpy().astype(np.int64),
        model=model,
        asked=asked,
        response_id=code(facts.column("response_id")),
        start=spans.column("start_ns").to_numpy(),
        end=spans.column("end_ns").to_numpy(),
        input=counts("input_total"),
        output=counts("output_total"),
        cache_read=counts("cache_read_tokens"),
        cache_write=counts("cache_write_short_tokens") + counts("cache_write_long_tokens"),
        reasoning=counts("reasoning_tokens"),
        writes_on_caller=flag("writes_on_caller"),
        call_needs_usage=flag("call_needs_usage"),
        sums_this_call=flag("sums_this_call"),
        running_total=flag("running_total"),
        agent=code(facts.column("agent")),
    )


def _in_one_code(a: pa.ChunkedArray, b: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Codes of two text columns in one numbering; -1 for NULL."""
    first, second = codes(a), codes(b)
    indices = [c.indices.fill_null(-1).to_numpy(zero_copy_only=False) for c in (first, second)]
    names = pc.unique(pa.concat_arrays([first.dictionary, second.dictionary]))
    moved = [pc.index_in(c.dictionary, value_set=names).to_numpy() for c in (first, second)]
    model, asked = (np.array([*m, NONE], np.int64)[i] for m, i in zip(moved, indices, strict=True))
    return model, asked


def _tool_steps(spans: pa.Table, facts: pa.Table, s: Spans, o: Ownership) -> np.ndarray:
    """Tool spans, each chain of one tool call (framework, client, server) counted at its top."""
    tool = s.kind == _TOOL
    name = codes(pc.utf8_lower(facts.column("tool").cast(pa.string())))
    label = name.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    span_kind = spans.column("kind").fill_null(0).to_numpy()
    call_id = codes(facts.column("tool_call_id")).indices.fill_null(-1)
    call = call_id.to_numpy(zero_copy_only=False)
    stop = tool | np.isin(s.kind, (*CALL_KINDS, _AGENT))
    outer = nearest(s.tree.parent, stop)
    inner = np.flatnonzero(tool & (outer >= 0) & tool[np.maximum(outer, 0)])
    up = outer[inner]
    title = codes(spans.column("name")).indices.fill_null(-1).to_numpy(zero_copy_only=False)
    seam = (
        (s.scope[inner] != s.scope[up])
        | (title[inner] != title[up])
        | (s.process[inner] != s.process[up])
        | (span_kind[inner] != span_kind[up])
        | ((call[inner] >= 0) & (call[inner] == call[up]))
    )
    two_ids = (call[inner] >= 0) & (call[up] >= 0) & (call[inner] != call[up])
    same = seam & (label[inner] == label[up]) & ~two_ids
    again = np.zeros(len(tool), dtype=bool)
    again[inner[same]] = True
    chain = np.where(again, outer, NONE)
    first = nearest(chain, ~again)
    rows = np.flatnonzero(again & ~o.call)
    o.survivor[rows] = first[rows]
    o.reason[rows] = reason_code(UsageReason.SAME_TOOL_CALL)
    return tool & ~again


def _store_steps(s: Spans, o: Ownership, kind: int) -> np.ndarray:
    """Retrievals (or writes) with none in them: the one that touches the store is counted."""
    retrieval = s.kind == kind
    stop = retrieval | np.isin(s.kind, (_TOOL, _AGENT))
    outer = nearest(s.tree.parent, stop)
    inner = np.flatnonzero(retrieval & (outer >= 0) & retrieval[np.maximum(outer, 0)])
    wraps = np.full(len(retrieval), NONE, dtype=np.int64)
    wraps[outer[inner][::-1]] = inner[::-1]
    rows = np.flatnonzero((wraps >= 0) & ~o.call)
    o.survivor[rows] = wraps[rows]
    o.reason[rows] = reason_code(UsageReason.RETRIEVAL_BENEATH)
    return retrieval & (wraps < 0)


def _compute_steps(facts: pa.Table, kind: np.ndarray) -> np.ndarray:
    """Spans marked as compute, or that carry measured seconds or units of our own."""
    measured = (kind == _COMPUTE) | facts.column("own_units").to_numpy()
    for name in ("gpu_seconds", "cpu_seconds", "gib_seconds"):
        measured = measured | facts.column(name).is_valid().to_numpy()
    return measured


def _name_transport(s: Spans, o: Ownership) -> None:
    """HTTP spans beneath a model call carry it; its own row is the survivor."""
    http = np.flatnonzero((s.kind == _HTTP) & (o.survivor < 0))
    if not len(http):
        return
    call = nearest(s.tree.parent, o.survivor >= 0)[http]
    over = call >= 0
    o.survivor[http[over]] = o.survivor[call[over]]
    o.reason[http[over]] = reason_code(UsageReason.TRANSPORT_OF_CALL)


def _metered_requests(facts: pa.Table, s: Spans, o: Ownership, config: Config) -> np.ndarray:
    """HTTP requests to a metered host that carry no call counted elsewhere. Of requests inside
    one another to one host, as two HTTP libraries report them, the outermost."""
    http = (s.kind == _HTTP) & (o.survivor < 0)
    found = np.zeros(len(http), dtype=bool)
    if not http.any():
        return found
    host = codes(facts.column("host"))
    names = host.dictionary.to_pylist()
    charged = [any(n == m or n.endswith("." + m) for m in config.metered_hosts) for n in names]
    code = host.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    found = http & np.array([*charged, False])[code]
    outer = nearest(s.tree.parent, found)
    inner = np.flatnonzero(found & (outer >= 0))
    inner = inner[code[inner] == code[outer[inner]]]
    o.survivor[inner] = outer[inner]
    o.reason[inner] = reason_code(UsageReason.TRANSPORT_OF_CALL)
    found[inner] = False
    return found


def self_time_ns(spans: pa.Table, tree: Tree, rows: np.ndarray) -> np.ndarray:
    """For each of `rows` the time in which none of its children ran, in nanoseconds."""
    start, end = spans.column("start_ns").to_numpy(), spans.column("end_ns").to_numpy()
    spent = np.maximum(end - start, 0)[rows]
    children = np.flatnonzero(np.isin(tree.parent, rows))
    order = np.lexsort((start[children], tree.parent[children]))
    place = {int(row): i for i, row in enumerate(rows)}
    reached: dict[int, int] = {}
    for child in children[order].tolist():  # only of spans whose own time is billed
        parent = int(tree.parent[child])
        low = max(int(start[child]), int(start[parent]), reached.get(parent, int(start[parent])))
        high = min(int(end[child]), int(end[parent]))
        spent[place[parent]] -= max(high - low, 0)
        reached[parent] = max(reached.get(parent, low), high)
    return spent


def path_of(tree: Tree, names: pa.Array, rows: np.ndarray, levels_max: int = 64) -> pa.Array:
    """Span names from the root to each of `rows`, joined by ";". One string per distinct path.

    A span deeper than `levels_max` shows the first levels, "...", and its own name.
    """
    label = codes(names)
    texts = [str(t).replace(";", ",") for t in label.dictionary.to_pylist()]
    code = label.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    path = np.full(len(code), NONE, dtype=np.int64)
    made: list[str] = []
    wanted = _with_ancestors(tree, rows)
    depth = tree.depth[wanted]
    for level in range(min(int(depth.max(initial=-1)) + 1, levels_max)):
        at = wanted[depth == level]
        above = path[tree.parent[at]] if level else np.full(len(at), NONE)
        distinct, inverse = np.unique(above * (len(texts) + 1) + code[at], return_inverse=True)
        base = len(made)
        for pair in distinct.tolist():
            upper, name = divmod(pair, len(texts) + 1)
            upper, name = (upper + 1, -1) if name == len(texts) else (upper, name)
            own = texts[name] if name >= 0 else ""
            made.append(f"{made[upper]};{own}" if upper >= 0 else own)
        path[at] = base + inverse
    deep = np.flatnonzero(path[rows] < 0)
    result = pa.array(made, pa.string()).take(pa.array(path[rows], mask=path[rows] < 0))
    if not len(deep):
        return result
    cut = np.zeros(len(rows), dtype=bool)
    cut[deep] = True
    tops = _climb(tree, rows[deep], levels_max - 1)
    long = [f"{made[path[t]]};...;{texts[code[r]]}" for t, r in zip(tops, rows[deep], strict=True)]
    return pc.replace_with_mask(result, pa.array(cut), pa.array(long, pa.string()))


def _with_ancestors(tree: Tree, rows: np.ndarray) -> np.ndarray:
    """`rows` and all their ancestors."""
    seen = np.zeros(len(tree.parent), dtype=bool)
    place = np.empty(len(tree.parent), dtype=np.int64)
    frontier = rows
    while len(frontier):
        seen[frontier] = True
        frontier = tree.parent[frontier]
        frontier = frontier[(frontier >= 0) & ~seen[frontier]]
        nth = np.arange(len(frontier))
        place[frontier] = nth
        frontier = frontier[place[frontier] == nth]  # each once
    return np.flatnonzero(seen)


def _climb(tree: Tree, rows: np.ndarray, to_depth: int) -> np.ndarray:
    """The ancestors of `rows` at depth `to_depth`."""
    at = rows.copy()
    while (tree.depth[at] > to_depth).any():
        high = tree.depth[at] > to_depth
        at[high] = tree.parent[at[high]]
    return at
