"""The metrics say what the ledger says, at the start and after every commit."""

from __future__ import annotations

import re
import socket
import time
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector
from structlog.testing import capture_logs

from agentcost_collector.canary.canary import Canary
from agentcost_collector.canary.config import Config as CanaryConfig
from agentcost_collector.journal.config import Config as JournalConfig
from agentcost_collector.journal.reader import JournalReader
from agentcost_collector.journal.writer import Journal
from agentcost_collector.metrics import _GAUGES, Metrics, Spend
from agentcost_collector.metrics_port import registry_of, served
from agentcost_collector.model.access import OpenGate
from agentcost_collector.model.schemas import ENTRIES
from agentcost_collector.receive.config import Config as ReceiveConfig
from agentcost_collector.receive.receiver import Receiver
from agentcost_collector.receive.status import Cause
from agentcost_collector.receive.tls_config import TlsConfig
from agentcost_collector.receiver_metrics import ReceiverMetrics
from agentcost_collector.report.spend import SPEND
from tests.report.ledgers import START_NS, booked, reversed_of, write_ledger
from tests.support.collector import LOOPBACK, free_ports
from tests.support.recordings import ROOT
from tests.support.scrape import scrape

HOUR_NS = 3600 * 10**9


def _entries(*rows: dict) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=ENTRIES)


def _registered(metrics: Metrics) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(metrics)
    return registry


def _spend_and_steps(metrics: Metrics) -> tuple[float | None, ...]:
    registry = _registered(metrics)
    spend = (
        registry.get_sample_value("agentcost_spend_usd", {"attributed": a})
        for a in ("true", "false")
    )
    steps = (
        registry.get_sample_value("agentcost_steps", {"cost_status": s})
        for s in ("priced", "unpriced")
    )
    return (*spend, *steps)


PAID = booked(step_id="1", cost_usd=Decimal("2.5"))
LOST = booked(step_id="2", cost_usd=Decimal("0.5"), feature=None)
UNPRICED = booked(step_id="3", cost_usd=None, cost_status="unpriced")


def test_following_commits_is_reading_the_ledger(tmp_path: Path) -> None:
    """A process that saw every commit and one that started after them show the same."""
    batches = [
        [PAID, LOST, UNPRICED],
        [reversed_of(LOST, 2), booked(2, step_id="2", cost_usd=Decimal(1))],
        [reversed_of(UNPRICED, 3)],
    ]
    followed = Metrics(lambda: START_NS)
    for batch in batches:
        followed.booked(_entries(*batch))
    write_ledger(tmp_path, batches)
    read = Metrics(lambda: START_NS)
    read.read_ledger(tmp_path)
    assert _spend_and_steps(followed) == _spend_and_steps(read) == (3.5, 0, 2, 0)
    share = {"window": "24h"}
    for metrics in (followed, read):
        registry = _registered(metrics)
        assert registry.get_sample_value("agentcost_unattributed_spend_ratio", share) == 0
        metrics.booked(_entries(booked(4, step_id="4", cost_usd=Decimal("1.5"), feature=None)))
        assert registry.get_sample_value("agentcost_unattributed_spend_ratio", share) == 0.3


def test_reading_again_replaces_what_was_there(tmp_path: Path) -> None:
    """After another process had its turn on the ledger nothing is counted twice."""
    write_ledger(tmp_path, [[PAID]])
    metrics = Metrics(lambda: START_NS)
    metrics.read_ledger(tmp_path)
    write_ledger(tmp_path, [[LOST]])
    metrics.read_ledger(tmp_path)
    assert _spend_and_steps(metrics) == (2.5, 0.5, 2, 0)


def test_a_damaged_ledger_costs_only_the_amounts(tmp_path: Path) -> None:
    """Where a data file cannot be read that is logged; the process goes on and shows no wrong
    number."""
    write_ledger(tmp_path, [[PAID]])
    (part,) = (tmp_path / "ledger/ledger").rglob("*.parquet")
    part.write_bytes(part.read_bytes()[:100])
    metrics = Metrics(lambda: START_NS)
    with capture_logs() as logged:
        metrics.read_ledger(tmp_path)
    metrics.booked(_entries(LOST))
    assert [line["event"] for line in logged] == ["spend_not_measured"]
    registry = _registered(metrics)
    assert registry.get_sample_value("agentcost_spend_usd", {"attributed": "false"}) is None
    assert registry.get_sample_value("agentcost_entries_written_total") == 1


def _spend(hour: int | None, attributed: bool, cost: str) -> dict:
    values = (hour, attributed, "priced", Decimal(cost), 1)
    return dict(zip(SPEND.names, values, strict=True))


def test_a_window_ends_with_the_present_hour() -> None:
    """What ended before, without an end or in the far future counts in totals only; as time
    passes spend leaves the window without any commit."""
    spend = Spend()
    rows = [
        _spend(1000, False, "1"),
        _spend(1000 - 23, True, "3"),
        _spend(1000 - 24, False, "100"),
        _spend(1001, False, "1000"),
        _spend(None, False, "5"),
        _spend(10**6, False, "7"),
        _spend(1000 - 720, False, "9"),
    ]
    spend.add(pa.Table.from_pylist(rows, schema=SPEND), 1000 * HOUR_NS)
    assert spend.pico == {True: 3 * 10**12, False: 1122 * 10**12}
    assert spend.unattributed(24, 1000 * HOUR_NS) == Fraction(1, 4)
    assert spend.unattributed(24, 1001 * HOUR_NS - 1) == Fraction(1, 4)
    assert spend.unattributed(24, 1001 * HOUR_NS) == 1
    assert spend.unattributed(720, 1000 * HOUR_NS) == Fraction(101, 104)
    assert spend.unattributed(24, 1030 * HOUR_NS) is None


def test_the_windows_forget() -> None:
    """Hours are held for 30 days, however long the process runs."""
    spend = Spend()
    for hour in range(0, 3000, 7):
        row = pa.Table.from_pylist([_spend(hour, False, "1")], schema=SPEND)
        spend.add(row, hour * HOUR_NS)
    assert len(spend._hours) <= 720 // 7 + 1


def test_the_page_lists_every_metric_and_the_rules_use_no_other(tmp_path: Path) -> None:
    """Names are a closed list: those that each process serves are those of its table in
    docs/metrics.md, and a superset of those that the sample rules name."""
    metrics = Metrics(lambda: START_NS)
    metrics.booked(_entries(PAID))
    metrics.anchored(True)
    metrics.reached(None, **dict.fromkeys(_GAUGES, 1))
    with Journal.open(tmp_path, JournalConfig()):
        reader = JournalReader.open(tmp_path, JournalConfig())
        receiver = ReceiverMetrics(reader, tmp_path / "progress", {}, lambda: True)
        receiver.receiver = Receiver(ReceiveConfig(), list, bytes, time.time_ns)
        canary = Canary(CanaryConfig(every_s=1), "127.0.0.1:1", TlsConfig())
        canary.step(START_NS)  # nobody is there
        canary._took_ns = 1
        served_by = {
            "pipeline": _names(metrics) | _names(canary),
            "receiver": _names(receiver),
        }
        reader.close()
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    for process, names in served_by.items():
        section = page.split(f"## Of the {process}\n")[1].split("\n## ")[0]
        assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == names, process
        for family, kind in _types(section).items():
            assert kind in ("gauge", "counter", "histogram")
            assert (kind == "counter") == family.endswith("_total"), family
    rules = yaml.safe_load((ROOT / "deploy" / "alerts.yaml").read_text(encoding="utf-8"))
    used = " ".join(rule["expr"] for group in rules["groups"] for rule in group["rules"])
    assert set(re.findall(r"agentcost_\w+", used)) <= set().union(*served_by.values())


def _names(metrics: Collector) -> set[str]:
    return {
        family.name + ("_total" if family.type == "counter" else "") for family in metrics.collect()
    }


def _types(section: str) -> dict[str, str]:
    return dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", section, re.MULTILINE))


def test_causes_and_reasons_are_on_the_page() -> None:
    """Every value of the label `cause` is explained."""
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert [cause for cause in Cause if f"`{cause}`" not in page] == []


def test_work_is_timed_and_counted() -> None:
    """What took long lies in the right bucket; failures, late traces and anchors are counted, and
    the age of what is open grows while nothing happens."""
    now = [START_NS]
    metrics = Metrics(lambda: now[0])
    for seconds in (0.0005, 0.001, 0.2, 60):
        metrics.settles.add(seconds)
    metrics.reopened(3)
    metrics.failed()
    metrics.anchored(False)
    metrics.anchored(True)
    metrics.reached(START_NS - 10**9, **dict.fromkeys(_GAUGES, 7))
    now[0] += 2 * 10**9
    registry = _registered(metrics)
    value = registry.get_sample_value
    buckets = [
        value("agentcost_settle_seconds_bucket", {"le": le}) for le in ("0.001", "0.25", "+Inf")
    ]
    assert buckets == [2, 3, 4]
    assert value("agentcost_settle_seconds_sum") == pytest.approx(60.2015)
    assert value("agentcost_settle_seconds_count") == 4
    assert value("agentcost_reopened_traces_total") == 3
    assert value("agentcost_settling_failures_total") == 1
    assert value("agentcost_anchor_failures_total") == 1
    assert value("agentcost_last_anchor_timestamp_seconds") == START_NS / 10**9
    assert value("agentcost_last_commit_timestamp_seconds") is None
    assert value("agentcost_lag_seconds") == 3


def test_a_scrape(tmp_path: Path) -> None:
    """Prometheus gets text that its own parser reads, and after the end nothing answers."""
    metrics = Metrics(lambda: START_NS)
    metrics.booked(_entries(PAID, LOST))
    address = f"{LOOPBACK}:{free_ports(1)[0]}"
    with served(registry_of(metrics), address, TlsConfig(), OpenGate()):
        samples = scrape(address)
    assert samples['agentcost_spend_usd{attributed="true"}'] == 2.5
    assert samples['agentcost_unattributed_spend_ratio{window="30d"}'] == pytest.approx(1 / 6)
    assert samples["agentcost_unattributed_spend_objective_ratio"] == 0.05
    with pytest.raises(OSError, match="refused"):
        scrape(address)


def test_a_port_in_use_is_said_and_costs_nothing_else() -> None:
    """The process goes on; the log names the address and the setting."""
    with socket.create_server((LOOPBACK, 0)) as taken, capture_logs() as logged:
        address = f"{LOOPBACK}:{taken.getsockname()[1]}"
        with served(registry_of(Metrics()), address, TlsConfig(), OpenGate()):
            pass
    (line,) = logged
    assert (line["event"], line["log_level"], line["address"]) == (
        "metrics_not_served",
        "error",
        address,
    )
    assert "setting `metrics`" in line["error"]


def test_nothing_listens_where_no_address_is_given() -> None:
    """Empty text turns it off."""
    with capture_logs() as logged, served(registry_of(Metrics()), "", TlsConfig(), OpenGate()):
        pass
    assert logged == []
