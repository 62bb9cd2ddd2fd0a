"""What only time can tell: where a stray span belongs, and whose request a stray request is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.attribute.ownership import Ownership, Spans, inside, reason_code
from agentcost_collector.attribute.siblings import of_many_scopes, pairs_within
from agentcost_collector.attribute.tree import NONE, below, depths, is_ancestor
from agentcost_collector.model.kinds import KINDS, Kind
from agentcost_collector.model.reasons import UsageReason
from agentcost_collector.model.tables import codes

_TOOL, _RETRIEVAL, _EMBEDDING, _HTTP = (
    KINDS.index(k) for k in (Kind.TOOL, Kind.RETRIEVAL, Kind.EMBEDDING, Kind.HTTP)
)
_LLM, _OTHER = (KINDS.index(k) for k in (Kind.LLM, Kind.OTHER))
_SERVER = 2  # OTLP SpanKind
_PAIRS_MAX = 1 << 20


def place_lost_embeddings(s: Spans, o: Ownership, slack_ns: int) -> np.ndarray:
    """Moves an embedding that hangs on the root, or lost its parent, under the tool around it.

    Only where the tools and retrievals of its process that were open around it form one chain.
    Returns which spans were moved.
    """
    inferred = np.zeros(len(s.kind), dtype=bool)
    top = (s.tree.depth <= 1) & ((s.tree.depth == 1) | s.tree.orphan)
    strays = np.flatnonzero(o.call & (s.kind == _EMBEDDING) & top)
    for row, tool in _around(s, strays, np.isin(s.kind, (_TOOL, _RETRIEVAL)), slack_ns):
        deepest = np.full(len(s.kind), NONE, dtype=np.int64)
        order = np.argsort(s.tree.depth[tool], kind="stable")
        deepest[row[order]] = tool[order]
        in_chain = (tool == deepest[row]) | is_ancestor(s.tree, tool, deepest[row])
        one_chain = deepest >= 0
        np.logical_and.at(one_chain, row, in_chain)
        placed = np.flatnonzero(one_chain)
        s.tree.parent[placed] = deepest[placed]
        inferred[placed] = True
    if inferred.any():
        s.tree.depth = depths(s.tree.parent)
    return inferred


def place_lost_retrievals(facts: pa.Table, s: Spans, slack_ns: int) -> np.ndarray:
    """Moves a database's retrieval under the retriever beside it, whose span was not current.

    Beside: of another scope of the same process, within the retriever's time, hanging on a span
    above the retriever or on a lost one, and not of another store. As many retrievers as possible
    get one each; what is left over goes where only one is open. Returns which spans were moved.
    """
    inferred = np.zeros(len(s.kind), dtype=bool)
    retrieval = (s.kind == _RETRIEVAL) & (s.tree.repeated_of < 0)
    rows = np.flatnonzero(retrieval)
    if len(rows) < 2:
        return inferred
    rows = rows[below(s.tree, retrieval)[rows] < 0]
    store, target = (
        codes(facts.column(name)).indices.fill_null(NONE).to_numpy(zero_copy_only=False)
        for name in ("provider", "target")
    )
    spent = s.end - s.start

    def test(inner: np.ndarray, outer: np.ndarray) -> np.ndarray:
        above = s.tree.parent[inner]
        hangs = is_ancestor(s.tree, np.maximum(above, 0), outer) & (above >= 0)
        longer = (spent[outer] > spent[inner]) | ((spent[outer] == spent[inner]) & (outer < inner))
        fits = inside(s, inner, outer, slack_ns) & longer & (hangs | s.tree.orphan[inner])
        for name in (store, target):
            fits &= (name[inner] == name[outer]) | (name[inner] < 0) | (name[outer] < 0)
        return fits & (s.scope[inner] != s.scope[outer])

    for bucket in of_many_scopes(s, rows, (s.process,)):
        inner, outer = pairs_within(s, bucket, test)
        s.tree.parent[inner] = outer
        inferred[inner] = True
    if inferred.any():
        s.tree.depth = depths(s.tree.parent)
    return inferred


def unseen_calls(
    spans: pa.Table, facts: pa.Table, s: Spans, o: Ownership, slack_ns: int
) -> np.ndarray:
    """POST requests to a model provider with no model span above: calls nobody instrumented.

    Where the URL is known, only those to the paths of model calls.

    Where the model span was not made current, its request hangs beside it: a request within the
    time of a call of the same provider and process carries that call.
    """
    http = (s.kind == _HTTP) & (o.survivor < 0)
    if not http.any():
        return http
    posts = pc.equal(pc.utf8_lower(facts.column("operation").cast(pa.string())), "post")
    client = spans.column("kind").fill_null(0).to_numpy() != _SERVER
    provider = facts.column("provider").combine_chunks()
    code = pc.dictionary_encode(provider.cast(pa.string())).indices.fill_null(-1).to_numpy()
    unseen: np.ndarray = http & (code >= 0) & client & posts.fill_null(False).to_numpy()
    unseen &= facts.column("request_kind").fill_null(_LLM).to_numpy() != _OTHER
    for row, call in _around(s, np.flatnonzero(unseen), o.call, slack_ns):
        same = (code[row] == code[call]) | (code[call] < 0)
        row, call = row[same], call[same]
        o.survivor[row] = call
        o.reason[row] = reason_code(UsageReason.TRANSPORT_OF_CALL)
    return unseen & (o.survivor < 0)


def _around(
    s: Spans, rows: np.ndarray, marked: np.ndarray, slack_ns: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs (row, marked span of its trace and process that was open all through it).

    All pairs of a row come in one piece. Rows of a trace with too many pairs to look at are left
    out: nothing is inferred for them.
    """
    other = np.flatnonzero(marked)
    if not len(rows) or not len(other):
        return
    first = np.searchsorted(s.tree.trace[other], s.tree.trace[rows], "left")
    count = np.searchsorted(s.tree.trace[other], s.tree.trace[rows], "right") - first
    in_trace = np.bincount(s.tree.trace[rows], weights=count)
    few = in_trace[s.tree.trace[rows]] <= _PAIRS_MAX
    rows, first, count = rows[few], first[few], count[few]
    piece = np.cumsum(count) // _PAIRS_MAX
    for number in np.unique(piece):
        at = piece == number
        width, offset = count[at], np.cumsum(count[at])
        row = np.repeat(rows[at], width)
        nth = np.arange(len(row)) - np.repeat(offset - width, width)
        span = other[np.repeat(first[at], width) + nth]
        holds = s.process[span] == s.process[row]
        holds &= s.start[span] <= s.start[row] + slack_ns
        holds &= s.end[span] >= s.end[row] - slack_ns
        yield row[holds], span[holds]
