"""The step: who used what of a period -> what each of them pays for its shared costs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.allocate.config import SharedCost
from agentcost_collector.model.money import pico, split, usd
from agentcost_collector.model.reasons import CostStatus, UnattributedReason
from agentcost_collector.model.schemas import ALLOCATED, CHARGES, PAYER_TAGS
from agentcost_collector.model.tables import concat

SKU_PREFIX = "shared/"
"""`rate_id` of an allocated charge is this, the cost's id, "@" and the first day of its period."""

IDLE = "idle"

_AMOUNTS = ("cost_usd", "unit_cost_usd", "list_cost_usd", "original_cost")

Tags = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class _Share:
    tags: Tags
    weight: int
    idle: bool = False


def allocate_costs(costs: list[SharedCost], uses_in: Callable[[date, date], pa.Table]) -> pa.Table:
    """CHARGES of all costs, sorted by (trace_id, started_at, step_id).

    `uses_in(first day, day after the last)` gives the USES of a period. A cost and its first day
    make a `trace_id`; a payer within it makes a `step_id`, always the same one. Shares that round
    to nothing make no charge. Cost: O(USES) for each cost, a Python object for each payer.
    """
    tables = [_charges(cost, uses_in(cost.since, cost.until)) for cost in costs]
    order = [(name, "ascending") for name in ("trace_id", "started_at", "step_id")]
    return concat(tables, CHARGES).sort_by(order).combine_chunks()


def _charges(cost: SharedCost, uses: pa.Table) -> pa.Table:
    shares = list(_shares(cost, uses))
    amounts = split(pico(cost.amount), [share.weight for share in shares])
    common = _common(cost)
    rows = [
        common | _payer(common["trace_id"], share) | _money(amount)
        for share, amount in zip(shares, amounts, strict=True)
        if amount
    ]
    return pa.Table.from_pylist(rows, schema=CHARGES)


def _shares(cost: SharedCost, uses: pa.Table) -> Iterator[_Share]:
    """Payers with their weights, in a fixed order; never without any weight."""
    if cost.method == "weights":
        weights = {weighted.tags(): pico(weighted.weight) for weighted in cost.weights}
    else:
        weights = _used(cost, uses)
    used = 0
    for tags in sorted(weights, key=lambda tags: [(tag is not None, tag or "") for tag in tags]):
        yield _Share(tags, weights[tags])
        used += weights[tags]
    idle = 0 if cost.capacity is None else max(pico(cost.capacity) - used, 0)
    if idle or not used:
        yield _Share(cost.idle_payer.tags(), idle or 1, idle=True)


def _used(cost: SharedCost, uses: pa.Table) -> dict[Tags, int]:
    """What each payer among those that share the cost used of its driver, all 1 for `even`."""
    for column, values in cost.shared_by.items():
        uses = uses.filter(pc.is_in(uses.column(column), value_set=pa.array(values, pa.string())))
    driver = cost.driver or "calls"
    sums = uses.group_by(list(PAYER_TAGS)).aggregate([(driver, "sum")])
    found = zip(*(sums.column(name).to_pylist() for name in sums.schema.names), strict=True)
    used = {row[:-1]: pico(row[-1]) for row in found if row[-1] is not None and row[-1] > 0}
    return dict.fromkeys(used, 1) if cost.method == "even" else used


def _common(cost: SharedCost) -> dict[str, Any]:
    """What all charges of a cost say."""
    name = cost.name or cost.id
    key = json.dumps([SKU_PREFIX, cost.id, cost.since.isoformat()])
    return {
        "trace_id": _digest(key, 32),
        "kind": ALLOCATED,
        "name": name,
        "path": name,
        "started_at": _midnight(cost.since),
        "ended_at": _midnight(cost.until) - timedelta(microseconds=1),
        "service": cost.owner.service,
        "parent_run_id_from": "none",
        "owner_team": cost.owner.team,
        "owner_feature": cost.owner.feature,
        "owner_service": cost.owner.service,
        "provider": cost.provider,
        "operation": cost.method,
        "target": cost.driver,
        "cost_status": CostStatus.PRICED,
        "currency": "USD",
        "rate_id": f"{SKU_PREFIX}{cost.id}@{cost.since.isoformat()}",
        "card_digest": _digest(cost.model_dump_json(exclude_defaults=True), 16),
    }


def _payer(trace_id: str, share: _Share) -> dict[str, Any]:
    span_id = _digest(json.dumps([trace_id, share.idle, *share.tags]), 16)
    tags = dict(zip(PAYER_TAGS, share.tags, strict=True))
    reason = UnattributedReason.IDLE if share.idle else UnattributedReason.UNATTRIBUTED_USE
    return {
        "span_id": span_id,
        "step_id": f"{trace_id}-{span_id}",
        **tags,
        **{f"{tag}_from": "none" if value is None else ALLOCATED for tag, value in tags.items()},
        "usage_role": IDLE if share.idle else None,
        "unattributed_reason": None if tags["feature"] is not None else reason,
    }


def _money(amount: int) -> dict[str, Decimal]:
    return dict.fromkeys(_AMOUNTS, usd(amount))


def _digest(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
