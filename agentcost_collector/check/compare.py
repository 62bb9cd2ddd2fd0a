"""Two trials side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, localcontext

import pyarrow as pa

from agentcost_collector.check.cost import DIMENSIONS, NOTHING, TOTAL, Cost, cost_of
from agentcost_collector.model.money import USD

_MEASURES = ("runs", "steps", "tokens", "unpriced_steps")
_USD = Decimal(1).scaleb(-USD.scale)

COMPARED = pa.schema(
    [
        ("dimension", pa.string()),  # total, feature, model or tool
        ("name", pa.string()),
        *((f"{name}_{side}", pa.int64()) for name in _MEASURES for side in ("base", "head")),
        ("cost_usd_base", USD),  # of what has a price
        ("cost_usd_head", USD),
        ("change_usd", USD),
        ("usd_per_run_base", USD),  # to the nearest; NULL without a run
        ("usd_per_run_head", USD),
        ("change_percent", pa.decimal128(38, 1)),  # of usd_per_run; NULL where it was nothing
    ]
)
"""Row = a feature, model or tool of either side, or all; the greatest change first."""


@dataclass(frozen=True)
class Growth:
    """A feature, or all, that costs more a run than before."""

    feature: str | None
    """None for all."""
    base: Decimal
    head: Decimal


def compared(base: pa.Table, head: pa.Table) -> pa.Table:
    """COMPARED from COSTS of both sides."""
    before, after = cost_of(base), cost_of(head)
    keys = sorted(
        before.keys() | after.keys(),
        key=lambda key: (
            (TOTAL, *DIMENSIONS).index(key[0]),
            -abs(_usd(after.get(key, NOTHING)) - _usd(before.get(key, NOTHING))),
            key[1] or "",
        ),
    )
    rows = [_row(*key, before.get(key, NOTHING), after.get(key, NOTHING)) for key in keys]
    return pa.Table.from_pylist(rows, COMPARED)


def grown(table: pa.Table, percent: Decimal) -> Iterator[Growth]:
    """The total and the features of COMPARED whose cost per run rose by more than `percent`.

    What is new has nothing to be compared with, and counts in the total.
    """
    for row in table.to_pylist():
        base, head = row["usd_per_run_base"], row["usd_per_run_head"]
        if row["dimension"] not in (TOTAL, DIMENSIONS[0]) or base is None or head is None:
            continue
        if (head - base) * 100 > percent * base:
            yield Growth(row["name"] if row["dimension"] != TOTAL else None, base, head)


def _row(dimension: str, name: str | None, base: Cost, head: Cost) -> dict[str, object]:
    sides = (("base", base), ("head", head))
    counts = {f"{m}_{side}": getattr(cost, m) for m in _MEASURES for side, cost in sides}
    per_run = {f"usd_per_run_{side}": _per_run(cost) for side, cost in sides}
    before, after = per_run["usd_per_run_base"], per_run["usd_per_run_head"]
    return {
        "dimension": dimension,
        "name": name,
        **counts,
        "cost_usd_base": base.priced_usd,
        "cost_usd_head": head.priced_usd,
        "change_usd": _usd(head) - _usd(base),
        **per_run,
        "change_percent": _percent(before, after) if before and after is not None else None,
    }


def _usd(cost: Cost) -> Decimal:
    return cost.priced_usd or Decimal(0)


def _per_run(cost: Cost) -> Decimal | None:
    if not cost.runs or cost.priced_usd is None:
        return None
    with localcontext(prec=60):
        return (cost.priced_usd / cost.runs).quantize(_USD)


def _percent(base: Decimal, head: Decimal) -> Decimal:
    with localcontext(prec=60):
        return ((head - base) * 100 / base).quantize(Decimal("0.1"))
