"""The real pipeline over a filled journal, with a stopwatch at every stage."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from unittest.mock import patch

from agentcost_collector import kernel
from agentcost_collector import settle as settling
from agentcost_collector.assemble.open_traces import OpenTraces
from agentcost_collector.journal.reader import JournalReader
from agentcost_collector.kernel import Rulebook
from agentcost_collector.ledger.ledger import Ledger
from agentcost_collector.memory import keep_freed_memory
from agentcost_collector.pipeline import Follower
from agentcost_collector.settings import load_settings

STAGES: tuple[tuple[object, str, str], ...] = (
    (JournalReader, "after", "journal read"),
    (OpenTraces, "add", "assemble"),
    (OpenTraces, "close", "assemble"),
    (kernel, "normalise_spans", "normalise"),
    (kernel, "attribute_steps", "attribute"),
    (kernel, "price_steps", "price"),
    (settling, "book_charges", "book"),
    (Ledger, "booked", "look up"),
    (Ledger, "commit", "write"),
)
"""Where a stage is called by the pipeline: owner, name, and the line of the table it counts in."""

BETWEEN = "between"
_SECOND_NS = 1_000_000_000


def settle(data: Path, spans: int) -> dict[str, float]:
    """CPU seconds of each stage while the pipeline settles everything in the journal of `data`.

    `between` is what the pipeline itself does: sorting, joining and cutting tables. Time is
    simulated, a second a turn, so that nothing is waited for.
    """
    keep_freed_memory()  # as the pipeline process does
    settings = load_settings(flags={"data": data})
    rulebook = Rulebook.of(settings)
    spent: Counter[str] = Counter()
    with ExitStack() as stack:
        for owner, name, stage in STAGES:
            timed = _timed(getattr(owner, name), stage, spent)
            stack.enter_context(patch.object(owner, name, timed))
        journal = stack.enter_context(
            closing(JournalReader.open(settings.journal_path, settings.journal))
        )
        ledger = stack.enter_context(
            Ledger.open(settings.ledger_path, journal.journal_id, settings.ledger)
        )
        follower = Follower(journal, ledger, rulebook, settings)
        before_s = time.process_time()
        now_ns = time.time_ns()
        while follower.step(now_ns, now_ns) or follower.progress.spans_open:
            now_ns += _SECOND_NS
        all_s = time.process_time() - before_s
    if follower.progress.spans_read != spans:
        raise SystemExit(f"{spans} spans were sent, {follower.progress.spans_read} came through")
    return {**spent, BETWEEN: all_s - spent.total()}


def _timed(work: Callable[..., Any], stage: str, spent: Counter[str]) -> Callable[..., Any]:
    """`work`, with its CPU time added to `spent[stage]`; a generator's is that of its turns."""

    def timed(*args: Any, **kwargs: Any) -> Any:
        before_s = time.process_time()
        result = work(*args, **kwargs)
        spent[stage] += time.process_time() - before_s
        return turns(result) if isinstance(result, Iterator) else result

    def turns(result: Iterator[Any]) -> Iterator[Any]:
        while True:
            before_s = time.process_time()
            item = next(result, None)
            spent[stage] += time.process_time() - before_s
            if item is None:
                return
            yield item

    return timed
