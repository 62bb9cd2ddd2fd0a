"""Steps to charges: the only place where a step gets a price."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.model.money import USD, decimals, usd
from agentcost_collector.model.reasons import CostReason, CostStatus
from agentcost_collector.model.schemas import CHARGES, STEPS
from agentcost_collector.model.tables import conform
from agentcost_collector.price.amounts import counts
from agentcost_collector.price.assign import NUMBERS, assign_rates
from agentcost_collector.price.lines import NO_REASON, PARTS, REASONS, Lines
from agentcost_collector.price.plan import RateSet
from agentcost_collector.price.ratebook import RateBook

ASSUMED_MODEL = "model_requested"
"""Mark in `usage_note`: no served model was reported, the requested one was priced."""

_SORT = ("trace_id", "started_at", "step_id")
_STATUSES = tuple(CostStatus)
_STEP_MAX = 10**24  # a trillion dollars; a step beyond is a broken count and would break all sums


def price_steps(steps: pa.Table, book: RateBook) -> pa.Table:
    """STEPS to CHARGES, one row for each step, sorted by (trace_id, started_at, step_id).

    Exact dollars, each line rounded half-even to 1e-12. What cannot be priced has NULL costs and
    says why. Pure: the same steps and book give the same bytes. O(steps), plus some microseconds
    for each distinct combination of provider, model and context.
    """
    steps = _in_order(conform(steps, STEPS))
    if not steps.num_rows:
        return CHARGES.empty_table()
    quantities = {
        name: counts(steps.column(name))
        for name in NUMBERS
        if steps.column(name).null_count < steps.num_rows
    }
    sets, chosen = assign_rates(steps, quantities, book)
    lines = Lines(steps, quantities, [s.rates for s in sets], chosen)
    status, reason = _verdicts(sets, chosen, lines)
    for row, parts in lines.corrected.items():
        if sum(parts.values()) > _STEP_MAX:
            status[row] = _STATUSES.index(CostStatus.UNPRICED)
            reason[row] = REASONS.index(CostReason.USAGE_INCONSISTENT)
    known = status <= _STATUSES.index(CostStatus.PARTIAL)
    columns = dict(zip(STEPS.names, steps.columns, strict=True))
    columns |= {part: _money(lines, part, known) for part in PARTS}
    columns["cost_usd"] = _money(lines, None, known)
    for name, of in (("list_cost_usd", "listed"), ("original_cost", "original")):
        columns[name] = columns["cost_usd"]
        if any(getattr(s, of) for s in sets):
            other = Lines(steps, quantities, [getattr(s, of) or s.rates for s in sets], chosen)
            columns[name] = _money(other, None, known)
    columns["cost_status"] = _text(_STATUSES, status)
    columns["cost_reason"] = _text((*REASONS, None), reason)
    named = np.where(known, chosen, len(sets))
    columns["currency"] = _text((*(s.currency for s in sets), None), named)
    columns["original_cost"] = _where_known(columns["original_cost"], columns["currency"])
    columns["rate_id"] = _text((*(s.rate_id for s in sets), None), named)
    columns["card_digest"] = _text((*(s.digest for s in sets), None), named)
    columns["usage_note"] = _notes(steps, known)
    charges = pa.table([columns[name] for name in CHARGES.names], schema=CHARGES)
    assert charges.num_rows == steps.num_rows
    return charges


def _in_order(steps: pa.Table) -> pa.Table:
    """Sorted as CHARGES; sorting is dear, and the walk mostly hands over sorted steps."""
    if steps.num_rows < 2:
        return steps
    ahead, tied = (pa.scalar(known, pa.bool_()) for known in (False, True))
    for name in _SORT:
        column = steps.column(name)
        one, next_one = column.slice(0, len(column) - 1), column.slice(1)
        ahead = pc.or_kleene(ahead, pc.and_kleene(tied, pc.less(one, next_one)))
        tied = pc.and_kleene(tied, pc.equal(one, next_one))
    if pc.all(pc.or_kleene(ahead, tied), skip_nulls=False).as_py():
        return steps
    return steps.sort_by([(name, "ascending") for name in _SORT]).combine_chunks()


def _verdicts(
    sets: Sequence[RateSet], chosen: np.ndarray, lines: Lines
) -> tuple[np.ndarray, np.ndarray]:
    """Status and reason of each row, as indices."""
    priced, free, partial, unpriced = (
        _STATUSES.index(s)
        for s in (CostStatus.PRICED, CostStatus.FREE, CostStatus.PARTIAL, CostStatus.UNPRICED)
    )
    lacking = lines.reason < NO_REASON
    status = np.where(lines.priced & ~lines.charged, free, priced)
    status[lacking] = np.where(lines.priced[lacking], partial, unpriced)
    decided = np.array([s.status is not None for s in sets])[chosen] & ~lacking
    fixed = np.array([_STATUSES.index(s.status) if s.status else 0 for s in sets])[chosen]
    why = np.array([REASONS.index(s.reason) if s.reason else NO_REASON for s in sets])[chosen]
    return np.where(decided, fixed, status), np.where(decided, why, lines.reason)


def _money(lines: Lines, part: str | None, known: np.ndarray) -> pa.Array:
    """One part of all costs, or None for their sum; NULL where the price is not known."""
    parts = [lines.parts[part]] if part else list(lines.parts.values())
    fast = sum(parts[1:], parts[0])
    column = decimals(fast, USD, known)
    big = {row: amounts for row, amounts in lines.corrected.items() if known[row]}
    if not big:
        return column
    values = [usd(a[part] if part else sum(a.values())) for a in big.values()]
    rows = np.zeros(len(known), dtype=bool)
    rows[list(big)] = True
    return pc.replace_with_mask(column, pa.array(rows), pa.array(values, USD))


def _where_known(amounts: pa.Array, currency: pa.Array) -> pa.Array:
    """The amounts whose currency is one."""
    if currency.null_count == amounts.null_count:
        return amounts
    return pc.if_else(currency.is_valid(), amounts, None)


def _notes(steps: pa.Table, known: np.ndarray) -> pa.ChunkedArray:
    """`usage_note`, with a mark where the requested model stood in for the served one."""
    notes = steps.column("usage_note")
    stood_in = pc.and_(steps.column("model").is_null(), steps.column("requested_model").is_valid())
    stood_in = pc.and_(stood_in, pa.chunked_array([pa.array(known)]))
    if not pc.any(stood_in).as_py():
        return notes
    marked = pc.coalesce(pc.binary_join_element_wise(notes, ASSUMED_MODEL, ","), ASSUMED_MODEL)
    return pc.if_else(stood_in, marked, notes)


def _text(values: Sequence[str | None], index: np.ndarray) -> pa.Array:
    if (index == index[0]).all():
        return pa.repeat(pa.scalar(values[index[0]], pa.string()), len(index))
    return pa.array(values, pa.string()).take(pa.array(index))
