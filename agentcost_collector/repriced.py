"""Stored steps, priced once more: by other cards, or by the very cards that priced them."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.book.standing import negated
from agentcost_collector.model.schemas import ALLOCATED, STEPS
from agentcost_collector.price.ratebook import RateBook
from agentcost_collector.price.steps import price_steps


def charged_entries(entries: pa.Table) -> pa.Table:
    """ENTRIES that come from a price: all but the shared costs. Quantities and money of reversals
    are those of the row that they reverse; `sign` still tells them apart."""
    shared = pc.fill_null(pc.equal(entries["kind"], ALLOCATED), False)
    entries = entries.filter(pc.invert(shared))
    reversals = pc.less(entries["sign"], 0)
    return pa.concat_tables(
        [entries.filter(pc.invert(reversals)), negated(entries.filter(reversals))]
    )


def priced_again(rows: pa.Table, book: RateBook) -> pa.Table:
    """CHARGES for the steps that `rows` (of `charged_entries`) hold, in their order."""
    numbers = pa.array([f"{n:012d}" for n in range(rows.num_rows)], pa.string())
    steps = rows.select(STEPS.names)
    for name, values in (("step_id", numbers), ("trace_id", pa.repeat("", rows.num_rows))):
        at = STEPS.get_field_index(name)
        steps = steps.set_column(at, STEPS.field(at), values)
    charges = price_steps(steps, book)
    return charges.take(pc.sort_indices(charges["step_id"]))
