"""Two periods of the ledger side by side, by feature, team or tenant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.budget import Budget, Budgets, Measure
from agentcost_collector.model.errors import CorruptionError
from agentcost_collector.model.money import PICO, USD, pico, picos, usd
from agentcost_collector.model.tables import codes
from agentcost_collector.report.config import Config
from agentcost_collector.report.cubes import days_with
from agentcost_collector.report.period import Period
from agentcost_collector.report.query import hold, sentence
from agentcost_collector.report.sql import NOT_FULLY_PRICED, quoted
from agentcost_collector.variance.causes import BASE, CAUSES, HEAD, Branches, causes


class By(StrEnum):
    """What a row is."""

    FEATURE = "feature"
    TEAM = "team"
    TENANT = "tenant"


VARIANCE = pa.schema(
    [
        ("name", pa.string()),  # NULL: nobody
        ("base_usd", USD),  # of the period before, or of the budget
        ("actual_usd", USD),
        ("change_usd", USD),
        *((name, USD) for name in CAUSES),  # of the change, to which they add up
        ("budget", pa.string()),  # that is tied to exactly this, for this period
        ("cap_usd", USD),  # with raises of its last day
        ("over_usd", USD),  # NULL where it is within its budget, or has none
        ("base_unpriced_steps", pa.int64()),
        ("unpriced_steps", pa.int64()),
    ]
)
"""Row = feature, team or tenant, the greatest change first; then all of them as the name `total`.
Money is of steps with a price."""

ROWS_MAX, BRANCHES_MAX = 50, 10
"""The dearest so many are rows, or branches of a row, of their own; all others are one, OTHER."""
OTHER = "__other__"

TOTAL = "total"

_CLASSES = {
    "input": ("input_tokens", "input_audio_tokens", "input_image_tokens"),
    "cache": ("cache_read_tokens", "cache_write_short_tokens", "cache_write_long_tokens"),
    "output": ("output_tokens", "output_audio_tokens", "output_image_tokens"),
}
_PATHS = {
    By.FEATURE: ("NULL", "tenant"),
    By.TEAM: ("feature", "tenant"),
    By.TENANT: ("feature", "NULL"),
}


@dataclass(frozen=True)
class _Trees:
    """What the two periods cost, a tree for each row of VARIANCE."""

    names: Sequence[str | None]
    branches: Branches
    unpriced: np.ndarray
    """Steps without a full price, trees x 2."""


class Compared:
    """Days of two periods, read once for all that is asked of them. CorruptionError where the
    ledger cannot be read.

    They are the table `compared` of the connection, so one of these lives at a time.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, period: Period, before: Period
    ) -> None:
        self.connection, self.period, self.before = connection, period, before
        self._named: dict[str, list[str]] = {}  # the dearest of a column, dearest first
        try:
            hold(connection, "compared", self._query())
        except duckdb.Error as fault:
            raise CorruptionError(f"the ledger cannot be read: {sentence(fault)}") from fault

    def dearest(self, column: str, most: int) -> str:
        """SQL of a column, in which only the dearest of both periods have their names."""
        if column not in self._named:
            query = f"""
SELECT {column} FROM {days_with([column])} WHERE {self._where} AND {column} IS NOT NULL
GROUP BY {column} ORDER BY sum(cost_usd) DESC NULLS LAST, {column} LIMIT {ROWS_MAX + 1}"""
            self._named[column] = [row[0] for row in self.connection.execute(query).fetchall()]
        found = self._named[column]
        if len(found) <= most:
            return column
        listed = ", ".join(quoted(name) for name in found[:most])
        named = f"{column} IN ({listed}) OR {column} IS NULL"
        return f"CASE WHEN {named} THEN {column} ELSE '{OTHER}' END"

    @property
    def _where(self) -> str:
        return f"({self.before.where} OR {self.period.where})"

    def _query(self) -> str:
        sums = [
            "sum(steps) AS steps",
            f"sum(steps) FILTER ({NOT_FULLY_PRICED}) AS unpriced",
            *(
                f"{' + '.join(f'coalesce(sum({n}), 0)' for n in names)} AS {of}_tokens"
                for of, names in _CLASSES.items()
            ),
            *(f"sum({of}_cost_usd) AS {of}_usd" for of in _CLASSES),
            "sum(cost_usd) AS usd",
        ]
        return f"""
SELECT feature, team, {self.dearest("tenant", ROWS_MAX)} AS tenant, kind, tool, provider, model,
    {self.period.where} AS is_head, coalesce(status = 'error', false) AS failed,
    {", ".join(sums)}
FROM days WHERE {self._where} GROUP BY ALL"""


def variance(
    compared: Compared,
    by: By,
    config: Config,
    budgets: Budgets | None = None,
    against_budget: bool = False,
) -> pa.Table:
    """VARIANCE of a period against the one before, or against its budget.

    A budget is taken as a plan to do what was done `before`, as much of it as the cap pays for; a
    row without one is compared with `before`. CorruptionError where the ledger cannot be read.
    """
    try:
        trees = _trees(compared, by)
    except duckdb.Error as fault:
        raise CorruptionError(f"the ledger cannot be read: {sentence(fault)}") from fault
    period = compared.period
    caps = {getattr(b, by): b for b in _tied(budgets, by, period, config)}
    costs = trees.branches.cost()
    plans = [
        _plan(int(base), caps.get(name) if name else None, period, against_budget)
        for name, base in zip(trees.names, costs[:, BASE], strict=True)
    ]
    parts = causes(trees.branches, [plan.scale for plan in plans])
    rows = [
        _row(name, plan, *of_row)
        for name, plan, *of_row in zip(
            trees.names, plans, costs, parts, trees.unpriced, strict=True
        )
    ]
    rows.sort(key=lambda row: (-abs(row["change_usd"]), row["name"] is None, row["name"] or ""))
    return pa.Table.from_pylist([*rows, _total(rows)], VARIANCE)


class _Plan(NamedTuple):
    """What a row is compared with."""

    base: Fraction
    """Dollars."""
    scale: Fraction
    """By which what was done before is multiplied."""
    budget: Budget | None
    cap: Decimal | None


def _plan(before: int, budget: Budget | None, period: Period, against_budget: bool) -> _Plan:
    """`before`: pico-dollars of the period before."""
    cap = None if budget is None else budget.amount + budget.raised(_last_day(period))
    base, scale = Fraction(before, PICO), Fraction(1)
    if against_budget and cap is not None:
        scale = Fraction(cap) / base if base else scale
        base = Fraction(cap)
    return _Plan(base, scale, budget, cap)


def _row(
    name: str | None, plan: _Plan, cost: np.ndarray, parts: np.ndarray, unpriced: np.ndarray
) -> dict[str, Any]:
    before, actual = (Fraction(side, PICO) for side in cost)
    split = dict(zip(CAUSES, parts, strict=True))
    if plan.base != before * plan.scale:  # a budget for what was never done: all of it is volume
        split["volume"] -= pico(_decimal(plan.base))
    over = plan.cap is not None and actual > plan.cap
    return {
        "name": name,
        "base_usd": _decimal(plan.base),
        "actual_usd": _decimal(actual),
        "change_usd": _decimal(actual - plan.base),
        **{cause: usd(part) for cause, part in split.items()},
        "budget": plan.budget.name if plan.budget else None,
        "cap_usd": plan.cap,
        "over_usd": _decimal(actual) - plan.cap if plan.cap is not None and over else None,
        "base_unpriced_steps": int(unpriced[BASE]),
        "unpriced_steps": int(unpriced[HEAD]),
    }


def _total(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    summed = ("base_usd", "actual_usd", "change_usd", *CAUSES)
    total: dict[str, Any] = {"name": TOTAL}
    total |= {name: sum((row[name] for row in rows), Decimal(0)) for name in summed}
    counts = ("base_unpriced_steps", "unpriced_steps")
    return total | {name: sum(row[name] for row in rows) for name in counts}


def _trees(compared: Compared, by: By) -> _Trees:
    """A leaf for each branch that either period has."""
    counts = ["steps", "unpriced", *(f"{of}_tokens" for of in _CLASSES)]
    costs = [*(f"{of}_usd" for of in _CLASSES), "usd"]
    sums = [
        *(f"CAST(coalesce(sum({name}), 0) AS BIGINT) AS {name}" for name in counts),
        *(f"coalesce(sum({name}), 0) AS {name}" for name in costs),
    ]
    paths = ["NULL" if of == "NULL" else compared.dearest(of, BRANCHES_MAX) for of in _PATHS[by]]
    query = f"""
SELECT {compared.dearest(str(by), ROWS_MAX)} AS name,
    CAST({paths[0]} AS VARCHAR) AS feature, CAST({paths[1]} AS VARCHAR) AS tenant,
    kind, tool, provider, model, is_head, failed, {", ".join(sums)}
FROM compared GROUP BY ALL"""
    return _trees_of(compared.connection.sql(query).to_arrow_table())


def _trees_of(rows: pa.Table) -> _Trees:
    names = [*codes(rows["name"]).dictionary.to_pylist(), None]
    trees, tree = np.unique(_numbers(rows, "name"), return_inverse=True)
    levels = (("feature",), ("tenant",), ("kind", "tool"), ("provider", "model"))
    paths = [tree, *(_numbers(rows, *columns) for columns in levels)]
    _, first, leaf = np.unique(_joined(paths), return_index=True, return_inverse=True)
    of = np.column_stack(paths)[first]
    at = (leaf, rows["is_head"].to_numpy() * 1, rows["failed"].to_numpy() * 1)
    classes = [rows[f"{name}_tokens"].to_numpy().astype(object) for name in _CLASSES]
    costs = [picos(rows[f"{name}_usd"]) for name in _CLASSES]
    costs.append(picos(rows["usd"]) - sum(costs))  # the last class is what no token is priced for
    unpriced = np.zeros((len(trees), 2), np.int64)
    np.add.at(unpriced, (of[at[0], 0], at[1]), rows["unpriced"].to_numpy())
    return _Trees(
        [names[number] for number in trees],
        Branches(
            of,
            _filled(len(of), at, [rows["steps"].to_numpy().astype(object)])[..., 0],
            _filled(len(of), at, [*classes, np.zeros(rows.num_rows, object)]),
            _filled(len(of), at, costs),
        ),
        unpriced,
    )


def _numbers(rows: pa.Table, *columns: str) -> np.ndarray:
    """A number for each combination of texts; NULL is one too, the last of a column."""
    coded = [codes(rows[column]) for column in columns]
    return _joined([pc.fill_null(c.indices, len(c.dictionary)).to_numpy() for c in coded])


def _joined(columns: Sequence[np.ndarray]) -> np.ndarray:
    """A number for each combination of numbers, in the order of the columns."""
    number = columns[0].astype(np.int64)
    for column in columns[1:]:
        both = number * (column.max(initial=0) + 1) + column
        number = np.unique(both, return_inverse=True)[1]
    return number


def _filled(leaves: int, at: tuple[np.ndarray, ...], columns: Sequence[np.ndarray]) -> np.ndarray:
    """leaves x 2 x 2 x columns, zero where there is no row."""
    values = np.zeros((leaves, 2, 2, len(columns)), object)
    values[at] = np.column_stack(columns)
    return values


def _tied(budgets: Budgets | None, by: By, period: Period, config: Config) -> Iterator[Budget]:
    """Budgets in dollars for exactly this period that are tied to nothing but a `by`."""
    for budget in budgets.budgets if budgets else ():
        tied = {
            tag
            for tag in ("feature", "team", "tenant", "environment")
            if getattr(budget, tag) is not None
        }
        if (
            tied == {str(by)}
            and budget.measure is Measure.USD
            and budget.holds(_last_day(period))
            and Period.of(budget.period, period.first, config) == period
        ):
            yield budget


def _last_day(period: Period) -> date:
    return period.until - timedelta(days=1)


def _decimal(amount: Fraction) -> Decimal:
    return usd(int(amount * PICO))
