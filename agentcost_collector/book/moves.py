"""What corrections move: from whom to whom, how much, and why."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.book.standing import negated, same_rows
from agentcost_collector.model.money import SCALE, USD
from agentcost_collector.model.schemas import MONEY, TAGS, TOKENS
from agentcost_collector.model.tables import concat

_WHO = ("from_feature", "from_team", "to_feature", "to_team")
_SUMS = ("steps", "before_usd", "after_usd", "difference_usd")

MOVES = pa.schema(
    [
        ("cause", pa.string()),  # new step, gone step, or of _CAUSES joined by ", "
        *((name, pa.string()) for name in _WHO),  # NULL for nobody
        ("steps", pa.int64()),
        ("before_usd", USD),  # what these steps cost before; what is not known counts as 0
        ("after_usd", USD),
        ("difference_usd", USD),
    ]
)
"""Row = cause, old payer and new payer; the largest difference first, then the largest amount."""

_WIDE = pa.decimal256(50, SCALE)  # Arrow wants a digit more for a difference than USD has

_USAGE = (
    *("kind", "provider", "model", "tool", "operation", "service_tier", "region", "account"),
    *("pricing_context", "unit", "units", "gpu_seconds", "cpu_seconds", "gib_seconds", *TOKENS),
)
_OWNER = ("owner_feature", "owner_team", "owner_service")
_PRICE = ("rate_id", "cost_status", "cost_reason", "currency", "original_cost", *MONEY)
_SEEN = ["step_id", "sign", *_USAGE, *TAGS, *_OWNER, *_PRICE]
_CAUSES = ("usage", "payer", "owner", "price", "other")
"""In which facts the two rows of a step differ. A price that differs because the usage does is
usage; other: nothing of these."""


def moves_of(entries: pa.Table) -> pa.Table:
    """MOVES that ENTRIES of one booking make: a step that is reversed and added is one change."""
    entries = entries.select(_SEEN)
    added = entries.filter(pc.greater(entries["sign"], 0))
    taken = negated(entries.filter(pc.less(entries["sign"], 0)))
    at = pc.index_in(added["step_id"], value_set=taken["step_id"].combine_chunks())
    both, was = pc.is_valid(at), pc.drop_null(at)
    new = added.filter(pc.invert(both))
    stays = np.ones(taken.num_rows, bool)
    stays[was.to_numpy()] = False
    gone = taken.filter(pa.array(stays))
    before, after = taken.take(was), added.filter(both)
    return sum_of_moves(
        [
            _moves(None, new, pa.repeat("new step", new.num_rows)),
            _moves(gone, None, pa.repeat("gone step", gone.num_rows)),
            _moves(before, after, _causes(before, after)),
        ]
    )


def sum_of_moves(moves: Iterable[pa.Table]) -> pa.Table:
    """One row per cause, old payer and new payer."""
    rows = concat(moves, MOVES)
    keys = ["cause", *_WHO]
    grouped = rows.group_by(keys, use_threads=False).aggregate([(name, "sum") for name in _SUMS])
    return _largest_first(grouped.rename_columns([*keys, *_SUMS]).cast(MOVES))


def _largest_first(moves: pa.Table) -> pa.Table:
    sizes = {f"size {name}": pc.abs(moves[name]) for name in ("difference_usd", "after_usd")}
    sized = moves
    for name, size in sizes.items():
        sized = sized.append_column(name, size)
    largest = [(name, "descending") for name in (*sizes, "steps")]
    keys = [*largest, *((name, "ascending") for name in ("cause", *_WHO))]
    return moves.take(pc.sort_indices(sized, sort_keys=keys))


def _moves(before: pa.Table | None, after: pa.Table | None, cause: pa.Array) -> pa.Table:
    """A row a change."""
    rows = len(cause)
    nobody, nothing = pa.nulls(rows, pa.string()), pa.repeat(pa.scalar(0, USD), rows)
    payers = [
        nobody if side is None else side[name]
        for side in (before, after)
        for name in ("feature", "team")
    ]
    was, now = (
        nothing if side is None else pc.fill_null(side["cost_usd"], pa.scalar(0, USD))
        for side in (before, after)
    )
    ones = pa.array(np.ones(rows, np.int64))
    difference = pc.subtract(now.cast(_WIDE), was.cast(_WIDE)).cast(USD)
    return pa.table([cause, *payers, ones, was, now, difference], schema=MOVES)


def _causes(before: pa.Table, after: pa.Table) -> pa.Array:
    usage, payer, owner, price = (
        ~same_rows(before, after, names) for names in (_USAGE, TAGS, _OWNER, _PRICE)
    )
    price &= ~usage
    bits = usage * 1 + payer * 2 + owner * 4 + price * 8
    texts = [_cause(value) for value in range(16)]
    return pa.array(texts, pa.string()).take(pa.array(bits))


def _cause(bits: int) -> str:
    return ", ".join(name for n, name in enumerate(_CAUSES) if bits >> n & 1) or _CAUSES[-1]
