"""What another set of rate cards would have cost for the steps of a ledger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.ledger.reader import LedgerReader
from agentcost_collector.model.money import USD
from agentcost_collector.model.reasons import CostStatus
from agentcost_collector.price.ratebook import RateBook
from agentcost_collector.repriced import charged_entries, priced_again

GROUPS = ("provider", "model", "feature")
CHANGE = pa.schema(
    [
        *((name, pa.string()) for name in GROUPS),
        ("steps", pa.int64()),
        ("old_usd", USD),
        ("new_usd", USD),
        ("change_usd", USD),
        ("unpriced_old", pa.int64()),  # steps that are not fully priced
        ("unpriced_new", pa.int64()),
    ]
)
_WIDE = pa.decimal256(38, USD.scale)  # a difference has one digit more
_SUMS = ("steps", "old_usd", "new_usd", "unpriced_old", "unpriced_new")
_NOT_FULLY_PRICED = pa.array([CostStatus.UNPRICED, CostStatus.PARTIAL])


def price_change(
    directory: Path, old: RateBook, new: RateBook, progress: Callable[[int, int], None]
) -> pa.Table:
    """CHANGE over the steps that stand in the ledger: one row for each group that either set of
    cards charges, the greatest change first, then a row of totals whose groups are NULL.

    Exact: each step is priced by both, as the kernel prices it; reversed steps cancel out. Shared
    costs are left out. `progress(files done, files in all)`.
    """
    reader = LedgerReader(directory)
    files = reader.snapshot().ledger_files
    parts = [_grouped([], GROUPS)]
    for done, file in enumerate(files, start=1):
        for entries in reader.entries(file):
            rows = charged_entries(entries)
            parts = [_grouped([*parts, _signed(rows, old, new)], GROUPS)]
        progress(done, len(files))
    changed = parts[0].filter(_charged(parts[0]))
    before, after = (changed[name].cast(_WIDE) for name in ("old_usd", "new_usd"))
    changed = changed.append_column("change_usd", pc.subtract(after, before).cast(USD))
    size = pc.abs(changed["change_usd"])
    order = [("size", "descending"), *((name, "ascending") for name in GROUPS)]
    changed = changed.append_column("size", size).sort_by(order).select(CHANGE.names)
    return pa.concat_tables([changed.cast(CHANGE), _total(changed)])


def _charged(groups: pa.Table) -> pa.ChunkedArray:
    """Groups that either set of cards charges, or should."""
    none = pa.scalar(0, USD)
    money = pc.or_(pc.not_equal(groups["old_usd"], none), pc.not_equal(groups["new_usd"], none))
    lacking = pc.or_(
        pc.not_equal(groups["unpriced_old"], 0), pc.not_equal(groups["unpriced_new"], 0)
    )
    return pc.or_(money, lacking)


def _signed(rows: pa.Table, old: RateBook, new: RateBook) -> pa.Table:
    """What each row adds to the sums of its group."""
    before, after = (priced_again(rows, book) for book in (old, new))
    sign = rows["sign"].cast(pa.int64())
    reversal = pc.less(sign, 0)

    def money(charges: pa.Table) -> pa.ChunkedArray:
        cost = pc.fill_null(charges["cost_usd"], pa.scalar(0, USD))
        return pc.if_else(reversal, pc.negate(cost), cost)

    def unpriced(charges: pa.Table) -> pa.ChunkedArray:
        lacking = pc.is_in(charges["cost_status"], value_set=_NOT_FULLY_PRICED)
        return pc.if_else(lacking, sign, 0)

    model = pc.coalesce(rows["model"], rows["requested_model"])
    return pa.table(
        {
            "provider": rows["provider"],
            "model": model,
            "feature": rows["feature"],
            "steps": sign,
            "old_usd": money(before),
            "new_usd": money(after),
            "unpriced_old": unpriced(before),
            "unpriced_new": unpriced(after),
        }
    )


def _grouped(parts: Sequence[pa.Table], keys: Sequence[str]) -> pa.Table:
    """Sums by `keys`."""
    fields = [field for field in CHANGE if field.name in keys or field.name in _SUMS]
    schema = pa.schema(fields)
    rows = pa.concat_tables([schema.empty_table(), *(part.cast(schema) for part in parts)])
    sums = rows.group_by(list(keys), use_threads=False).aggregate([(s, "sum") for s in _SUMS])
    return sums.rename_columns([*keys, *_SUMS]).cast(schema)


def _total(changed: pa.Table) -> pa.Table:
    """One row of CHANGE: the sums over all groups."""
    sums = {name: pc.sum(changed[name]).as_py() or 0 for name in CHANGE.names if name not in GROUPS}
    return pa.Table.from_pylist([{**dict.fromkeys(GROUPS), **sums}], schema=CHANGE)
