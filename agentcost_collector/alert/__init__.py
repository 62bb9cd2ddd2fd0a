"""Outlet: what somebody should look at now, said once to those who can do something about it.

In: the ledger's views, the state of budgets, and what traces that are still open cost so far. Out:
alerts through apprise and to an Alertmanager, and a record of them in `<data>/alerts.jsonl`.
Invariants: an alert is raised once per rule, scope, period and level; what was raised is sent to
every door at least once, or stays noted as not sent.
"""
