"""The receiver process: payloads --decode--> spans --journal.

It imports none of what comes after the journal, so that it answers soon after its start.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from agentcost_collector.access.audit import AuditLog
from agentcost_collector.access.gate import TokenGate
from agentcost_collector.access.token_file import TokenFile
from agentcost_collector.decode.decode import Decoder
from agentcost_collector.decode.otlp_json import json_to_protobuf
from agentcost_collector.decode.release import released_spans
from agentcost_collector.journal.reader import JournalReader
from agentcost_collector.journal.writer import Journal
from agentcost_collector.kept import keep_of
from agentcost_collector.memory import keep_freed_memory
from agentcost_collector.metrics_port import Check, registry_of, served
from agentcost_collector.model.errors import CorruptionError, TransientError
from agentcost_collector.model.payload import Outcome, Payload, Store
from agentcost_collector.normalise import compile_vocabulary
from agentcost_collector.normalise.dialects import DIALECTS
from agentcost_collector.policy_file import read_policy
from agentcost_collector.readiness import Readiness
from agentcost_collector.receive.receiver import Addresses, Receiver
from agentcost_collector.receiver_metrics import ReceiverMetrics
from agentcost_collector.self_trace import Span, self_traced, traced
from agentcost_collector.settings import Settings
from agentcost_collector.user_id_key import read_user_id_key

log = structlog.get_logger(__name__)

HEALTHZ, READYZ = "/healthz", "/readyz"
_RELEASE_S = 0.5
_KEEPS_MIB = 32  # most groups of requests take less; it is beside the limit of their bytes


def gate_of(settings: Settings) -> TokenGate:
    """What every door asks. Raises ConfigError where the token file cannot be read."""
    tokens, audit = TokenFile(settings.tokens_path), AuditLog(settings.audit_path)
    return TokenGate(tokens, settings.access.required, audit)


def run_receiver(settings: Settings, ready: Callable[[Addresses], None]) -> None:
    """Receives, decodes and journals until SIGTERM or SIGINT; `ready` is told the addresses."""
    keep_freed_memory(_KEEPS_MIB)
    journal = Journal.open(settings.journal_path, settings.journal)
    gate = gate_of(settings)
    readiness = Readiness(journal, settings.journal_path, settings.pipeline_lock_path)
    counters = JournalReader.open(settings.journal_path, settings.journal)
    metrics = ReceiverMetrics(
        counters, settings.progress_path, gate.refused, lambda: not readiness.faults
    )
    store = readiness.watched(metrics.timed(into_journal(settings, journal)))

    async def serve(span: Span) -> None:
        receiver = Receiver(
            settings.receive, traced(store, span), json_to_protobuf, time.time_ns, gate
        )
        metrics.receiver = receiver
        ready(await receiver.start())
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        while not await _waited(stop, _RELEASE_S):
            await asyncio.to_thread(_release, journal)
            await receiver.tell(await asyncio.to_thread(readiness.look))
        readiness.stopping()
        await receiver.stop(settings.stop_grace_s)

    scraped = registry_of(metrics)
    checks: dict[str, Check] = {HEALTHZ: lambda: (), READYZ: lambda: readiness.faults}
    try:
        with (
            served(scraped, settings.health, settings.receive.tls, gate, "health", checks),
            self_traced(settings.self_trace, "receiver", settings.listening()) as span,
        ):
            asyncio.run(serve(span))
    finally:
        counters.close()
        journal.close()


async def _waited(stop: asyncio.Event, seconds: float) -> bool:
    """Whether `stop` is set, or was while waiting."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True


def _release(journal: Journal) -> None:
    """Carries out what `agentcost quarantine retry` asked for."""
    try:
        if released := journal.release_asked(partial(released_spans, now_ns=time.time_ns())):
            log.info("quarantine_released", spans=released)
    except (TransientError, CorruptionError) as error:  # receiving goes on
        log.error("quarantine_not_released", error=str(error))


def into_journal(settings: Settings, journal: Journal) -> Store:
    """Decodes a group of payloads and keeps it in `journal`; what a receiver hands its requests to.

    Raises ConfigError where the policy file cannot be used."""
    policy = read_policy(settings.policy).policy
    vocabulary = compile_vocabulary(DIALECTS, policy.aliases)
    key = read_user_id_key(settings.decode.user_id_key_file)
    decoder = Decoder(keep_of(settings.keep, vocabulary, policy, key), settings.decode)

    def store(payloads: Sequence[Payload]) -> Sequence[Outcome]:
        decoded = decoder.decode(payloads)
        if decoded.spans.num_rows or decoded.rejects.num_rows:
            journal.append(decoded.spans, decoded.rejects)
        return decoded.outcomes

    return store
