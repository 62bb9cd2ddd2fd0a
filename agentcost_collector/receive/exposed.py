"""Says loudly what an address that others can reach lacks."""

from __future__ import annotations

import structlog

from agentcost_collector.model.access import Gate
from agentcost_collector.receive.address import Address, is_loopback
from agentcost_collector.receive.tls_config import TlsConfig

_log = structlog.get_logger(__name__)


def warn_if_exposed(address: Address, setting: str, tls: TlsConfig, gate: Gate) -> None:
    """Logs a warning unless the address is loopback, or has TLS and asks who is there."""
    knows_senders = gate.is_closed or tls.client_ca_file is not None
    lacks = [
        text
        for is_there, text in (
            (
                knows_senders,
                "anyone is let in (make tokens: agentcost token create)",
            ),
            (tls.is_on, "what is sent, tokens included, can be read on the way (set receive.tls)"),
        )
        if not is_there
    ]
    if lacks and not is_loopback(address, setting):
        _log.warning(
            "listening_beyond_this_machine",
            address=str(address),
            setting=setting,
            advice=f"Others can reach this address: {'; '.join(lacks)}.",
        )
