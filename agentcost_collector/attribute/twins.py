"""What a survivor learns from its twins: the cache split, the served model, the tier, the id."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.attribute.ownership import Ownership, reason_code
from agentcost_collector.model.notes import Note
from agentcost_collector.model.reasons import UsageReason
from agentcost_collector.model.tables import codes

_SAME_CALL = tuple(
    reason_code(r)
    for r in (UsageReason.NESTED_TWIN, UsageReason.SIBLING_TWIN, UsageReason.SAME_RESPONSE)
)


class Enriched:
    """Facts of every row, completed from its twins."""

    TEXT = ("provider", "model", "service_tier", "pricing_context", "response_id")

    def __init__(
        self, facts: pa.Table, survivor: np.ndarray, twin: np.ndarray, lasted: np.ndarray
    ) -> None:
        self._facts = facts
        self._survivor = survivor
        self._twin = twin
        self.usage_row = _richest(facts, survivor, twin, lasted)
        """Whose token columns to use for each row."""
        self.note = _notes(facts)[self.usage_row]

    def text(self, name: str) -> pa.DictionaryArray:
        """A text fact, taken from a twin where the survivor lacks it.

        A model that a twin was served beats a model that the survivor merely requested.
        """
        column = codes(self._facts.column(name))
        if not len(self._twin):
            return column
        code = column.indices.fill_null(-1).to_numpy(zero_copy_only=False).copy()
        lacks = code[self._survivor] < 0
        if name == "model":
            served = _served(self._facts)
            lacks |= ~served[self._survivor] & served[self._twin]
        gives = lacks & (code[self._twin] >= 0)
        code[self._survivor[gives][::-1]] = code[self._twin[gives][::-1]]
        return pa.DictionaryArray.from_arrays(pa.array(code, mask=code < 0), column.dictionary)

    def reported_cost(self) -> pa.Array:
        """What the emitter says it cost; from a twin where the survivor does not say."""
        own = self._facts.column("reported_cost_usd").combine_chunks()
        valid = own.is_valid().to_numpy(zero_copy_only=False)
        source = np.arange(len(own))
        gives = ~valid[self._survivor] & valid[self._twin]
        source[self._survivor[gives][::-1]] = self._twin[gives][::-1]
        return own.take(pa.array(source)) if gives.any() else own


def enrich(facts: pa.Table, own: Ownership, lasted: np.ndarray) -> Enriched:
    """Completes survivors from their twins. `lasted`: how long each span took. Vectorised over all
    twins of a batch."""
    twin = np.flatnonzero(np.isin(own.reason, _SAME_CALL) & (own.survivor >= 0))
    return Enriched(facts, own.survivor[twin], twin, lasted)


def _richest(
    facts: pa.Table, survivor: np.ndarray, twin: np.ndarray, lasted: np.ndarray
) -> np.ndarray:
    """For every row the twin (or itself) whose numbers say most.

    Most: the larger total where twins differ because one left cache or reasoning out, then the
    cache split, then its retention, then the reasoning, then that no cache writes can be lost; the
    survivor itself where all are equal. Of twins that simply say other numbers the shortest is
    believed: it was nearest to the provider.
    """
    rows = np.arange(facts.num_rows)
    if not len(twin):
        return rows
    heads = np.unique(survivor)
    group = np.concatenate([heads, survivor])
    member = np.concatenate([heads, twin])
    own = np.concatenate([np.ones(len(heads), np.int64), np.zeros(len(twin), np.int64)])

    def count(name: str) -> np.ndarray:
        values: np.ndarray = facts.column(name).fill_null(-1).to_numpy()[member]
        return values

    total = np.maximum(count("input_total"), 0) + np.maximum(count("output_total"), 0)
    total[~_explained(facts, _shortest(lasted, group, member, total > 0), member)] = -1
    write = count("cache_write_short_tokens") + count("cache_write_long_tokens")
    split = (count("cache_read_tokens") > 0).astype(np.int64) + (write > 0)
    note = _notes(facts)[member]
    known = (note & int(Note.RETENTION_UNKNOWN)) == 0
    sure = (note & int(Note.CACHE_WRITE_MAY_BE_LOST)) == 0
    order = np.lexsort(
        (own, sure, count("reasoning_tokens") > 0, known & (write > 0), split, total, group)
    )
    last = np.flatnonzero(np.r_[group[order][1:] != group[order][:-1], True])
    rows[group[order][last]] = member[order][last]
    return rows


def _shortest(
    lasted: np.ndarray, group: np.ndarray, member: np.ndarray, reports: np.ndarray
) -> np.ndarray:
    """For each twin the one of its group that reports and took least; no time at all is not a
    call's."""
    order = np.lexsort((member, lasted[member], lasted[member] == 0, ~reports, group))
    first = np.flatnonzero(np.r_[True, group[order][1:] != group[order][:-1]])
    shortest = np.zeros(len(lasted), np.int64)
    shortest[group[order][first]] = member[order][first]
    return shortest[group]


def _explained(facts: pa.Table, head: np.ndarray, twin: np.ndarray) -> np.ndarray:
    """Whether a twin's totals are those of `head`, give or take cached and reasoning tokens, or say
    what it does not."""

    def counts(name: str, rows: np.ndarray) -> np.ndarray:
        values: np.ndarray = facts.column(name).fill_null(0).to_numpy()[rows]
        return values

    def differs(total: str, parts: Sequence[Sequence[str]]) -> np.ndarray:
        own = counts(total, head)
        difference = np.abs(own - counts(total, twin))
        same = (difference == 0) | (own == 0)
        for rows in (head, twin):
            for names in parts:
                same |= difference == sum(counts(name, rows) for name in names)
        return ~same

    read, write = "cache_read_tokens", ("cache_write_short_tokens", "cache_write_long_tokens")
    return ~differs("input_total", ((read,), write, (read, *write))) & ~differs(
        "output_total", (("reasoning_tokens",),)
    )


def _notes(facts: pa.Table) -> np.ndarray:
    """Notes of normalise, plus the cache writes that an emitter is known to lose."""
    note: np.ndarray = facts.column("usage_note").to_numpy()
    loses = facts.column("loses_cache_write").to_numpy()
    if not loses.any():
        return note
    anthropic = pc.equal(facts.column("provider").cast(pa.string()), "anthropic")
    write = pc.add(
        facts.column("cache_write_short_tokens"), facts.column("cache_write_long_tokens")
    )
    none = pc.equal(write, 0).fill_null(False).to_numpy()
    hit = loses & anthropic.fill_null(False).to_numpy() & none
    return np.where(hit, note | int(Note.CACHE_WRITE_MAY_BE_LOST), note).astype(np.int32)


def _served(facts: pa.Table) -> np.ndarray:
    """Whether a row's model is what was served, not only what was asked for."""
    model, asked = (facts.column(c).cast(pa.string()) for c in ("model", "requested_model"))
    differs: np.ndarray = pc.not_equal(model, asked).fill_null(True).to_numpy()
    return differs
