"""Recorded requests through the same stages into a ledger: no network, no journal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from agentcost_collector.assemble.open_traces import Closed, OpenTraces
from agentcost_collector.decode.decode import Decoded, Decoder
from agentcost_collector.decode.otlp_json import json_to_protobuf
from agentcost_collector.journal.writer import Journal
from agentcost_collector.kept import keep_of
from agentcost_collector.kernel import Rulebook
from agentcost_collector.ledger.ledger import Ledger
from agentcost_collector.model.errors import PermanentError
from agentcost_collector.model.payload import Outcome, Payload
from agentcost_collector.model.schemas import REJECTS, SPANS
from agentcost_collector.price.archived import archived_set
from agentcost_collector.recordings import read_requests
from agentcost_collector.settings import Settings
from agentcost_collector.settle import Settler, slices_of_traces
from agentcost_collector.user_id_key import read_user_id_key

_REPLAY = "replay"


@dataclass(frozen=True)
class Tally:
    """What a replay did."""

    requests: int = 0
    spans: int = 0
    kept: int = 0
    traces: int = 0
    entries: int = 0
    quarantined: int = 0
    malformed: tuple[str, ...] = ()


def replay(
    paths: Sequence[Path], settings: Settings, progress: Callable[[int, int], None]
) -> Tally:
    """Runs recorded requests through the same stages into a ledger; no network, no journal.

    `progress(bytes done, bytes in all)`. A file or request that cannot be read is named in the
    tally and costs nothing of the rest. Replaying the same files again changes nothing.
    """
    rulebook = Rulebook.of(settings)
    key = read_user_id_key(settings.decode.user_id_key_file)
    keep = keep_of(settings.keep, rulebook.vocabulary, rulebook.policy, key)
    decoder = Decoder(keep, settings.decode)
    opened = OpenTraces(settings.assemble)
    total = Tally()
    done, size = 0, sum(path.stat().st_size for path in paths)
    with Ledger.open(settings.ledger_path, _REPLAY, settings.ledger) as ledger:
        ledger.archive_cards(*archived_set(rulebook.rates))
        settler = Settler(ledger, rulebook, settings)

        def book(closed: Closed) -> None:
            nonlocal total
            for part in slices_of_traces(closed.spans, settings.settle_spans_max):
                kept, written = settler.settle(part, dict(ledger.state), time.time_ns())
                total = replace(total, kept=total.kept + kept, entries=total.entries + written)
            total = replace(total, traces=total.traces + closed.traces.num_rows)

        for turn, path in enumerate(paths):
            length, read = path.stat().st_size, 0
            for decoded, taken in _decoded(path, decoder, settings):
                opened.add(turn, decoded.spans, turn)
                total = _count(total, path, decoded)
                _quarantine(decoded.rejects, settings)
                book(opened.close(turn))
                read += taken
                progress(done + min(read, length), size)  # a packed file holds more than its length
            done += length
            progress(done, size)
        while opened.traces:
            book(opened.close(len(paths), oldest=settings.settle_spans_max))
    return total


def _decoded(path: Path, decoder: Decoder, settings: Settings) -> Iterator[tuple[Decoded, int]]:
    """A file in groups of requests, decoded, and the bytes of each group; an unreadable rest of it
    becomes one malformed request."""
    group: list[Payload] = []
    held = 0
    try:
        for body in read_requests(path, json_to_protobuf):
            group.append(Payload(body, time.time_ns()))
            held += len(body)
            if held > settings.read_bytes_max:
                yield decoder.decode(group), held
                group, held = [], 0
    except PermanentError as error:
        reason = str(error).removeprefix(f"{path}: ")
        yield Decoded(SPANS.empty_table(), REJECTS.empty_table(), [Outcome(malformed=reason)]), 0
    if group:
        yield decoder.decode(group), held


def _count(total: Tally, path: Path, decoded: Decoded) -> Tally:
    broken = [f"{path}: {o.malformed}" for o in decoded.outcomes if o.malformed]
    return replace(
        total,
        requests=total.requests + len(decoded.outcomes) - len(broken),
        spans=total.spans + decoded.spans.num_rows,
        quarantined=total.quarantined + decoded.rejects.num_rows,
        malformed=(*total.malformed, *broken),
    )


def _quarantine(rejects: pa.Table, settings: Settings) -> None:
    """Keeps what was set aside where the service keeps it too."""
    if rejects.num_rows:
        with Journal.open(settings.journal_path, settings.journal) as journal:
            journal.append(SPANS.empty_table(), rejects)
