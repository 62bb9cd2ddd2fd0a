"""Who pays for a step and who did the work.

pays:  nearest declaration above the outermost boundary around the step; without a boundary, at or
       above the step itself; in a domain, from its first span on down
did:   nearest declaration inside that boundary, else a rule's, else the service's own resource
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.attribute.boundaries import Ground, Grounds
from agentcost_collector.attribute.declared import Coded, Declared, Level, Levels
from agentcost_collector.attribute.tree import NONE, nearest_or_self
from agentcost_collector.model.tables import codes

SOURCES = (
    "none",
    "span",
    "ancestor",
    "baggage",
    "resource",
    "rule",
    "inside",
    "link",
    "default",
    "credential",
)
"""How a tag was found: `inside` = nothing was declared above the boundary, so what is declared
within it counts; `link` = what the span pays with that a link at or above the step points to;
`credential` = what the span was sent with pins it, whatever is declared."""
_SPAN, _ANCESTOR, _BAGGAGE, _RESOURCE, _RULE, _INSIDE, _LINK, _DEFAULT, _CREDENTIAL = range(1, 10)


@dataclass(frozen=True)
class Tagged:
    """One value per step row: dictionary codes (-1 = none) into `names`, and the source."""

    codes: np.ndarray
    names: list[str]
    source: np.ndarray


PAYING = ("feature", "team")
"""The tags that say who pays; the others describe the caller, wherever domains begin."""


@dataclass(frozen=True)
class Links:
    """Where the links of a batch lead, per span."""

    target: np.ndarray
    """Row of the first span, in another trace, that this one links to; -1 = none."""
    lost: np.ndarray
    """Spans that link to another trace of which the linked span is not here."""

    def followed(self, grounds: Grounds, rows: np.ndarray) -> np.ndarray:
        """Where the nearest link at or above each of `rows` leads, or -1. What is linked beneath
        a boundary did not call it."""
        if not (self.target >= 0).any():
            return np.full(len(rows), NONE, dtype=np.int64)
        outer = grounds.whole.outermost[rows]
        holder = nearest_or_self(grounds.whole.parent, self.target >= 0)
        at = holder[np.where(outer >= 0, outer, rows)]
        return np.where(at >= 0, self.target[at], NONE)


class Payers:
    """Who pays, for any rows of a batch."""

    def __init__(self, declared: Mapping[str, Declared], grounds: Grounds) -> None:
        self._names = {tag: of.names for tag, of in declared.items()}
        self._grounds = grounds
        self._whole = {tag: of.within(grounds.whole.parent) for tag, of in declared.items()}
        if grounds.domains is not None:
            cut = grounds.domains.parent
            self._cut = {tag: declared[tag].within(cut) for tag in PAYING}

    def of(self, rows: np.ndarray, linked: np.ndarray) -> tuple[dict[str, Tagged], np.ndarray]:
        """Every tag for each of `rows`, and which of them a domain pays for.

        `linked`: row that a link leads to, or -1; what that row pays with counts last.
        """
        found, by_domain = self._without_links(rows)
        if (linked >= 0).any():
            there, back = np.unique(linked, return_inverse=True)
            targets, _ = self._without_links(np.maximum(there, 0))
            for tag, target in targets.items():
                one = found[tag]
                take = (one.codes < 0) & (linked >= 0) & (target.codes[back] >= 0)
                take &= ~by_domain if tag in PAYING else True
                one.codes[take] = target.codes[back][take]
                one.source[take] = _LINK
        return found, by_domain

    def owner(self, tag: str, rows: np.ndarray, payer: Tagged, by_domain: np.ndarray) -> Tagged:
        """The doer's value of a tag for each of `rows`: declared inside the boundary, else given
        by a rule for owners, else by its service, else by a rule for the tag, else the payer's.
        A value inside that merely repeats the payer's was handed down, not declared."""
        levels, grounds = self._whole[tag], self._grounds
        outer = grounds.whole.outermost[rows]
        if grounds.domains is not None:
            outer = np.where(by_domain, grounds.domains.outermost[rows], outer)
        value = _inside(levels.own, rows, outer, grounds.depth)
        value = np.where(value == payer.codes, NONE, value)
        given = _inside(levels.owner, rows, outer, grounds.depth)
        given = np.where(outer < 0, levels.owner.at(rows), given)
        value = np.where(value >= 0, value, given)
        for level in (levels.resource, levels.rule):
            value = np.where(value >= 0, value, _inside(level, rows, outer, grounds.depth))
        return Tagged(np.where(value >= 0, value, payer.codes), payer.names, payer.source)

    def _without_links(self, rows: np.ndarray) -> tuple[dict[str, Tagged], np.ndarray]:
        """As `of`: what the trace itself says."""
        grounds = self._grounds
        found = {
            tag: _search(levels, grounds.whole, rows, rows, self._names[tag])
            for tag, levels in self._whole.items()
        }
        by_domain = np.zeros(len(rows), dtype=bool)
        if grounds.domains is None or grounds.inside is None:
            return found, by_domain
        inside = np.where(grounds.inside[rows], rows, NONE)
        own = {
            tag: _search(levels, grounds.domains, inside, rows, self._names[tag])
            for tag, levels in self._cut.items()
        }
        by_domain = np.logical_or.reduce([one.codes >= 0 for one in own.values()])
        for tag, one in own.items():
            found[tag].codes[by_domain] = one.codes[by_domain]
            found[tag].source[by_domain] = one.source[by_domain]
        return found, by_domain


def _search(
    levels: Levels, ground: Ground, starts: np.ndarray, rows: np.ndarray, names: list[str]
) -> Tagged:
    """What is declared above the boundaries around `starts` (-1 = nowhere), else inside them.

    `rows`: the same without -1. Baggage is copied from the caller, so it does not count where
    the ground is cut.
    """
    found = np.full(len(rows), NONE, dtype=np.int64)
    source = np.zeros(len(rows), dtype=np.int8)
    payer = ground.payer(starts)
    ways = [(levels.own, _ANCESTOR), (levels.baggage, _BAGGAGE)]
    ways += [(levels.resource, _RESOURCE), (levels.rule, _RULE)]
    above = [(payer, level, kind) for level, kind in ways]
    within = [(starts, level, _RULE if kind == _RULE else _INSIDE) for level, kind in ways]
    missing = np.arange(len(rows))
    for at, level, kind in (*above, *within):
        if level.nearest is None or (ground.is_cut and level is levels.baggage):
            continue
        value = level.at(at[missing])
        hit = value >= 0
        found[missing[hit]], source[missing[hit]] = value[hit], kind
        missing = missing[~hit]
        if not len(missing):
            break
    own = levels.own.nearest
    if own is not None:
        source[(source == _ANCESTOR) & (own[payer] == rows)] = _SPAN
    return Tagged(found, names, source)


def _inside(level: Level, rows: np.ndarray, outer: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """What a level declares at or beneath the boundary `outer` (-1 = none) of each of `rows`."""
    if level.nearest is None:
        return np.full(len(rows), NONE, dtype=np.int64)
    reached = level.nearest[rows]
    inside = (outer >= 0) & (reached >= 0) & (depth[reached] >= depth[outer])
    return np.where(inside, level.codes[reached], NONE)


def with_default(tagged: Tagged, default: str | None) -> Tagged:
    """Gives the default to the rows that found nothing."""
    missing = tagged.codes < 0
    if default is None or not missing.any():
        return tagged
    value = np.where(missing, len(tagged.names), tagged.codes)
    source = np.where(missing, _DEFAULT, tagged.source)
    return Tagged(value, [*tagged.names, default], source)


def with_credential(tagged: Tagged, pinned: Coded) -> Tagged:
    """Puts what is `pinned` (per row) before everything that was found."""
    bound = pinned.codes >= 0
    if not bound.any():
        return tagged
    value = np.where(bound, len(tagged.names) + pinned.codes, tagged.codes)
    source = np.where(bound, _CREDENTIAL, tagged.source)
    return Tagged(value, [*tagged.names, *pinned.names], source)


def with_run_of_link(tagged: Tagged, linked: np.ndarray, trace_ids: pa.ChunkedArray) -> Tagged:
    """A trace that links to another, and names no run, belongs to the run of that trace: where
    nobody names one, a run is a trace."""
    missing = (tagged.codes < 0) & (linked >= 0)
    if not missing.any():
        return tagged
    runs = codes(trace_ids.take(pa.array(linked[missing])))
    tagged.codes[missing] = len(tagged.names) + runs.indices.to_numpy()
    tagged.source[missing] = _LINK
    return Tagged(tagged.codes, [*tagged.names, *runs.dictionary.to_pylist()], tagged.source)


def find_links(spans: pa.Table) -> Links:
    """Links between the traces of a batch. Only spans at hand can be found."""
    target = np.full(spans.num_rows, NONE, dtype=np.int64)
    lost = np.zeros(spans.num_rows, dtype=bool)
    links = spans.column("links").combine_chunks()
    if isinstance(links, pa.ChunkedArray) or links.null_count == len(links):
        return Links(target, lost)
    flat = links.flatten()
    if not len(flat):
        return Links(target, lost)
    counts = pc.list_value_length(links).fill_null(0).to_numpy(zero_copy_only=False)
    source = np.repeat(np.arange(len(links)), counts)
    ids = spans.column("trace_id").combine_chunks()
    foreign = pc.not_equal(flat.field("trace_id"), ids.take(pa.array(source)))
    foreign = foreign.fill_null(False).to_numpy(zero_copy_only=False)
    if not foreign.any():
        return Links(target, lost)
    source, flat = source[foreign], flat.filter(pa.array(foreign))
    there = np.flatnonzero(pc.is_in(ids, value_set=flat.field("trace_id")).to_numpy(False))
    near = spans.select(["trace_id", "span_id"]).take(pa.array(there)).combine_chunks()
    key, wanted = (
        pc.binary_join_element_wise(of["trace_id"], of["span_id"], pa.scalar("", pa.string()))
        for of in (near, pa.Table.from_struct_array(flat))
    )
    found = pc.index_in(wanted, value_set=key.combine_chunks()).fill_null(NONE).to_numpy()
    row = np.append(there, NONE)[found]
    lost[source[row < 0]] = True
    hit = np.flatnonzero(row >= 0)[::-1]
    target[source[hit]] = row[hit]
    return Links(target, lost)
