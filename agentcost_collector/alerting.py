"""The rules beside the pipeline: looks, raises and sends without ever holding it up.

The pipeline's own thread only prices open traces that have grown, now and then; the ledger is read
and doors are told in a thread of their own.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import pyarrow as pa
import structlog

from agentcost_collector.alert.doors import doors_of
from agentcost_collector.alert.facts import recent
from agentcost_collector.alert.record import Raised, Record
from agentcost_collector.alert.rules import Alert, ledger_alerts, runaway_alerts
from agentcost_collector.alert.send import Sender
from agentcost_collector.budget import Records, status_of
from agentcost_collector.budgets_file import read_budgets
from agentcost_collector.kernel import Rulebook, kernel
from agentcost_collector.model.errors import AgentcostError
from agentcost_collector.report.period import day_of
from agentcost_collector.report.views import open_views
from agentcost_collector.settings import Settings

log = structlog.get_logger(__name__)

_LEDGER_RULES = ("unattributed", "unpriced", "budget", "burn_rate")
_RETRY_S = 5.0
_RETRY_S_MAX = 300.0
_STOP_S = 2


def run_rules(settings: Settings, now_ns: int) -> list[Raised]:
    """Looks at the ledger and the budgets once and notes what is new, to be sent by a
    `Sender`. Returns what is new.

    CorruptionError where ledger or records of budgets cannot be read, TransientError where the
    record of alerts cannot, ConfigError where the file of budgets cannot be used.
    """
    config = settings.alerts
    today = day_of(now_ns, settings.report)
    budgets = None
    with open_views(settings.data, config=settings.report) as connection:
        facts = recent(connection, {24, *config.burn_rates}, now_ns)
        if settings.budgets:
            records = Records.read(settings.budget_records_path)
            file = read_budgets(settings.budgets)
            budgets = status_of(connection, file, records, today, settings.report)
    alerts = ledger_alerts(facts, budgets, config, today)
    names = [door.name for door in doors_of(config)]
    return Record(settings.data).raise_new(alerts, _LEDGER_RULES, names, now_ns)


class Alerting:
    """The rules, now and then, while the service runs; nothing where no door is set."""

    def __init__(self, settings: Settings, rulebook: Rulebook) -> None:
        self._settings = settings
        self._rulebook = rulebook
        self._found: queue.SimpleQueue[list[Alert]] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._look_ns = 0
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)

    def __enter__(self) -> Self:
        if self._settings.alerts.wanted:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """What was not sent by then is sent after the next start."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(_STOP_S)

    def look(self, grown: Callable[[int], pa.Table], steady_ns: int) -> None:
        """Prices open traces that have grown, where it is time; `grown` gives their SPANS, those
        of traces with at least so many. Nothing of it is booked."""
        limits = self._settings.alerts.runaway
        if not self._settings.alerts.wanted or steady_ns < self._look_ns:
            return
        self._look_ns = steady_ns + int(limits.every_s * 10**9)
        spans = grown(limits.spans_min)
        if spans.num_rows:
            found = runaway_alerts(kernel(spans, self._rulebook), limits)
            if found:
                self._found.put(found)

    def _run(self) -> None:
        config = self._settings.alerts
        record, doors = Record(self._settings.data), doors_of(config)
        sender = Sender(self._settings.data, doors, config.timeout_s)
        names = [door.name for door in doors]
        ledger_s = 0.0
        retries = dict.fromkeys(names, (0.0, 0.0))  # when, and the pause before it
        runaways: list[Alert] = []
        while not self._stop.wait(0.2):
            try:
                while not self._found.empty():
                    runaways += self._found.get()
                now_ns, steady_s = time.time_ns(), time.monotonic()
                if runaways:
                    _log(record.raise_new(runaways, (), names, now_ns))
                    runaways = []
                if steady_s >= ledger_s:
                    ledger_s = steady_s + config.every_s
                    _log(run_rules(self._settings, now_ns))
                due = [name for name in names if steady_s >= retries[name][0]]
                refused = sender.send(now_ns, due)
                for name in due:
                    pause_s = min(2 * retries[name][1] or _RETRY_S, _RETRY_S_MAX)
                    if error := refused.get(name):
                        retries[name] = (steady_s + pause_s, pause_s)
                        log.error("alert_not_sent", error=error, again_in_s=pause_s)
                    else:
                        retries[name] = (0.0, 0.0)
            except AgentcostError as error:  # the service goes on, and so does the next look
                log.error("alerts_failed", error=str(error))
                self._stop.wait(_RETRY_S)
            except Exception as error:  # its words could hold the address of a door
                log.error("alerts_failed", error=type(error).__name__)
                self._stop.wait(_RETRY_S)


def _log(new: list[Raised]) -> None:
    for raised in new:
        log.warning("alert_raised", rule=raised.alert.rule, summary=raised.alert.summary)
