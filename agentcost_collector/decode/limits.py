"""Limits on what one request may hold besides bytes: an empty span takes two bytes on the wire and
some hundred in memory. Spans count with the envelopes around them, attributes with links."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from agentcost_collector.decode.config import Config

_PART_TAGS = (b"\x4a", b"\x6a", b"\xca", b"\xea")
"""First bytes that the tag of a span's attribute or link may have, as short as can be or longer."""

_FIELDS_PER_SPAN = 4
_VARINT, _LENGTH, _FIXED = 0, 2, {1: 8, 5: 4}


class OversizeError(ValueError):
    """A request over a limit. The message names the limit and its setting."""


def check_body(body: bytes, config: Config) -> None:
    """Counts a request on the wire, before anything is made of it, and ends at the limit.

    Raises OversizeError, or ValueError where a field cannot be read. Cost: about 0.5 us a span,
    and as much for each attribute where there may be too many.
    """
    dense = sum(body.count(tag) for tag in _PART_TAGS) > config.attributes_per_request_max
    walk = _Walk(body, config, dense)
    for number, resource_spans in walk.fields((0, len(body))):
        if number != 1:
            continue
        walk.count_spans(1)
        for number, inner in walk.fields(resource_spans):
            if number == 1:  # the resource
                walk.count_attributes(sum(number == 1 for number, _ in walk.fields(inner)))
            if number == 2:
                walk.count_spans(1)
                _count_scope_spans(walk, inner, dense)


def check_columns(requests: pa.ListArray, config: Config) -> None:
    """Counts requests that were read, all at once, for those too short to be counted before.

    Raises OversizeError where any of them is over a limit.
    """
    scope_lists = requests.values.field("scope_spans")
    span_lists = scope_lists.values.field("spans")
    spans = span_lists.values
    to_scopes = requests.offsets.to_numpy()
    to_spans = scope_lists.offsets.to_numpy()[to_scopes]
    span_offsets = span_lists.offsets.to_numpy()[to_spans]
    counts = np.diff(to_scopes + to_spans + span_offsets)
    parts = [spans.field(name).offsets.to_numpy()[span_offsets] for name in ("attributes", "links")]
    if (counts > config.spans_per_request_max).any():
        raise _too_many("spans", config.spans_per_request_max)
    if (np.diff(parts[0] + parts[1]) > config.attributes_per_request_max).any():
        raise _too_many("attributes", config.attributes_per_request_max)


def _count_scope_spans(walk: _Walk, at: tuple[int, int], dense: bool) -> None:
    for number, span in walk.fields(at):
        if number != 2:
            continue
        walk.count_spans(1)
        if dense:
            for part, _ in walk.fields(span):
                if part in (9, 13):
                    walk.count_attributes(1)


class _Walk:
    """Fields of one request, counted; so are those that mean nothing, for they take time too."""

    def __init__(self, body: bytes, config: Config, dense: bool) -> None:
        self._body = body
        self._config = config
        self._spans = 0
        self._attributes = 0
        self._fields = 0
        self._fields_max = _FIELDS_PER_SPAN * config.spans_per_request_max
        if dense:
            self._fields_max += 2 * config.attributes_per_request_max

    def count_spans(self, more: int) -> None:
        self._spans += more
        if self._spans > self._config.spans_per_request_max:
            raise _too_many("spans", self._config.spans_per_request_max)

    def count_attributes(self, more: int) -> None:
        self._attributes += more
        if self._attributes > self._config.attributes_per_request_max:
            raise _too_many("attributes", self._config.attributes_per_request_max)

    def fields(self, at: tuple[int, int]) -> Iterator[tuple[int, tuple[int, int]]]:
        """Number and place of every field in the message at `at`."""
        body, (place, end) = self._body, at
        while place < end:
            self._fields += 1
            if self._fields > self._fields_max:
                raise _too_many("fields", self._fields_max)
            tag = body[place]
            place += 1
            if tag > 127:
                tag, place = self._varint(place - 1)
            kind, size = tag & 7, _FIXED.get(tag & 7, 0)
            if kind == _LENGTH:
                size = body[place] if place < end else 128
                if size > 127:
                    size, place = self._varint(place)
                else:
                    place += 1
            elif kind == _VARINT:
                _, place = self._varint(place)
            elif not size:
                raise ValueError("it holds a group, which OTLP does not have")
            if place + size > end:
                raise ValueError("a field is cut short")
            yield tag >> 3, (place, place + size)
            place += size

    def _varint(self, at: int) -> tuple[int, int]:
        value = 0
        for shift, byte in enumerate(self._body[at : at + 10]):
            value |= (byte & 127) << 7 * shift
            if byte < 128:
                return value, at + shift + 1
        raise ValueError("a number is cut short")


def _too_many(what: str, most: int) -> OversizeError:
    setting = "decode." + ("spans" if what == "fields" else what) + "_per_request_max"
    return OversizeError(
        f"The request holds more than {most} {what}; nothing of it was kept. "
        f"Send smaller batches, or raise {setting}."
    )
