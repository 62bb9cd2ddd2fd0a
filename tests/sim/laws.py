"""What must hold whenever everything that came has settled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from agentcost_collector.assemble.repeats import unique_spans
from agentcost_collector.book.charges import book_charges
from agentcost_collector.decode.config import Config as DecodeConfig
from agentcost_collector.journal.reader import JournalReader
from agentcost_collector.kernel import Rulebook, kernel
from agentcost_collector.ledger.layout import SPAN_ROWS
from agentcost_collector.ledger.reader import LedgerReader
from agentcost_collector.ledger.rows import read_pieces
from agentcost_collector.model.payload import Payload
from agentcost_collector.model.schemas import CHARGES, ENTRIES, SIGNED, SPANS
from agentcost_collector.model.tables import concat
from tests.sim.machine import Machine
from tests.sim.senders import other_name
from tests.sim.truth import DAY_NS, HOUR_NS, Span, Trace

Key = tuple[str, str]
_CONTENT = [name for name in CHARGES.names if name != "card_digest"]
FEW_TRACES = 2
"""An index that holds no more than this forgets at once."""
_LONG_AFTER_NS = 2**62  # no span is ahead of this clock
_SUMS = ("input_tokens", "output_tokens", "cost_usd")


def restated_traces(machine: Machine) -> set[str]:
    """Traces of which a restatement changed what is booked."""
    reader = LedgerReader(machine.settings.ledger_path)
    files = reader.snapshot().ledger_files
    entries = concat((piece for file in files for piece in reader.entries(file)), ENTRIES)
    return {
        trace_id
        for trace_id, reason in zip(
            entries["trace_id"].to_pylist(), entries["entry_reason"].to_pylist(), strict=True
        )
        if reason == "restated"
    }


class BrokenLawError(AssertionError):
    """A law does not hold; the message says which, and where."""


@dataclass(frozen=True)
class Change:
    """What may have been in force when what stands was booked."""

    editions: frozenset[int]
    renamed: frozenset[bool]
    clocks: bool
    """Some clock was wrong."""
    restated: bool
    """All history was worked out again by these rules just now."""


class Auditor:
    """Reads what is stored as anybody else would, and remembers what it has seen."""

    def __init__(self, machine: Machine, sent: Mapping[Key, Span]) -> None:
        self._machine = machine
        self._sent = sent
        self._seen: Counter[tuple[Any, ...]] = Counter()
        self._rows: dict[tuple[str, int, int], list[tuple[Any, ...]]] = {}

    def check(self, acknowledged: set[Key], change: Change, versions_max: int) -> dict[str, int]:
        """All laws; what was found, for the record of the run."""
        reader = LedgerReader(self._machine.settings.ledger_path)
        snapshot = reader.snapshot()
        spans = _keys(concat((t for f in snapshot.span_files for t in _spans_in(f)), SPANS))
        entries = [row for file in snapshot.ledger_files for row in self._entries(reader, file)]
        self._nothing_lost(spans, acknowledged, versions_max)
        self._counters(spans, versions_max)
        self._append_only(entries)
        steps = _standing(entries)
        self._steps(steps, spans, change)
        _sums(entries, steps)
        return {"spans": len(spans), "entries": len(entries), "steps": len(steps)}

    def _nothing_lost(self, spans: Counter[Key], acknowledged: set[Key], versions_max: int) -> None:
        """Each span that was acknowledged is stored once, and nothing that was not kept. A span
        that came again after a change of the policy may have other attributes: another version."""
        _law(acknowledged <= spans.keys(), "acknowledged, not stored", acknowledged - spans.keys())
        twice = {key for key, times in spans.items() if times > versions_max}
        _law(not twice, "stored twice", twice)
        kept = self._machine.journaled.keys() | self._machine.replayed
        _law(spans.keys() == kept, "stored and kept differ", spans.keys() ^ kept)

    def _counters(self, spans: Counter[Key], versions_max: int) -> None:
        """What the service says of itself adds up."""
        machine, follower = self._machine, self._machine.follower
        assert follower
        at = follower.progress
        with JournalReader.open(machine.settings.journal_path, machine.settings.journal) as journal:
            totals = journal.totals()
            reader = LedgerReader(machine.settings.ledger_path)
            stored = reader.spans_stored(journal.journal_id, at.batch_seq)
        came = machine.journaled.total()
        _law(totals.spans_acknowledged == came, "journal counts", totals.spans_acknowledged, came)
        _law(
            totals.spans_quarantined == machine.quarantined,
            "quarantine counts",
            totals.spans_quarantined,
            machine.quarantined,
        )
        _law(at.spans_read == came and not at.spans_open, "not all was read", at)
        _law(came == stored + at.spans_repeated, "acknowledged = stored + repeated", at, stored)
        _law(came == at.spans_settled, "acknowledged = settled", at, came)
        elsewhere = sum(spans.values()) - stored
        most = versions_max * len(machine.replayed)
        _law(0 <= elsewhere <= most, "evidence counts", elsewhere)

    def _append_only(self, entries: list[tuple[Any, ...]]) -> None:
        """What was in the ledger is in it still, unchanged."""
        now = Counter(entries)
        _law(not self._seen - now, "entries changed or gone", list((self._seen - now).items())[:1])
        self._seen = now

    def _steps(
        self, steps: dict[Key, dict[str, Any]], spans: Iterable[Key], change: Change
    ) -> None:
        """Every stored call is a step with its tokens and price, every tool a step, nothing else;
        in complete runs the right feature pays."""
        stored = set(spans)
        owed = {key for key in stored if self._sent[key].kind in ("call", "tool")}
        _law(steps.keys() == owed, "steps", steps.keys() ^ owed)
        payers_known: dict[str, bool] = {}
        for key in owed:
            span, step = self._sent[key], steps[key]
            if span.call:
                tokens = step["input_tokens"], step["output_tokens"]
                _law(tokens == (span.call.input_tokens, span.call.output_tokens), "tokens", step)
            costs = {span.call.cost_usd(e) if span.call else None for e in change.editions}
            _law(step["cost_usd"] in costs, "cost", key, step["cost_usd"], costs)
            trace = span.trace
            if trace.trace_id not in payers_known:
                payers_known[trace.trace_id] = self._payers_known(trace, stored, change)
            if payers_known[trace.trace_id]:
                payers = {_named(span.payer(), renamed) for renamed in change.renamed}
                _law(step["feature"] in payers, "payer", key, step["feature"], payers)

    def _payers_known(self, trace: Trace, stored: set[Key], change: Change) -> bool:
        """Whether all that can say who pays has come; of a linked run, not so long before or after
        that the index has forgotten it, unless history was worked out again."""
        linked = trace.root.link
        needed = [span.key for span in [*trace.spans, *(linked.spans if linked else [])]]
        if not stored.issuperset(needed):
            return False
        if change.restated:
            return True
        if self.is_out_of_reach(trace):
            return False
        if not linked:
            return True
        ledger = self._machine.settings.ledger
        came_ns = [self._machine.came_ns[key] for key in needed]
        apart_ns = max(came_ns) - min(came_ns)
        reach_ns = (ledger.reopen_window_h - 1) * HOUR_NS
        return apart_ns < reach_ns and ledger.index_traces_max > FEW_TRACES and not change.clocks

    def is_out_of_reach(self, trace: Trace) -> bool:
        """Whether some span came when the index had forgotten what came before of its trace, and
        its clock was so far ahead that the rest is not looked for, or on other days. Until history
        is worked out again such a trace is booked in parts. See docs/quarantine.md."""
        machine, ledger = self._machine, self._machine.settings.ledger
        window_ns = ledger.reopen_window_h * HOUR_NS
        came = sorted((at, s.start_ns) for s in trace.spans if (at := machine.came_ns.get(s.key)))
        return any(
            late_ns - early_ns >= window_ns - HOUR_NS
            and (
                late_start_ns >= late_ns - window_ns
                or late_start_ns - early_start_ns >= (ledger.scan_days - 1) * DAY_NS
            )
            for early_ns, early_start_ns in came
            for late_ns, late_start_ns in came
        )

    def _entries(self, reader: LedgerReader, file: str) -> list[tuple[Any, ...]]:
        """Rows of a data file, read once for as long as it stays what it was."""
        stat = Path(file).stat()
        known = file, stat.st_size, stat.st_mtime_ns
        if known not in self._rows:
            tables = [piece.select(ENTRIES.names) for piece in reader.entries(file)]
            columns = concat(tables, ENTRIES).to_pydict().values()
            self._rows[known] = list(zip(*columns, strict=True))
        return self._rows[known]


def compare_with_a_run_in_time(
    machine: Machine, spans: list[Span], body: bytes, unsure: set[str]
) -> None:
    """What stands is what the same spans would have made of themselves, sent once and in order.

    `body` holds `spans`; traces that are `unsure` are left out.
    """
    settings = machine.settings
    rulebook = Rulebook.of(settings)
    decoded = machine.decoder(DecodeConfig()).decode([Payload(body, _LONG_AFTER_NS)])
    assert decoded.spans.num_rows == len(spans)
    wanted = book_charges(
        kernel(unique_spans(decoded.spans)[0], rulebook),
        ENTRIES.empty_table(),
        machine.wall_ns,
        config=settings.book,
    )
    reader = LedgerReader(settings.ledger_path)
    files = reader.snapshot().ledger_files
    stored = concat((piece for file in files for piece in reader.entries(file)), ENTRIES)
    ours, theirs = _standing(_tuples(stored)), _standing(_tuples(wanted))
    for key in sorted(k for k in ours.keys() | theirs.keys() if k[0] not in unsure):
        mine, other = ours.get(key, {}), theirs.get(key, {})
        differing = [name for name in _CONTENT if mine.get(name) != other.get(name)]
        _law(not differing, "differs from a run in time", key, differing, mine, other)


def _tuples(entries: pa.Table) -> list[tuple[Any, ...]]:
    return list(zip(*entries.select(ENTRIES.names).to_pydict().values(), strict=True))


def _standing(entries: list[tuple[Any, ...]]) -> dict[Key, dict[str, Any]]:
    """The step of each span; every content stands once or not at all, and one a span."""
    content = [ENTRIES.get_field_index(name) for name in _CONTENT]
    negated = {ENTRIES.get_field_index(name) for name in SIGNED}
    sign_at = ENTRIES.get_field_index("sign")
    net: Counter[tuple[Any, ...]] = Counter()
    for row in entries:
        sign = row[sign_at]
        net[tuple(_times(row[at], sign) if at in negated else row[at] for at in content)] += sign
    steps: dict[Key, dict[str, Any]] = {}
    for values, times in net.items():
        step = dict(zip(_CONTENT, values, strict=True))
        key = step["trace_id"], step["span_id"]
        _law(times in (0, 1), "booked more or less than once", key, times)
        if times:
            _law(key not in steps, "two steps of a span", key)
            steps[key] = step
    return steps


def _sums(entries: list[tuple[Any, ...]], steps: dict[Key, dict[str, Any]]) -> None:
    """Sums over all entries are sums over the steps."""
    for name in _SUMS:
        at = ENTRIES.get_field_index(name)
        booked = sum((row[at] or Decimal(0) for row in entries), Decimal(0))
        stands = sum((step[name] or Decimal(0) for step in steps.values()), Decimal(0))
        _law(booked == stands, f"sum of {name}", booked, stands)


def _times(value: Any, sign: int) -> Any:
    return value if value is None or sign > 0 else -value


def _keys(spans: pa.Table) -> Counter[Key]:
    return Counter(zip(spans["trace_id"].to_pylist(), spans["span_id"].to_pylist(), strict=True))


def _spans_in(file: str) -> Iterable[pa.Table]:
    return read_pieces(Path(file), SPAN_ROWS)


def _named(feature: str | None, renamed: bool) -> str | None:
    return other_name(feature) if feature and renamed else feature


def _law(holds: object, *what: object) -> None:
    if not holds:
        raise BrokenLawError(" ".join(map(str, what))[:2000])
