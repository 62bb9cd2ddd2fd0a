"""The counters of the last durable commit.

Counters ride in the commitInfo of the `ledger` table's log entry, so they change with the entries
or not at all. `state.json` repeats them, or holds newer ones that came without entries, with the
versions of both logs known to be synced: it answers where the log entry was cleaned up, and proves
that a damaged entry was acknowledged. Under `others` stand the last counters of other journals that
commit to the same ledger in turns.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentcost_collector.ledger.disk import read_json, replace_json, sync
from agentcost_collector.ledger.layout import app_id, short
from agentcost_collector.ledger.log import Log, facts_of, log_entry, read_actions
from agentcost_collector.model.errors import CorruptionError

STATE = "state.json"
_FACTS = ("app_id", "batch_seq", "state")


def acknowledge(
    directory: Path, spans: Log, ledger: Log, batch_seq: int, state: Mapping[str, int]
) -> None:
    """Note a commit of which everything is synced."""
    versions = {log.kind.name: log.version for log in (spans, ledger)}
    noted = read_json(directory / STATE) or {}
    others = dict(noted.get("others", {}))
    if "app_id" in noted:
        others[noted["app_id"]] = {name: noted[name] for name in _FACTS}
    others.pop(ledger.app, None)
    facts = {"app_id": ledger.app, "batch_seq": batch_seq, "state": dict(state)}
    replace_json(directory / STATE, {**facts, "versions": versions, "others": others})


def acknowledge_versions(directory: Path, spans: Log, ledger: Log) -> None:
    """Note a change of the logs that changes no counter, durable on return."""
    versions = {log.kind.name: log.version for log in (spans, ledger)}
    path = directory / STATE
    replace_json(path, {**(read_json(path) or {}), "versions": versions})
    sync(path)
    sync(directory)


def acknowledged(directory: Path, table: str) -> int:
    """Last version of a table's log that is known to have been synced, -1 for none."""
    return int((read_json(directory / STATE) or {}).get("versions", {}).get(table, -1))


def settled_batches(directory: Path) -> dict[str, int]:
    """Last batch of each journal (its digest) that is in both tables, as far as is noted."""
    noted = read_json(directory / STATE) or {}
    every = [noted, *noted.get("others", {}).values()]
    apps = {facts["app_id"]: facts["batch_seq"] for facts in every if "app_id" in facts}
    return {short(app.removeprefix(app_id(""))): batch for app, batch in apps.items()}


def state_of(directory: Path, ledger: Log) -> dict[str, int]:
    """Counters of this journal, as noted or committed last; none before the first. CorruptionError
    where they are gone."""
    noted = read_json(directory / STATE) or {}
    for facts in (noted, noted.get("others", {}).get(ledger.app)):
        if facts and _counts(facts, ledger):
            return dict(facts["state"])
    if not ledger.batch_seq:
        return {}
    committed = newest_facts(ledger.directory, ledger.version, ledger.app)
    if committed and _counts(committed, ledger):
        return dict(committed["state"])
    raise CorruptionError(
        f"{ledger.directory}: no counters are left of batch {ledger.batch_seq}; "
        f"restore {directory / STATE} or the end of the log"
    )


def _counts(facts: Mapping[str, Any], ledger: Log) -> bool:
    return (facts.get("app_id"), facts.get("batch_seq")) == (ledger.app, ledger.batch_seq)


def newest_facts(table: Path, version: int, app: str | None = None) -> dict[str, Any] | None:
    """Facts of our newest commit (of `app`) at or before `version`; None where none is left."""
    while (entry := log_entry(table, version)).exists():
        facts = facts_of(read_actions(entry) or [])
        if facts and "app_id" in facts and app in (None, facts["app_id"]):
            return facts
        version -= 1
    return None
