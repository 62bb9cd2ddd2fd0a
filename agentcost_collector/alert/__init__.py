"""Outlet: what somebody should look at now, said once to those who can do something about it.

In: the ledger's views, the state of budgets, and what traces that are still open cost so far. Out:
alerts through apprise and to an Alertmanager, and a record of them in `<data>/alerts.jsonl`.
Invariants: an alert is raised once per rule, scope, period and level; what was raised is sent to
every door at least once, or stays noted as not sent.
"""

from agentcost_collector.alert.config import Config
from agentcost_collector.alert.doors import Door, doors_of
from agentcost_collector.alert.facts import RECENT, recent
from agentcost_collector.alert.record import Raised, Record
from agentcost_collector.alert.rules import Alert, ledger_alerts, runaway_alerts
from agentcost_collector.alert.send import Sender

__all__ = [
    "RECENT",
    "Alert",
    "Config",
    "Door",
    "Raised",
    "Record",
    "Sender",
    "doors_of",
    "ledger_alerts",
    "recent",
    "runaway_alerts",
]
