"""OTLP/JSON to protobuf: the OTLP rules, which are not those of protobuf's own JSON mapping.

Ids are hex, enums are numbers, keys are lowerCamelCase; other keys are unknown and ignored, null
is absent. Only the fields that `wire` describes are carried over, so no content is.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from typing import Any, NoReturn

from agentcost_collector.decode.values import DEPTH_MAX
from agentcost_collector.decode.wire import ArrayValue, KeyValueList, Request, Resource
from agentcost_collector.model.errors import PermanentError

OBJECTS_MAX = 1_000_000
"""Objects and arrays that one request may hold: an empty one takes two or three bytes to send and
some 60 in memory."""

_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*")
_INTEGER = re.compile(r"-?[0-9]{1,20}")
_NUMBER = re.compile(r"-?[0-9]{1,400}(?:\.[0-9]{1,400})?(?:[eE][+-]?[0-9]{1,4})?")
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

_NOT_HEX = b"not hexadecimal: "
"""Put before the text of an id that is not hex: too long for any id, so decode rejects the span."""


def json_to_protobuf(body: bytes) -> bytes:
    """The same request in protobuf, with the fields that decode reads.

    A wrong id becomes bytes that decode rejects for that span alone. Raises PermanentError where
    the body is not JSON or a field has the wrong type; the message says which. Cost: about
    130 us a span, a Python object per value; bounded by the length of the body.
    """
    if body.count(b"{") + body.count(b"[") > OBJECTS_MAX:
        raise PermanentError(
            f"The OTLP/JSON request holds more than {OBJECTS_MAX} objects and arrays; send "
            "smaller batches, or protobuf."
        )
    try:
        document = json.loads(body, parse_constant=_no_constant)
    except RecursionError:
        raise PermanentError("The OTLP/JSON request is nested too deep.") from None
    except ValueError as error:
        raise PermanentError(f"The request of {len(body)} bytes is not JSON: {error}.") from error
    request = Request()
    for item in _list(_expect(dict, document, "the request"), "resourceSpans"):
        _resource_spans(item, request.resource_spans.add())
    serialized: bytes = request.SerializeToString()
    return serialized


def _resource_spans(source: dict[str, Any], into: Any) -> None:
    resource = Resource()
    _attributes(_object(source, "resource"), "attributes", resource.attributes)
    into.resource = resource.SerializeToString()
    for scope_spans in _list(source, "scopeSpans"):
        item = into.scope_spans.add()
        if source_scope := _object(scope_spans, "scope"):
            item.scope.name = _text(source_scope, "name")
            item.scope.version = _text(source_scope, "version")
        for span in _list(scope_spans, "spans"):
            _span(span, item.spans.add())


def _span(source: dict[str, Any], into: Any) -> None:
    into.trace_id = _id(source, "traceId")
    into.span_id = _id(source, "spanId")
    into.parent_span_id = _id(source, "parentSpanId")
    into.name = _text(source, "name")
    into.kind = _integer(source, "kind", -(2**31), 2**31)
    into.start_time_unix_nano = _integer(source, "startTimeUnixNano", 0, 2**64)
    into.end_time_unix_nano = _integer(source, "endTimeUnixNano", 0, 2**64)
    into.dropped_attributes_count = _integer(source, "droppedAttributesCount", 0, 2**32)
    into.status.code = _integer(_object(source, "status"), "code", -(2**31), 2**31)
    _attributes(source, "attributes", into.attributes)
    for link in _list(source, "links"):
        into.links.add(trace_id=_id(link, "traceId"), span_id=_id(link, "spanId"))


def _attributes(source: dict[str, Any], name: str, into: Any, depth: int = 0) -> None:
    for pair in _list(source, name):
        item = into.add(key=_text(pair, "key"))
        _any_value(_object(pair, "value"), item.value, depth)


def _any_value(source: dict[str, Any], into: Any, depth: int) -> None:
    """The first kind of value that is set; one nested deeper than decode reads is left out."""
    if source.get("stringValue") is not None:
        into.string_value = _text(source, "stringValue")
    elif source.get("boolValue") is not None:
        into.bool_value = _expect(bool, source["boolValue"], "boolValue")
    elif source.get("intValue") is not None:
        into.int_value = _integer(source, "intValue", -(2**63), 2**63)
    elif source.get("doubleValue") is not None:
        into.double_value = _double(source["doubleValue"])
    elif source.get("bytesValue") is not None:
        into.bytes_value = _base64(_expect(str, source["bytesValue"], "bytesValue"))
    elif depth > DEPTH_MAX:
        return
    elif source.get("arrayValue") is not None:
        array = ArrayValue()
        for value in _list(_object(source, "arrayValue"), "values"):
            _any_value(value, array.values.add(), depth + 1)
        into.array_value = array.SerializeToString()
    elif source.get("kvlistValue") is not None:
        pairs = KeyValueList()
        _attributes(_object(source, "kvlistValue"), "values", pairs.values, depth + 1)
        into.kvlist_value = pairs.SerializeToString()


def _object(source: dict[str, Any], name: str) -> dict[str, Any]:
    value = source.get(name)
    return {} if value is None else _expect(dict, value, name)


def _list(source: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value = source.get(name)
    items = [] if value is None else _expect(list, value, name)
    return [{} if item is None else _expect(dict, item, f"each of {name}") for item in items]


def _text(source: dict[str, Any], name: str) -> bytes:
    value = source.get(name)
    text: str = "" if value is None else _expect(str, value, name)
    return text.encode("utf-8", "replace")  # JSON can hold half a surrogate pair


def _id(source: dict[str, Any], name: str) -> bytes:
    value = source.get(name)
    if value is None:
        return b""
    text = value if isinstance(value, str) else "not text"
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    return _NOT_HEX + text.encode("utf-8", "replace")


def _integer(source: dict[str, Any], name: str, low: int, high: int) -> int:
    """An integer in [low, high), as a number or as decimal text."""
    value = source.get(name)
    if value is None:
        return 0
    if (isinstance(value, str) and _INTEGER.fullmatch(value)) or (
        isinstance(value, float) and value.is_integer()
    ):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(f"{name} must be an integer, as a number or as decimal text")
    if not low <= value < high:
        raise _wrong(f"{name} must be at least {low} and below {high}")
    return value


def _double(value: Any) -> float:
    if isinstance(value, str):
        if value in _NOT_FINITE:
            return _NOT_FINITE[value]
        if _NUMBER.fullmatch(value):
            return float(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    raise _wrong("doubleValue must be a number, or the text NaN, Infinity or -Infinity")


def _base64(text: str) -> bytes:
    plain = text.rstrip("=").translate({ord("-"): "+", ord("_"): "/"})
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise _wrong("bytesValue must be base64") from None


def _expect(kind: type, value: Any, name: str) -> Any:
    if not isinstance(value, kind):
        raise _wrong(f"{name} must be {_JSON_NAMES[kind]}")
    return value


_JSON_NAMES = {dict: "an object", list: "an array", str: "a text", bool: "true or false"}


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _wrong(what: str) -> PermanentError:
    return PermanentError(f"The OTLP/JSON request cannot be read: {what}.")
