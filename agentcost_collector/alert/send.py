"""Sends what was raised and not yet sent, door by door."""

from __future__ import annotations

from collections.abc import Sequence

from agentcost_collector.alert.doors import Door
from agentcost_collector.alert.record import Raised, Record
from agentcost_collector.model.errors import TransientError


def send_pending(record: Record, doors: Sequence[Door], now_ns: int) -> dict[str, str]:
    """Tells each door, in one message, what it was not told; why those that refused did, by name.

    What a door does not take stays noted as not sent. A crash between the answer and its note
    sends it again. Nothing is sent while another process is sending.
    """
    refused: dict[str, str] = {}
    with record.sending() as ours:
        if not ours:
            return refused
        record.refresh()
        for door in doors:
            raised = [r for r in record.raised if r.waiting(door.name)]
            over = [r for r in record.raised if door.takes_resolved and _is_over(r, door.name)]
            try:
                for told, event in ((raised, "raised"), (over, "resolved")):
                    if told:
                        door.tell(told)
                        record.note_sent(told, door.name, event, now_ns)
            except TransientError as error:
                refused[door.name] = str(error)
    return refused


def _is_over(raised: Raised, door: str) -> bool:
    told = {event for name, event in raised.sent if name == door}
    return raised.resolved_ns is not None and told == {"raised"}
