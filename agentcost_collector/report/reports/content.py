"""What a report is made of, and the sums that most of its tables come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.model.money import round_half_even, usd
from agentcost_collector.model.printable import amount
from agentcost_collector.model.tables import codes
from agentcost_collector.report.cubes import days_with
from agentcost_collector.report.period import Period
from agentcost_collector.report.query import hold, select
from agentcost_collector.report.sql import (
    ALL_TOKENS,
    NOT_FULLY_PRICED,
    UNATTRIBUTED,
    quoted,
    token_sum,
)

TOTALS = "totals"

_ALWAYS = ("environment", "cost_status", "feature")
"""Columns that every sum needs, whatever it is by."""


@dataclass(frozen=True)
class Scope:
    """What is reported on."""

    period: Period
    before: Period
    """The one that it is compared with."""
    environment: str | None = None
    """Only this one; None for all of them, each in rows of its own."""

    @property
    def where(self) -> str:
        """SQL: rows of `days` of both periods."""
        return f"({self.period.where} OR {self.before.where}) AND {self.chosen}"

    @property
    def chosen(self) -> str:
        """SQL: rows of the environment."""
        return "true" if self.environment is None else f"environment = {quoted(self.environment)}"


@dataclass(frozen=True)
class Section:
    """One table of a report."""

    name: str
    """By which users choose it."""
    title: str
    rows: pa.Table
    note: str = ""
    """What a reader should know of its numbers."""


@dataclass(frozen=True)
class Report:
    """Tables about one period, the most important first, and what they were made from."""

    name: str
    title: str
    facts: Sequence[tuple[str, str]]
    """Period, environment, how complete it is, in users' words."""
    sections: Sequence[Section]


def shortened(report: Report, rows_max: int) -> Report:
    """With at most so many rows of each environment in a table, the first ones. Its note says how
    many are left out, and what these cost."""
    return replace(report, sections=[_shortened(each, rows_max) for each in report.sections])


def _shortened(section: Section, rows_max: int) -> Section:
    rows = section.rows
    if rows.num_rows <= rows_max:
        return section
    none = pa.nulls(rows.num_rows, pa.string())
    named = codes(rows["environment"] if "environment" in rows.schema.names else none)
    number = pc.fill_null(named.indices, len(named.dictionary)).to_numpy()
    kept, said = [], []
    for each in np.unique(number).tolist():
        at = np.flatnonzero(number == each)
        kept.append(at[:rows_max])
        rest = rows.take(pa.array(at[rows_max:]))
        if rest.num_rows:
            of = [*named.dictionary.to_pylist(), None][each]
            said.append(f"{rest.num_rows} more rows{f' of {of}' if of else ''}{_cost(rest)}")
    if not said:
        return section
    left_out = f"Left out here, but not in csv and json: {'; '.join(said)}."
    note = f"{section.note} {left_out}".lstrip()
    return replace(section, rows=rows.take(pa.array(np.concatenate(kept))), note=note)


def _cost(rows: pa.Table) -> str:
    """What rows of a table cost, in words; nothing where it has no costs."""
    if "cost_usd" not in rows.schema.names:
        return ""
    total = pc.sum(rows["cost_usd"]).as_py()
    return f" with cost_usd {amount(total) if total is not None else 'unknown'}"


def asked(connection: duckdb.DuckDBPyConnection, query: str) -> pa.Table:
    """All rows of a query."""
    return select(connection, query).read_all()


class Sums:
    """Days of both periods of a scope, summed by each of `cuts`, lists of columns, from the
    smallest cube that has them, each read once.

    They are the table `sums` of the connection, so one of these lives at a time.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, scope: Scope, cuts: Sequence[Sequence[str]]
    ) -> None:
        self._connection = connection
        self._cuts = [(days_with([*_ALWAYS, *cut]), tuple(cut)) for cut in cuts]
        hold(connection, "sums", self._query(scope))

    def by(self, keys: Sequence[str], only: str = "true", first: int | None = None) -> pa.Table:
        """Row = environment and `keys`, which are all in one cut: this period beside the one
        before, dearest first.

        `only` is SQL over `keys` and `unattributed`; `first` keeps so many rows of each
        environment. `cost_usd` holds what could be priced: NULL where nothing could.
        """
        names = ", ".join(["environment", *keys])
        order = ", ".join(
            [
                "environment NULLS LAST",
                "cost_usd DESC NULLS LAST",
                "cost_usd_before DESC NULLS LAST",
            ]
            + [f"{key} NULLS LAST" for key in keys]
        )
        cut = (
            f"QUALIFY row_number() OVER (PARTITION BY environment ORDER BY {order}) <= {first}"
            if first
            else ""
        )
        return asked(
            self._connection,
            f"""
SELECT {names}, steps, tokens, cost_usd, cost_usd_before,
    CASE WHEN coalesce(cost_usd, cost_usd_before) IS NOT NULL
        THEN coalesce(cost_usd, 0) - coalesce(cost_usd_before, 0) END AS change_usd,
    unpriced_steps, unpriced_steps_before, unattributed_steps, unattributed_usd
FROM (
    SELECT {names},
        {counted("steps", "is_now")} AS steps,
        CAST(sum(tokens) FILTER (is_now) AS BIGINT) AS tokens,
        sum(cost_usd) FILTER (is_now) AS cost_usd,
        sum(cost_usd) FILTER (NOT is_now) AS cost_usd_before,
        {counted("steps", "is_now AND unpriced")} AS unpriced_steps,
        {counted("steps", "NOT is_now AND unpriced")} AS unpriced_steps_before,
        {counted("steps", "is_now AND unattributed")} AS unattributed_steps,
        sum(cost_usd) FILTER (is_now AND unattributed) AS unattributed_usd
    FROM sums WHERE cut = {self._cut(keys)} AND {only} GROUP BY {names})
{cut} ORDER BY {order}""",
        )

    def totals(self) -> Section:
        """All of each environment."""
        return Section(
            TOTALS,
            "Totals",
            self.by(()),
            "cost_usd is what could be priced; unpriced_steps have no price or only part of one."
            " unattributed_usd is the part of cost_usd that no feature pays for.",
        )

    def _query(self, scope: Scope) -> str:
        sources = dict.fromkeys(source for source, _ in self._cuts)
        return " UNION ALL BY NAME ".join(self._from(source, scope) for source in sources)

    def _from(self, source: str, scope: Scope) -> str:
        always = ["environment", "is_now", "unpriced", "unattributed"]
        keys = self._keys(source)
        cuts = [cut for of, cut in self._cuts if of == source]
        sets = [f"({', '.join([*always, *cut])})" for cut in cuts]
        number = f"grouping({', '.join(keys)})" if keys else "0"
        return f"""
SELECT {", ".join(["environment", *keys])},
    {scope.period.where} AS is_now,
    coalesce({NOT_FULLY_PRICED}, false) AS unpriced,
    {UNATTRIBUTED} AS unattributed,
    ({quoted(source)}, CAST({number} AS BIGINT)) AS cut,
    sum(steps) AS steps, {token_sum(ALL_TOKENS)} AS tokens, sum(cost_usd) AS cost_usd
FROM {source} WHERE {scope.where} GROUP BY GROUPING SETS ({", ".join(sets)})"""

    def _keys(self, source: str) -> list[str]:
        """Columns of all cuts from a cube, each once."""
        return list(dict.fromkeys(key for of, cut in self._cuts if of == source for key in cut))

    def _cut(self, keys: Sequence[str]) -> str:
        """SQL: the first cut that has all of `keys`; DuckDB sets a bit for each column it lacks."""
        source, cut = next((of, cut) for of, cut in self._cuts if set(keys) <= set(cut))
        bits = "".join("01"[key not in cut] for key in self._keys(source))
        return f"({quoted(source)}, CAST({int('0' + bits, 2)} AS BIGINT))"


def counted(column: str, where: str) -> str:
    """SQL: sum of an integer column over some rows of a group; 0 where there are none."""
    return f"CAST(coalesce(sum({column}) FILTER ({where}), 0) AS BIGINT)"


def divided(amount: Decimal | None, by: Decimal | int | None) -> Decimal | None:
    """The quotient, rounded half-even to 12 digits; None where it is not known."""
    if amount is None or not by:
        return None
    return usd(round_half_even(Fraction(amount) / Fraction(by)))
