"""What the pipeline process tells Prometheus: where it is, and how much spend has no owner.

Amounts follow the ledger: they are read when it is opened and then change with what each commit
books. A scrape reads no file. Amounts are exact until the moment they are written out.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agentcost_collector.duration import Durations
from agentcost_collector.model.errors import CorruptionError
from agentcost_collector.model.money import PICO, pico
from agentcost_collector.model.reasons import CostStatus
from agentcost_collector.report.spend import SPEND, hourly_spend
from agentcost_collector.report.views import open_views

log = structlog.get_logger(__name__)

OBJECTIVE = Fraction(5, 100)
"""Share of all spend that may be without a feature that pays."""

WINDOWS_H = {"24h": 24, "30d": 30 * 24}
"""Windows of the unattributed share, in hours that end with the present one."""

_HOUR_NS = 3600 * 10**9
_HOUR_US = _HOUR_NS // 1000
_KEPT_H = max(WINDOWS_H.values())


class Spend:
    """Money and steps that stand, and the money of the last 30 days by hour. No I/O, exact."""

    def __init__(self) -> None:
        self.pico: Counter[bool] = Counter()
        """Pico-dollars with (True) and without (False) a feature that pays."""
        self.steps: Counter[str] = Counter()
        """Steps by cost status."""
        self._hours: defaultdict[int, Counter[bool]] = defaultdict(Counter)

    def add(self, spend: pa.Table, now_ns: int) -> None:
        """SPEND that was booked; reversals are negative. Hours out of every window are dropped."""
        present = now_ns // _HOUR_NS
        for row in spend.to_pylist():
            spent = 0 if row["cost_usd"] is None else pico(row["cost_usd"])
            self.pico[row["attributed"]] += spent
            self.steps[row["cost_status"]] += row["steps"]
            if row["hour"] is not None and present - _KEPT_H < row["hour"] <= present + _KEPT_H:
                self._hours[row["hour"]][row["attributed"]] += spent
        for hour in [h for h in self._hours if h <= present - _KEPT_H]:
            del self._hours[hour]

    def unattributed(self, hours: int, now_ns: int) -> Fraction | None:
        """Share of the spend of the last `hours` that no feature pays; None without spend."""
        present = now_ns // _HOUR_NS
        within = [self._hours[h] for h in self._hours if present - hours < h <= present]
        whole = sum(spent.total() for spent in within)
        return Fraction(sum(spent[False] for spent in within), whole) if whole > 0 else None


class Metrics(Collector):
    """All metrics of the process; written by the pipeline's thread, read by the server's."""

    def __init__(
        self,
        clock_ns: Callable[[], int] = time.time_ns,
        told: Callable[[pa.Table], None] = lambda _: None,
    ) -> None:
        """`told` gets what is booked, too."""
        self._told = told
        self.settles = Durations()
        """Of slices of closed traces, from their kernel run to their last commit."""
        self.commits = Durations()
        """Of ledger commits."""
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._spend: Spend | None = Spend()
        self._entries = 0
        self._reopened = 0
        self._failures = 0
        self._anchor_failures = 0
        self._committed_ns: int | None = None
        self._anchored_ns: int | None = None
        self._oldest_ns: int | None = None
        self._gauges: dict[str, int] = {}

    def read_ledger(self, data: Path) -> None:
        """Start from what the ledger in the data folder holds.

        Where it cannot be read that is logged, and amounts are left out: settling goes on.
        """
        now_ns = self._clock_ns()
        fresh = None
        try:
            with open_views(data) as connection:
                spend = hourly_spend(connection, now_ns // _HOUR_NS - _KEPT_H)
            fresh = Spend()
            fresh.add(spend, now_ns)
        except CorruptionError as error:
            log.error("spend_not_measured", error=str(error))
        with self._lock:
            self._spend = fresh

    def booked(self, entries: pa.Table) -> None:
        """ENTRIES that a commit has made durable."""
        spend = _grouped(entries)
        self._told(entries)
        with self._lock:
            if self._spend:
                self._spend.add(spend, self._clock_ns())
            self._entries += entries.num_rows
            self._committed_ns = self._clock_ns()

    def reopened(self, traces: int) -> None:
        """So many traces had settled before, and late spans made them settle again."""
        with self._lock:
            self._reopened += traces

    def failed(self) -> None:
        """Settling ended with an error, and begins again."""
        with self._lock:
            self._failures += 1

    def anchored(self, done: bool) -> None:
        """The heads of the seals were to be put away."""
        with self._lock:
            self._anchor_failures += not done
            if done:
                self._anchored_ns = self._clock_ns()

    def reached(self, oldest_ns: int | None, **gauges: int) -> None:
        """Where the pipeline is now: the names of `_GAUGES` without their prefix. `oldest_ns`:
        when the oldest span that is open was received."""
        with self._lock:
            self._oldest_ns = oldest_ns
            self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        """Everything that a scrape sees."""
        with self._lock:
            yield from self._collected(self._clock_ns())

    def _collected(self, now_ns: int) -> Iterator[Metric]:
        if self._spend:
            yield from _of_spend(self._spend, now_ns)
        yield GaugeMetricFamily(
            "agentcost_unattributed_spend_objective_ratio",
            "What agentcost_unattributed_spend_ratio should stay below.",
            value=float(OBJECTIVE),
        )
        yield CounterMetricFamily(
            "agentcost_entries_written_total",
            "Ledger entries written since the process started.",
            value=self._entries,
        )
        yield from self._work()
        for name, value in self._gauges.items():
            yield GaugeMetricFamily(f"agentcost_{name}", _GAUGES[name], value=value)
        if self._gauges:
            lag_ns = 0 if self._oldest_ns is None else max(0, now_ns - self._oldest_ns)
            yield GaugeMetricFamily(
                "agentcost_lag_seconds",
                "Age of the oldest span that was read and has not settled.",
                value=lag_ns / 10**9,
            )

    def _work(self) -> Iterator[Metric]:
        yield self.settles.family(
            "agentcost_settle_seconds", "Time to price, book and commit traces that closed."
        )
        yield self.commits.family("agentcost_commit_seconds", "Time to commit to the ledger.")
        for name, meaning, count in (
            ("reopened_traces", "Settled traces that late spans changed.", self._reopened),
            ("settling_failures", "Times that settling failed and began again.", self._failures),
            ("anchor_failures", "Times that an anchor was refused.", self._anchor_failures),
        ):
            yield CounterMetricFamily(f"agentcost_{name}_total", meaning, value=count)
        for name, meaning, at_ns in (
            ("last_commit", "When the ledger was last written.", self._committed_ns),
            ("last_anchor", "When the heads of the seals were last put away.", self._anchored_ns),
        ):
            if at_ns is not None:
                full_name = f"agentcost_{name}_timestamp_seconds"
                yield GaugeMetricFamily(full_name, meaning, value=at_ns / 10**9)


_GAUGES = {
    "journal_position": "Last batch of spans that was acknowledged.",
    "read_position": "Last batch of spans that was read for settling.",
    "spans_waiting": "Spans that were acknowledged and not read yet.",
    "spans_open": "Spans of traces that have not settled.",
    "traces_open": "Traces that have not settled.",
    "ledger_batch": "Last batch that this service committed to the ledger.",
    "index_traces": "Traces whose files are remembered for late spans, links to them included.",
}


def _of_spend(spend: Spend, now_ns: int) -> Iterator[Metric]:
    amounts = GaugeMetricFamily(
        "agentcost_spend_usd",
        "US dollars that stand in the ledger, with and without a feature that pays.",
        labels=["attributed"],
    )
    for attributed in (True, False):
        exact = Fraction(spend.pico[attributed], PICO)
        amounts.add_metric([str(attributed).lower()], float(exact))
    yield amounts
    steps = GaugeMetricFamily(
        "agentcost_steps", "Steps that stand in the ledger.", labels=["cost_status"]
    )
    for status in CostStatus:
        steps.add_metric([status], spend.steps[status])
    yield steps
    share = GaugeMetricFamily(
        "agentcost_unattributed_spend_ratio",
        "Share of the spend of steps that ended in the window that no feature pays.",
        labels=["window"],
    )
    for window, hours in WINDOWS_H.items():
        part = spend.unattributed(hours, now_ns)
        if part is not None:
            share.add_metric([window], float(part))
    yield share


def _grouped(entries: pa.Table) -> pa.Table:
    hour = pc.divide(entries["ended_at"].cast(pa.int64()), _HOUR_US)
    keys = {
        "hour": hour,
        "attributed": pc.is_valid(entries["feature"]),
        "cost_status": entries["cost_status"],
    }
    rows = pa.table(
        {**keys, "cost_usd": entries["cost_usd"], "steps": entries["sign"].cast(pa.int64())}
    )
    grouped = rows.group_by(list(keys)).aggregate([("cost_usd", "sum"), ("steps", "sum")])
    return grouped.rename_columns(SPEND.names)
