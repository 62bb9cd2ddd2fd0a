"""What drove a cost: steps alike in kind, in what they called and in their path."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from agentcost_collector.model.money import pico, split, usd
from agentcost_collector.model.reasons import CostStatus

Charge = Mapping[str, Any]

_OPEN = (CostStatus.UNPRICED, CostStatus.PARTIAL)


@dataclass(frozen=True, slots=True)
class Driver:
    """Steps alike in `kind`, `what` and `path`."""

    kind: str | None
    what: str | None
    """The model, else the tool, else the target; of a tool, the tool first."""
    path: str | None
    """Span names from the root, joined by ";"."""
    steps: int
    failed: int
    """Steps whose status is error; what they cost is in `cost_usd`."""
    unpriced: int
    """Steps without a price, or with only part of one."""
    cost_usd: Decimal | None
    """NULL where no step has a price."""
    share_percent: int | None
    """Of the total; all shares add up to 100. NULL where the total is not above 0."""
    rate_ids: tuple[str, ...]
    """Rates that were applied, sorted."""


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A total, what it does not hold, and its drivers, the dearest first."""

    steps: int
    failed: int
    failed_usd: Decimal | None
    """Part of `cost_usd` that failed steps cost."""
    unpriced: int
    unattributed: int
    """Steps that no feature pays."""
    unattributed_usd: Decimal | None
    """Part of `cost_usd` that no feature pays."""
    cost_usd: Decimal | None
    drivers: tuple[Driver, ...]


def break_down(charges: Sequence[Charge]) -> Breakdown:
    """Groups `charges` into drivers. The order is fixed: cost, then steps, then names."""
    groups: dict[tuple[str | None, ...], list[Charge]] = defaultdict(list)
    for charge in charges:
        groups[charge["kind"], _what(charge), charge["path"]].append(charge)
    ranked = sorted(
        groups.items(),
        key=lambda item: (-_pico(item[1]), -len(item[1]), *(text or "" for text in item[0])),
    )
    costs = [_pico(group) for _, group in ranked]
    exact = sum(costs) > 0 and min(costs) >= 0
    shares: Sequence[int | None] = split(100, costs) if exact else [None] * len(costs)
    failed = [c for c in charges if c["status"] == "error"]
    nobody = [c for c in charges if c["feature"] is None]
    return Breakdown(
        len(charges),
        len(failed),
        _cost(failed),
        _unpriced(charges),
        len(nobody),
        _cost(nobody),
        _cost(charges),
        tuple(
            _driver(key, group, share) for (key, group), share in zip(ranked, shares, strict=True)
        ),
    )


def _driver(key: tuple[str | None, ...], group: Sequence[Charge], share: int | None) -> Driver:
    kind, what, path = key
    return Driver(
        kind,
        what,
        path,
        len(group),
        sum(c["status"] == "error" for c in group),
        _unpriced(group),
        _cost(group),
        share,
        tuple(sorted({c["rate_id"] for c in group if c["rate_id"]})),
    )


def _what(charge: Charge) -> str | None:
    names = ("model", "requested_model", "tool", "target")
    if charge["kind"] == "tool":
        names = ("tool", "target", "model", "requested_model")
    return next((charge[name] for name in names if charge[name]), None)


def _unpriced(charges: Iterable[Charge]) -> int:
    return sum(c["cost_status"] in _OPEN for c in charges)


def _pico(charges: Iterable[Charge]) -> int:
    return sum(pico(c["cost_usd"]) for c in charges if c["cost_usd"] is not None)


def _cost(charges: Sequence[Charge]) -> Decimal | None:
    """Sum of what has a price; NULL where nothing has."""
    known = [c for c in charges if c["cost_usd"] is not None]
    return usd(_pico(known)) if known else None
