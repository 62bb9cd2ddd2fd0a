"""Who pays for a step and who did the work.

pays:  nearest declaration above the outermost boundary (tool, retrieval, rerank) around the
       step; without a boundary, at or above the step itself
did:   nearest declaration inside that boundary, else the service's own resource
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from agentcost_collector.attribute.tree import (
    NONE,
    Tree,
    nearest_or_self,
    topmost_or_self,
)
from agentcost_collector.model.kinds import KINDS, Kind

BOUNDARY_KINDS = tuple(KINDS.index(k) for k in (Kind.TOOL, Kind.RETRIEVAL, Kind.RERANK))

SOURCES = (
    "none",
    "span",
    "ancestor",
    "baggage",
    "resource",
    "inside",
    "link",
    "default",
)
"""How a tag was found: `inside` = nothing was declared above the boundary, so what is declared
within it counts; `link` = from the span that a link of the trace's root points to."""
_SPAN, _ANCESTOR, _BAGGAGE, _RESOURCE, _INSIDE, _LINK, _DEFAULT = range(1, 8)


@dataclass(frozen=True)
class Tagged:
    """One value per step row: dictionary codes (-1 = none) into `names`, and the source."""

    codes: np.ndarray
    names: list[str]
    source: np.ndarray


@dataclass(frozen=True)
class Anchors:
    """Where each step looks for its payer."""

    rows: np.ndarray
    """The steps' own rows."""
    boundary: np.ndarray
    """Outermost boundary at or above the step, or -1."""
    payer: np.ndarray
    """Where the search for the payer starts: above the boundary, else the step; -1 = nowhere."""
    linked: np.ndarray
    """Row in another trace that the root of the step's trace links to, or -1."""


def find_anchors(tree: Tree, kind: np.ndarray, rows: np.ndarray, links: np.ndarray) -> Anchors:
    """Boundaries and payers' anchors of step rows. `links[row]`: linked row of a span, or -1."""
    boundary = topmost_or_self(tree.parent, np.isin(kind, BOUNDARY_KINDS))[rows]
    payer = np.where(boundary >= 0, tree.parent[np.maximum(boundary, 0)], rows)
    root = topmost_or_self(tree.parent, np.ones(len(kind), dtype=bool))[rows]
    return Anchors(rows, boundary, payer, links[root])


def resolve_tag(
    facts: pa.Table, tree: Tree, anchors: Anchors, tag: str, default: str | None
) -> Tagged:
    """The payer's value of one tag for every step: declared above, inside, linked, default."""
    at = _Levels(facts, tree, tag)
    steps = len(anchors.rows)
    value = np.full(steps, NONE, dtype=np.int64)
    source = np.zeros(steps, dtype=np.int8)

    def fill(rows: np.ndarray, codes: np.ndarray, from_rows: np.ndarray, kind: int) -> None:
        hit = (value < 0) & (rows >= 0)
        found = np.where(from_rows[rows] >= 0, codes[from_rows[rows]], NONE)
        take = hit & (found >= 0)
        value[take], source[take] = found[take], kind

    if not at.names:
        return _defaulted(value, source, [], default)
    fill(anchors.payer, at.own, at.nearest, _ANCESTOR)
    here = (source == _ANCESTOR) & (at.nearest[anchors.payer] == anchors.rows)
    source[here] = _SPAN
    fill(anchors.payer, at.baggage, at.nearest_baggage, _BAGGAGE)
    fill(anchors.payer, at.resource, at.self, _RESOURCE)
    fill(anchors.rows, at.own, at.nearest, _INSIDE)
    fill(anchors.rows, at.baggage, at.nearest_baggage, _INSIDE)
    fill(anchors.rows, at.resource, at.self, _INSIDE)
    fill(anchors.linked, at.own, at.nearest, _LINK)
    fill(anchors.linked, at.resource, at.self, _LINK)
    return _defaulted(value, source, at.names, default)


def _defaulted(
    value: np.ndarray, source: np.ndarray, names: list[str], default: str | None
) -> Tagged:
    """Gives the default to those that found nothing."""
    if default is None:
        return Tagged(value, names, source)
    source[value < 0] = _DEFAULT
    value[value < 0] = len(names)
    return Tagged(value, [*names, default], source)


def resolve_owner(facts: pa.Table, tree: Tree, anchors: Anchors, tag: str, payer: Tagged) -> Tagged:
    """The doer's value of a tag: declared inside the boundary, else by its service, else the
    payer's. A value inside that merely repeats the payer's was handed down, not declared."""
    at = _Levels(facts, tree, tag)
    if not at.names:
        return payer
    declared = at.nearest[anchors.rows]
    inside = (anchors.boundary >= 0) & (declared >= 0)
    inside &= tree.depth[np.maximum(declared, 0)] >= tree.depth[np.maximum(anchors.boundary, 0)]
    own = np.where(inside, at.own[np.maximum(declared, 0)], NONE)
    own = np.where(own == payer.codes, NONE, own)
    by_service = np.where(anchors.boundary >= 0, at.resource[anchors.rows], NONE)
    codes = np.where(own >= 0, own, np.where(by_service >= 0, by_service, payer.codes))
    return Tagged(codes, payer.names, np.zeros(0, dtype=np.int8))


class _Levels:
    """One tag at every level, with all values coded in one list of names."""

    def __init__(self, facts: pa.Table, tree: Tree, tag: str) -> None:
        columns = [facts.column(tag + at) for at in ("", "_baggage", "_resource")]
        self.names: list[str] = []
        index: dict[str, int] = {}
        coded = []
        for column in columns:
            array = column.combine_chunks()
            if isinstance(array, pa.ChunkedArray):
                array = array.chunk(0)
            move = []
            for name in array.dictionary.to_pylist():
                if name not in index:
                    index[name] = len(self.names)
                    self.names.append(name)
                move.append(index[name])
            indices = array.indices.fill_null(-1).to_numpy(zero_copy_only=False)
            coded.append(np.array([*move, NONE], dtype=np.int64)[indices])
        self.own, self.baggage, self.resource = coded
        self.self = np.arange(facts.num_rows)
        self.nearest = nearest_or_self(tree.parent, self.own >= 0)
        self.nearest_baggage = nearest_or_self(tree.parent, self.baggage >= 0)


def linked_rows(spans: pa.Table) -> np.ndarray:
    """For every span the row of the first span, in another trace, that it links to; or -1.

    Only spans at hand can be found; links of spans that are not are ignored here.
    """
    result = np.full(spans.num_rows, NONE, dtype=np.int64)
    links = spans.column("links").combine_chunks()
    if isinstance(links, pa.ChunkedArray) or links.null_count == len(links):
        return result
    flat = links.flatten()
    if not len(flat):
        return result
    counts = pa.compute.list_value_length(links).fill_null(0).to_numpy(zero_copy_only=False)
    source = np.repeat(np.arange(len(links)), counts)
    target = pa.compute.binary_join_element_wise(flat.field("trace_id"), flat.field("span_id"), "")
    key = pa.compute.binary_join_element_wise(spans.column("trace_id"), spans.column("span_id"), "")
    found = pa.compute.index_in(target, value_set=key.combine_chunks())
    row = found.fill_null(NONE).to_numpy(zero_copy_only=False).astype(np.int64)
    hit = np.flatnonzero(row >= 0)[::-1]
    result[source[hit]] = row[hit]
    return result
