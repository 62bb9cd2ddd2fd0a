"""Cubes, reports and variance say what the ledger's files say, through random histories."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pytest

from agentcost_collector.explain.drill import features_of, runs_of
from agentcost_collector.report.cubes import CUBE, DIMENSIONS
from agentcost_collector.report.reports import Outcome, Scope, make_report
from agentcost_collector.report.views import open_views
from agentcost_collector.variance import CAUSES, By, Compared, variance
from tests.report.random_ledgers import (
    TODAY,
    History,
    Row,
    booked_history,
    grouped,
    random_history,
    total,
    unpriced,
    within,
)

TOKENS = ("input_tokens", "output_tokens")
MEASURES = [n for n in CUBE.names if n not in ("hour", "day", "steps", *DIMENSIONS)]


SEEDS = (*range(7), 182)
"""182: the last price in an environment was taken back."""


@pytest.mark.parametrize("seed", SEEDS)
def test_all_that_is_published_is_the_ledger(seed: int, tmp_path: Path) -> None:
    """Every row of cubes, reports and variance, its money, steps, unpriced and unattributed, is
    what stands in the files, to the last decimal; lines balance; causes add up."""
    history = random_history(Random(seed))
    standing = booked_history(tmp_path, history)
    with open_views(tmp_path, config=history.config) as connection:
        _cubes(connection, standing)
        reported = Reported(connection, history, standing)
        reported.showback()
        reported.chargeback()
        reported.tenants()
        reported.unit_economics()
        reported.unattributed()
        _variance(connection, history, standing)
        _drilled(connection, history, standing)


def _cubes(connection: duckdb.DuckDBPyConnection, standing: Sequence[Row]) -> None:
    """By all dimensions."""
    keys = ("day", *DIMENSIONS)
    truth = {
        key: [len(rows), total(rows), *(total(rows, n) or 0 for n in MEASURES)]
        for key, rows in grouped(standing, *keys).items()
    }
    for view in ("hours", "days"):
        rows = connection.sql(f"FROM {view}").to_arrow_table().to_pylist()
        found = {
            key: [sum(r["steps"] for r in alike), total(alike)]
            + [total(alike, n) or 0 for n in MEASURES]
            for key, alike in grouped(rows, *keys).items()
        }
        assert found == truth


class Reported:
    """The reports of one ledger."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, history: History, standing: Sequence[Row]
    ) -> None:
        self._connection = connection
        self._config = history.config
        period = history.period
        self._scope = Scope(period, period.before(history.config), history.environment)
        chosen = [r for r in standing if history.environment in (None, r["environment"])]
        self._now = within(chosen, period)
        self._before = within(chosen, self._scope.before)

    def showback(self) -> None:
        """Payers, each tag, and the dearest; fewer than are left out."""
        made = self._made("showback")
        self._is_compared(made["payers"], "feature", "team", "tenant")
        for tag in ("feature", "team", "tenant"):
            self._is_compared(made[f"{tag}s"], tag)
        for name in ("agent", "model", "tool"):
            self._is_compared(made[f"{name}s"], name, only=lambda r, n=name: r[n] is not None)

    def chargeback(self) -> None:
        """Lines, and a debit and a credit for each between two teams."""
        made = self._made("chargeback")
        self._is_compared(made["lines"], "owner_team", "team")
        between = [r for r in self._now if r["owner_team"] != r["team"]]
        truth = {}
        net: dict[tuple[Any, ...], list[Fraction]] = {}
        for (environment, owner, team), rows in grouped(
            between, "environment", "owner_team", "team"
        ).items():
            cost = total(rows)
            less = None if cost is None else -cost
            truth[environment, team, owner, "debit"] = (cost, unpriced(rows))
            truth[environment, owner, team, "credit"] = (less, unpriced(rows))
            net.setdefault((environment, team), []).append(cost or Fraction(0))
            net.setdefault((environment, owner), []).append(less or Fraction(0))
        found = {
            (r["environment"], r["team"], r["counterpart"], r["side"]): (
                _fraction(r["BilledCost"]),
                r["unpriced_steps"],
            )
            for r in made["journal"]
        }
        assert found == truth
        assert len(made["journal"]) == len(truth)
        assert {
            (r["environment"], r["team"]): Fraction(r["net_usd"] or 0) for r in made["net"]
        } == {key: sum(parts) for key, parts in net.items()}
        for rows in grouped(made["journal"], "environment").values():
            assert sum(Fraction(r["BilledCost"] or 0) for r in rows) == 0

    def tenants(self) -> None:
        """Each, and by feature."""
        made = self._made("tenants")
        self._is_compared(made["tenants"], "tenant")
        self._is_compared(made["features"], "tenant", "feature")

    def unit_economics(self) -> None:
        """How many there are and what they cost, by either notion of success."""
        for outcome in (None, Outcome("done/it", "yes")):
            made = self._made("unit-economics", outcome=outcome)
            found = {
                (r["environment"], r["unit"]): (
                    r["count"],
                    _fraction(r["cost_usd"]),
                    r["unpriced_steps"],
                )
                for r in made["units"]
            }
            assert found == self._units(outcome)

    def unattributed(self) -> None:
        """What no feature pays for, by service and reason, and its share."""
        made = self._made("unattributed")
        self._is_compared(
            made["unattributed"],
            "service",
            "unattributed_reason",
            only=lambda row: row["feature"] is None,
        )
        for row in made["objective"]:
            mine = [r for r in self._now if r["environment"] == row["environment"]]
            lost = total([r for r in mine if r["feature"] is None])
            assert _fraction(row["unattributed_usd"]) == lost
            whole = total(mine)
            assert (row["share"] is None) == (not whole)
            if whole:
                assert abs(Fraction(row["share"]) - (lost or 0) / whole) <= Fraction(1, 2 * 10**12)

    def _units(self, outcome: Outcome | None) -> dict[tuple[str, str], tuple[Any, ...]]:
        units = {}
        for (environment,), mine in grouped(self._now, "environment").items():
            runs = [{**r, "run": r["parent_run_id"] or r["trace_id"]} for r in mine]
            named = {"run": "run", "successful run": "run"}
            named |= {"session": "session_id", "user": "user_id", "tenant": "tenant"}
            for unit, key in named.items():
                told = [r for r in runs if r[key] is not None]
                alike = grouped(told, key).values()
                real = [rows for rows in alike if any(r["kind"] != "allocated" for r in rows)]
                if unit == "successful run":
                    real = [rows for rows in real if _succeeded(rows, outcome)]
                if told:
                    units[environment, unit] = (len(real), total(told), unpriced(told))
        return units

    def _made(self, name: str, **options: Any) -> dict[str, list[Row]]:
        report = make_report(self._connection, name, self._scope, self._config, TODAY, **options)
        made = {section.name: section.rows.to_pylist() for section in report.sections}
        self._is_compared(made["totals"])
        return made

    def _is_compared(self, found: Sequence[Row], *keys: str, only: Any = lambda row: True) -> None:
        """Row = environment and keys, as `compared` makes them."""
        sides = [[r for r in rows if only(r)] for rows in (self._now, self._before)]
        now, before = (grouped(rows, "environment", *keys) for rows in sides)
        columns = ("cost_usd", "cost_usd_before", "change_usd", "unattributed_usd")
        counted = ("steps", "unpriced_steps", "unpriced_steps_before", "unattributed_steps")
        truth = {}
        for key in now.keys() | before.keys():
            mine, was = now.get(key, []), before.get(key, [])
            lost = [r for r in mine if r["feature"] is None]
            costs = (total(mine), total(was))
            change = None if costs == (None, None) else (costs[0] or 0) - (costs[1] or 0)
            money = (*costs, change, total(lost))
            truth[key] = (
                sum(int(total(mine, name) or 0) for name in TOKENS),
                *money,
                *(len(mine), unpriced(mine), unpriced(was), len(lost)),
            )
        shown = [name for name in columns if found and name in found[0]]
        got = {
            tuple(r[name] for name in ("environment", *keys)): (
                r["tokens"] or 0,
                *(_fraction(r[name]) if name in shown else None for name in columns),
                *(r.get(name) for name in counted),
            )
            for r in found
        }
        if found and "unattributed_usd" not in shown:
            truth = {key: (*v[:4], None, *v[5:8], None) for key, v in truth.items()}
        assert got == truth
        assert len(found) == len(truth)


def _succeeded(rows: Sequence[Row], outcome: Outcome | None) -> bool:
    if outcome is None:
        return all(row["status"] != "error" for row in rows)
    return any(row["labels"] == '{"done/it":"yes"}' for row in rows)


def _fraction(value: Any) -> Fraction | None:
    return None if value is None else Fraction(value)


def _variance(
    connection: duckdb.DuckDBPyConnection, history: History, standing: Sequence[Row]
) -> None:
    period, before = history.period, history.period.before(history.config)
    now, was = within(standing, period), within(standing, before)
    for by in By:
        *rows, last = variance(Compared(connection, period, before), by, history.config).to_pylist()
        truth = {
            name: (was_of, now_of)
            for name, was_of, now_of in (
                (name, grouped(was, by).get((name,), []), grouped(now, by).get((name,), []))
                for name in {r[by] for r in (*was, *now)}
            )
        }
        assert {r["name"] for r in rows} == truth.keys()
        for row, (base, actual) in [
            *((r, truth[r["name"]]) for r in rows),
            (last, (was, now)),
        ]:
            assert Fraction(row["base_usd"]) == (total(base) or 0)
            assert Fraction(row["actual_usd"]) == (total(actual) or 0)
            assert row["change_usd"] == row["actual_usd"] - row["base_usd"]
            assert sum(Fraction(row[cause]) for cause in CAUSES) == Fraction(row["change_usd"])
            assert row["base_unpriced_steps"] == unpriced(base)
            assert row["unpriced_steps"] == unpriced(actual)


def _drilled(
    connection: duckdb.DuckDBPyConnection, history: History, standing: Sequence[Row]
) -> None:
    """From a period to features to runs; fewer than are left out."""
    now = within(standing, history.period)
    features = grouped(now, "feature")
    found = features_of(connection, history.period).to_pylist()
    assert {(r["feature"], r["steps"], _fraction(r["cost_usd"])) for r in found} == {
        (feature, len(rows), total(rows)) for (feature,), rows in features.items()
    }
    for (feature,), rows in features.items():
        named = [{**r, "run": r["parent_run_id"] or r["trace_id"]} for r in rows]
        runs = runs_of(connection, feature, history.period, history.config).to_pylist()
        assert {
            (r["run"], r["steps"], _fraction(r["cost_usd"]), r["unpriced_steps"]) for r in runs
        } == {
            (run, len(of), total(of), unpriced(of)) for (run,), of in grouped(named, "run").items()
        }
