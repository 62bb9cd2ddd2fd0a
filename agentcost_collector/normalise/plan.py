"""Compiles the dialects into lookup tables, once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from agentcost_collector.model.kinds import KINDS, Kind
from agentcost_collector.model.schemas import TAGS
from agentcost_collector.normalise.dialect import FIELDS, Dialect
from agentcost_collector.normalise.select import Plan

BAGGAGE = "baggage."
OWN_UNITS = "agentcost.units."
"""Prefix of attributes that count units of the user's own: the rest of the key names the unit."""
OWN_PRICING = "agentcost.pricing."
"""Prefix of attributes that decide a price: the rest of the key is the key of a card's `when`."""
_FOREIGN = 1000
_MISSING = -1


@dataclass(frozen=True)
class Vocabulary:
    """All dialects, ready to use. `groups` = one per dialect plus a last one for "none"."""

    dialects: tuple[Dialect, ...]
    fields: Plan
    kinds: Plan
    kind_values: Mapping[tuple[str, str], int]
    """(attribute, lower-case value) -> index into KINDS"""
    kind_signs: Mapping[str, int]
    """attribute whose presence says what a span is, where no value does -> index into KINDS"""
    cache_signs: Mapping[str, str]
    """attribute -> lower-case value that says: answered from the emitter's own cache"""
    signatures: Mapping[str, int]
    """attribute -> first dialect that is recognised by it"""
    tag_aliases: Mapping[str, Sequence[str]]
    """tag -> attributes that carry it, in order of preference"""

    def dialect_of_scope(self, scope: str | None) -> int:
        """Index of the dialect that owns a scope name, or -1."""
        for i, dialect in enumerate(self.dialects):
            if matches_scope(scope, dialect.scopes):
                return i
        return _MISSING

    def attribute_keys(self) -> frozenset[str]:
        """Every attribute that any dialect or tag reads: what decode must keep."""
        signs = {key for d in self.dialects for key in d.signature}
        read = frozenset(self.fields.targets) | frozenset(self.kinds.targets) | signs
        read |= frozenset(self.kind_signs) | frozenset(self.cache_signs)
        return read - self.url_keys()

    def url_keys(self) -> frozenset[str]:
        """Attributes of which only the host is read: decode must not keep the rest."""
        return frozenset(key for d in self.dialects for key in d.url_hosts)

    def url_paths(self) -> dict[str, Kind]:
        """Ends of URL paths that are model calls; decode keeps no other part of a path."""
        return {path: kind for d in self.dialects for path, kind in d.url_paths.items()}

    def number_keys(self) -> dict[str, tuple[str, ...]]:
        """Attributes of which only the integers of some names are read."""
        return {key: names for d in self.dialects for key, names in d.numbers.items()}

    def caller_keys(self) -> frozenset[str]:
        """Attributes by which usage is known that a library wrote on its caller's span."""
        return frozenset(k for d in self.dialects if d.writes_on_caller for k in d.signature)

    def presence_keys(self) -> frozenset[str]:
        """Attributes of which only the presence is read: decode must not keep their values."""
        return frozenset(k for d in self.dialects for k in (*d.tools_offered, *d.signs_only))

    def user_keys(self) -> frozenset[str]:
        """Attributes that say who the user is."""
        number = self.fields.fields.index("user_id")
        return frozenset(k for k, at in self.fields.targets.items() if number in dict(at))


def matches_scope(scope: str | None, patterns: Iterable[str]) -> bool:
    """Whether a scope name is one of `patterns` or lies below it (`pattern.suffix`); "*" is any.

    A pattern that ends in "-" is the beginning of names, as of JavaScript packages.
    """
    if scope is None:
        return "*" in patterns
    return any(
        p == "*" or scope == p or scope.startswith(p if p.endswith("-") else p + ".")
        for p in patterns
    )


def tag_field(tag: str) -> str:
    """Canonical field of a tag set on the span itself."""
    return f"tag_{tag}"


def compile_vocabulary(
    dialects: Sequence[Dialect], tag_aliases: Mapping[str, Sequence[str]]
) -> Vocabulary:
    """Lookup tables of `dialects` and of the attributes that carry each of the six tags."""
    names = (*FIELDS, *(tag_field(t) for t in TAGS), *(tag_field(t) + "_baggage" for t in TAGS))
    number = {name: i for i, name in enumerate(names)}
    targets: dict[str, dict[int, np.ndarray]] = {}
    groups = len(dialects) + 1

    def prefer(key: str, field: str, own: int | None, place: int, rank: int) -> None:
        ranks = np.full(groups, _FOREIGN + place * 50 + rank, dtype=np.int32)
        if own is not None:
            ranks[own] = rank
        kept = targets.setdefault(key, {}).get(number[field])
        targets[key][number[field]] = ranks if kept is None else np.minimum(kept, ranks)

    for i, dialect in enumerate(dialects):
        for field, keys in dialect.fields.items():
            for rank, key in enumerate(keys):
                prefer(key, field, i, i, rank)
        for rank, key in enumerate(dialect.url_hosts):
            prefer(key, "host", i, i, 10 + rank)
            prefer(key, "url", i, i, rank)
    for tag in TAGS:
        for rank, key in enumerate(tag_aliases.get(tag, ())):
            prefer(key, tag_field(tag), None, 0, rank)
            prefer(BAGGAGE + key, tag_field(tag) + "_baggage", None, 0, rank)
    fields = Plan(names, {key: tuple(t.items()) for key, t in targets.items()})
    kinds, kind_values = _compile_kinds(dialects)
    signatures: dict[str, int] = {}
    for i, dialect in enumerate(dialects):
        for key in dialect.signature:
            signatures.setdefault(key, i)
    signs = {key: KINDS.index(kind) for d in dialects for key, kind in d.kind_signs.items()}
    cached = {key: value for d in dialects for key, value in d.answered_from_cache.items()}
    return Vocabulary(
        tuple(dialects), fields, kinds, kind_values, signs, cached, signatures, tag_aliases
    )


def _compile_kinds(dialects: Sequence[Dialect]) -> tuple[Plan, dict[tuple[str, str], int]]:
    rank_of: dict[str, int] = {}
    values: dict[tuple[str, str], int] = {}
    for dialect in dialects:
        for key, mapping in dialect.kinds.items():
            rank_of.setdefault(key, len(rank_of))
            for value, kind in mapping.items():
                values.setdefault((key, value), KINDS.index(kind))
    plan = Plan(
        ("kind",),
        {key: ((0, np.array([rank], dtype=np.int32)),) for key, rank in rank_of.items()},
    )
    return plan, values


def first_match(patterns: Mapping[str, Kind], name: str) -> int:
    """Index into KINDS for the first pattern found in a span name, or -1."""
    for pattern, kind in patterns.items():
        if re.search(pattern, name):
            return KINDS.index(kind)
    return _MISSING


def coded(values: np.ndarray, names: Sequence[str]) -> pa.DictionaryArray:
    """A dictionary column from codes; negative codes are NULL."""
    indices = pa.array(values.astype(np.int32), mask=values < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(list(names), pa.string()))
