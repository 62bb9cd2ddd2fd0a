"""One batch of spans while it is being normalised, with the dialect of every span."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from agentcost_collector.model.tables import codes
from agentcost_collector.normalise.dialect import Dialect
from agentcost_collector.normalise.plan import Vocabulary
from agentcost_collector.normalise.select import Entries, Selection, select
from agentcost_collector.normalise.usage import parse_counts


class Batch:
    """One batch with what was looked up so far."""

    def __init__(self, spans: pa.Table, vocabulary: Vocabulary) -> None:
        self.rows: int = spans.num_rows
        self.spans = spans
        self.vocabulary = vocabulary
        self.entries = Entries.of(spans.column("attributes"))
        self.scopes = codes(spans.column("scope_name"))
        self.dialect = _dialects(self.scopes, self.entries, vocabulary)
        group = np.where(self.dialect < 0, len(vocabulary.dialects), self.dialect)
        self.found: Selection = select(vocabulary.fields, self.entries, group)
        self._emitters, self._emitter = self._distinct_emitters()

    def counts(self, field: str) -> tuple[np.ndarray, np.ndarray]:
        """A count for every span (-1 = absent), and the rows whose text was unreadable."""
        rows = self.found.rows(field)
        values = np.full(self.rows, -1, dtype=np.int64)
        if not len(rows):
            return values, rows
        parsed, bad = parse_counts(self.found.values(field, rows))
        values[rows] = parsed
        return values, rows[bad]

    def by_name(
        self, rows: np.ndarray, decide: Callable[[Dialect | None, str], object]
    ) -> list[object]:
        """`decide(dialect, span name)` for each of `rows`; asked once per distinct pair."""
        names = codes(self.spans.column("name").take(pa.array(rows)))
        texts = [str(n) for n in names.dictionary.to_pylist()] or [""]
        pair = (self.dialect[rows] + 1) * len(texts)
        pair += names.indices.fill_null(0).to_numpy(zero_copy_only=False)
        distinct, inverse = np.unique(pair, return_inverse=True)
        known: list[Dialect | None] = [None, *self.vocabulary.dialects]
        answers = [decide(known[p // len(texts)], texts[p % len(texts)]) for p in distinct.tolist()]
        return [answers[i] for i in inverse.tolist()]

    def where(self, test: Callable[[Dialect, str | None], bool]) -> np.ndarray:
        """Which spans' (dialect, scope) pass `test`; asked once per distinct pair."""
        passed = [dialect is not None and test(dialect, scope) for dialect, scope in self._emitters]
        return np.array(passed, dtype=bool)[self._emitter]

    def _distinct_emitters(self) -> tuple[list[tuple[Dialect | None, str | None]], np.ndarray]:
        """Distinct pairs of dialect and scope, and which of them each span has."""
        scopes = [*self.scopes.dictionary.to_pylist(), None]
        code = self.scopes.indices.fill_null(len(scopes) - 1).to_numpy(zero_copy_only=False)
        dialects = [*self.vocabulary.dialects, None]
        pair = self.dialect % len(dialects) * len(scopes) + code
        distinct, inverse = np.unique(pair, return_inverse=True)
        pairs = [(dialects[p // len(scopes)], scopes[p % len(scopes)]) for p in distinct.tolist()]
        return pairs, inverse


def _dialects(scopes: pa.DictionaryArray, entries: Entries, vocabulary: Vocabulary) -> np.ndarray:
    """Dialect of every span: by scope name, else by the first signature attribute, else -1."""
    by_scope = np.array(
        [vocabulary.dialect_of_scope(s) for s in scopes.dictionary.to_pylist()] + [-1]
    )
    dialect = by_scope[scopes.indices.fill_null(-1).to_numpy(zero_copy_only=False)]
    sign = np.array([vocabulary.signatures.get(key, -1) for key in entries.keys] or [-1])
    signed = sign[entries.key_codes] if len(entries.rows) else np.zeros(0, dtype=np.int64)
    hit = np.flatnonzero(signed >= 0)
    first = np.full(entries.spans, len(vocabulary.dialects), dtype=np.int64)
    np.minimum.at(first, entries.rows[hit], signed[hit])
    return np.where(dialect >= 0, dialect, np.where(first < len(vocabulary.dialects), first, -1))
