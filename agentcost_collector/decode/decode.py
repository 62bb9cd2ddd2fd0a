"""A group of payloads to spans and rejects, in one columnar pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from agentcost_collector.decode.attributes import attribute_maps, resource_text
from agentcost_collector.decode.config import Config
from agentcost_collector.decode.keep import Keep
from agentcost_collector.decode.limits import OversizeError, check_body, check_columns
from agentcost_collector.decode.pinned import pinned
from agentcost_collector.decode.rejects import judge_spans, reject_outcomes, reject_rows
from agentcost_collector.decode.values import decoded, utf8_texts
from agentcost_collector.decode.wire import read_requests
from agentcost_collector.model.ids import SPAN_ID_BYTES, TRACE_ID_BYTES, hex_ids
from agentcost_collector.model.payload import Outcome, Payload
from agentcost_collector.model.schemas import LINKS, REJECTS, SPANS

_SPAN_KIND_MAX = 5
_STATUS_CODE_MAX = 2
_INT32_MAX = 2**31 - 1
_KEPT = Outcome()
_SHORT_BYTES_MAX = 2 * 1024 * 1024
"""A request up to this length is counted when it was read: that takes at most some 100 MB."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a group of payloads holds."""

    spans: pa.Table
    """Schema SPANS, in order of arrival."""
    rejects: pa.Table
    """Schema REJECTS, in order of arrival."""
    outcomes: list[Outcome]
    """One per payload, in the order given."""


@dataclass(frozen=True, slots=True)
class _Requests:
    """Well-formed requests, flattened; the index arrays say what belongs to what."""

    resources: pa.StringArray  # JSON text per ResourceSpans
    scopes: pa.StructArray  # per ScopeSpans
    spans: pa.StructArray
    scope_of_span: np.ndarray
    resource_of_span: np.ndarray
    request_of_resource: np.ndarray
    request_of_span: np.ndarray


class Decoder:
    """Payloads to Spans. Holds the allow-list and what it remembers of it; nothing else."""

    def __init__(self, keep: Keep, config: Config) -> None:
        self._keep = keep
        self._config = config

    def decode(self, payloads: Sequence[Payload]) -> Decoded:
        """Spans, rejects and outcomes of one group of less than 2 GiB.

        Grain: a row per span on the wire. A malformed payload contributes nothing and harms no
        other. Cost: O(bytes); cheapest per span in groups of some thousand spans.
        """
        bodies = [payload.body for payload in payloads]
        malformed = self._oversize(bodies)
        sound = [i for i in range(len(bodies)) if i not in malformed]
        try:
            requests = self._read([bodies[i] for i in sound])
        except ValueError:
            found = self._malformed([bodies[i] for i in sound], 0)
            malformed |= {sound[at]: message for at, message in found.items()}
            sound = [i for i in sound if i not in malformed]
            requests = self._read([bodies[i] for i in sound])
        bindings = [payloads[i].binding for i in sound]
        resources = pinned(requests.resources, requests.request_of_resource, bindings)
        requests = replace(requests, resources=resources)
        received_at_ns = np.array([payloads[i].received_at_ns for i in sound], dtype=np.int64)
        spans = self._span_rows(requests, received_at_ns)

        reasons = judge_spans(requests.spans, spans)
        outcomes = [_KEPT] * len(bodies)
        for at, message in malformed.items():
            outcomes[at] = Outcome(malformed=message)
        if not reasons.any():
            return Decoded(spans, REJECTS.empty_table(), outcomes)
        for at, outcome in reject_outcomes(reasons, requests.request_of_span).items():
            outcomes[sound[at]] = outcome
        rejects = reject_rows(requests.spans, spans, reasons)
        return Decoded(spans.filter(pa.array(reasons == 0)), rejects, outcomes)

    def _read(self, bodies: Sequence[bytes]) -> _Requests:
        """Raises ValueError where any request, or a resource in it, is malformed or holds too
        much."""
        requests = read_requests(bodies)
        check_columns(requests, self._config)
        resource_spans = requests.values
        scope_spans = resource_spans.field("scope_spans").values
        scope_of_span = _owners(scope_spans.field("spans"))
        resource_of_span = _owners(resource_spans.field("scope_spans"))[scope_of_span]
        request_of_resource = _owners(requests)
        distinct = resource_spans.field("resource").dictionary_encode()
        texts = [
            resource_text(raw, self._keep, self._config) for raw in distinct.dictionary.to_pylist()
        ]
        return _Requests(
            resources=pa.array(texts, pa.string()).take(distinct.indices),
            scopes=scope_spans.field("scope"),
            spans=scope_spans.field("spans").values,
            scope_of_span=scope_of_span,
            resource_of_span=resource_of_span,
            request_of_resource=request_of_resource,
            request_of_span=request_of_resource[resource_of_span],
        )

    def _oversize(self, bodies: Sequence[bytes]) -> dict[int, str]:
        """What is wrong with each long request that may not be read at all, by its place."""
        found = {}
        for at, body in enumerate(bodies):
            if len(body) > _SHORT_BYTES_MAX:
                try:
                    check_body(body, self._config)
                except ValueError as error:
                    found[at] = _malformed_message(body, error)
        return found

    def _malformed(self, bodies: Sequence[bytes], first: int) -> dict[int, str]:
        """What is wrong with each malformed request, by its place counted from `first`."""
        try:
            self._read(bodies)
        except ValueError as error:
            if len(bodies) == 1:
                return {first: _malformed_message(bodies[0], error)}
        else:
            return {}
        half = len(bodies) // 2
        left = self._malformed(bodies[:half], first)
        return left | self._malformed(bodies[half:], first + half)

    def _span_rows(self, requests: _Requests, received_at_ns: np.ndarray) -> pa.Table:
        """Every span as a row of SPANS; what is wrong in those to be rejected is NULL or wraps."""
        wire = requests.spans
        chars_max = self._config.name_chars_max
        scope = requests.scope_of_span
        attributes, unread = attribute_maps(wire.field("attributes"), self._keep, self._config)
        dropped = wire.field("dropped_attributes_count").to_numpy().astype(np.int64) + unread
        columns = {
            "trace_id": hex_ids(wire.field("trace_id"), TRACE_ID_BYTES)[0],
            "span_id": hex_ids(wire.field("span_id"), SPAN_ID_BYTES)[0],
            "parent_span_id": hex_ids(wire.field("parent_span_id"), SPAN_ID_BYTES)[0],
            "kind": _small(wire.field("kind"), _SPAN_KIND_MAX),
            "name": utf8_texts(wire.field("name"), chars_max),
            "start_ns": wire.field("start_time_unix_nano").view(pa.int64()),
            "end_ns": wire.field("end_time_unix_nano").view(pa.int64()),
            "status": _small(_child(wire.field("status"), "code").fill_null(0), _STATUS_CODE_MAX),
            "scope_name": _coded(_scope_texts(requests.scopes, "name", chars_max), scope),
            "scope_version": _coded(_scope_texts(requests.scopes, "version", chars_max), scope),
            "resource": _coded(requests.resources, requests.resource_of_span),
            "attributes": attributes,
            "links": _links(wire.field("links")),
            "dropped_attributes": pa.array(np.minimum(dropped, _INT32_MAX).astype(np.int32)),
            "received_at_ns": pa.array(received_at_ns[requests.request_of_span]),
        }
        return pa.Table.from_arrays([columns[name] for name in SPANS.names], schema=SPANS)


def _owners(lists: pa.ListArray) -> np.ndarray:
    """For each element of the lists, the index of the list it is in."""
    return np.repeat(np.arange(len(lists)), np.diff(lists.offsets.to_numpy()))


def _child(structs: pa.StructArray, name: str) -> pa.Array:
    """A field of `structs`, NULL where the struct itself is."""
    return structs.flatten()[structs.type.get_field_index(name)]


def _small(codes: pa.Int32Array, known_max: int) -> pa.Int8Array:
    """Enum numbers; those we do not know become 0, unspecified."""
    numbers = codes.to_numpy()
    return pa.array(np.where((numbers >= 0) & (numbers <= known_max), numbers, 0).astype(np.int8))


def _scope_texts(scopes: pa.StructArray, name: str, chars_max: int) -> pa.StringArray:
    """A text field of the scopes; NULL where it is empty or there is no scope."""
    raw = _child(scopes, name).dictionary_encode()
    texts = [decoded(value, chars_max) or None for value in raw.dictionary.to_pylist()]
    return pa.array(texts, pa.string()).take(raw.indices)


def _coded(texts: pa.StringArray, rows: np.ndarray) -> pa.DictionaryArray:
    """`texts` at `rows`, each distinct text stored once."""
    distinct = texts.dictionary_encode()
    return pa.DictionaryArray.from_arrays(
        distinct.indices.take(pa.array(rows)), distinct.dictionary
    )


def _links(lists: pa.ListArray) -> pa.ListArray:
    """The spans linked to; a link with an invalid id is dropped."""
    if not len(lists.values):  # almost always
        return pa.ListArray.from_arrays(lists.offsets, pa.array([], LINKS.value_type))
    trace_ids, traces_valid = hex_ids(lists.values.field("trace_id"), TRACE_ID_BYTES)
    span_ids, spans_valid = hex_ids(lists.values.field("span_id"), SPAN_ID_BYTES)
    valid = traces_valid & spans_valid
    kept = pa.array(valid)
    linked = pa.StructArray.from_arrays(
        [trace_ids.filter(kept), span_ids.filter(kept)], fields=list(LINKS.value_type)
    )
    before = np.concatenate(([0], np.cumsum(valid))).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(before[lists.offsets.to_numpy()]), linked)


def _malformed_message(body: bytes, error: ValueError) -> str:
    if isinstance(error, OversizeError):
        return str(error)
    return (
        f"The request of {len(body)} bytes is not a protobuf ExportTraceServiceRequest: {error}. "
        "Nothing of it was kept; sending it again will not help."
    )
