"""OTLP on the wire: a flattened descriptor, and requests to Arrow in one call.

The descriptor has the field numbers of opentelemetry/proto/trace/v1 and only the fields we read.
Strings, arrays and maps are bytes, so neither bad UTF-8 nor deep values fail a request; a
resource is bytes too, because it is read once per distinct resource.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message
from ptars import HandlerPool

_Field = descriptor_pb2.FieldDescriptorProto
_BYTES = _Field.TYPE_BYTES
_INT32 = _Field.TYPE_INT32
_MANY = "many"
_MAYBE = "maybe"
"""A field that knows the difference between absent and zero."""

_MESSAGES: dict[str, list[tuple[Any, ...]]] = {
    "AnyValue": [
        ("string_value", 1, _BYTES, _MAYBE),
        ("bool_value", 2, _Field.TYPE_BOOL, _MAYBE),
        ("int_value", 3, _Field.TYPE_INT64, _MAYBE),
        ("double_value", 4, _Field.TYPE_DOUBLE, _MAYBE),
        ("array_value", 5, _BYTES, _MAYBE),
        ("kvlist_value", 6, _BYTES, _MAYBE),
        ("bytes_value", 7, _BYTES, _MAYBE),
    ],
    "ArrayValue": [("values", 1, "AnyValue", _MANY)],
    "KeyValue": [("key", 1, _BYTES), ("value", 2, "AnyValue")],
    "KeyValueList": [("values", 1, "KeyValue", _MANY)],
    "Resource": [("attributes", 1, "KeyValue", _MANY)],
    "Scope": [("name", 1, _BYTES), ("version", 2, _BYTES)],
    "Status": [("code", 3, _INT32)],
    "Link": [("trace_id", 1, _BYTES), ("span_id", 2, _BYTES)],
    "Span": [
        ("trace_id", 1, _BYTES),
        ("span_id", 2, _BYTES),
        ("parent_span_id", 4, _BYTES),
        ("name", 5, _BYTES),
        ("kind", 6, _INT32),
        ("start_time_unix_nano", 7, _Field.TYPE_FIXED64),
        ("end_time_unix_nano", 8, _Field.TYPE_FIXED64),
        ("attributes", 9, "KeyValue", _MANY),
        ("dropped_attributes_count", 10, _Field.TYPE_UINT32),
        ("links", 13, "Link", _MANY),
        ("status", 15, "Status"),
    ],
    "ScopeSpans": [("scope", 1, "Scope"), ("spans", 2, "Span", _MANY)],
    "ResourceSpans": [("resource", 1, _BYTES), ("scope_spans", 2, "ScopeSpans", _MANY)],
    "Request": [("resource_spans", 1, "ResourceSpans", _MANY)],
}


def _file() -> Any:
    proto = descriptor_pb2.FileDescriptorProto(
        name="agentcost/otlp_flat.proto", package="agentcost.otlp", syntax="proto3"
    )
    for message_name, fields in _MESSAGES.items():
        message = proto.message_type.add(name=message_name)
        for name, number, kind, *marks in fields:
            label = _Field.LABEL_REPEATED if _MANY in marks else _Field.LABEL_OPTIONAL
            field = message.field.add(name=name, number=number, label=label)
            if isinstance(kind, str):
                field.type = _Field.TYPE_MESSAGE
                field.type_name = f".{proto.package}.{kind}"
            else:
                field.type = kind
            if _MAYBE in marks:
                message.oneof_decl.add(name=f"_{name}")
                field.oneof_index = len(message.oneof_decl) - 1
                field.proto3_optional = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(proto)
    return pool.FindFileByName(proto.name)


_FILE = _file()
_REQUESTS = HandlerPool([_FILE]).get_for_message(_FILE.message_types_by_name["Request"])


def message_class(name: str) -> Any:
    """The protobuf class of one message of the flattened descriptor."""
    return message_factory.GetMessageClass(_FILE.message_types_by_name[name])


Request = message_class("Request")
Resource = message_class("Resource")
ArrayValue = message_class("ArrayValue")
KeyValueList = message_class("KeyValueList")

GROUP_BYTES_MAX = 2**31 - 1
"""Bytes of all requests of one call together: Arrow's offsets are 32 bits wide."""

# ptars skips unknown groups (wire types 3 and 4) by recursion without a limit: about 80 bytes of
# stack for each byte of a hostile request, and an overflow kills the process. So a request either
# is too short to overflow any stack, or gets a stack in proportion to its length, or is first
# parsed by protobuf, which refuses groups nested deeper than 100.
_STACK_BYTES_PER_BYTE = 128
_ANY_STACK_BYTES_MAX = 8 * 1024
_OWN_STACK_BYTES_MAX = 2 * 1024 * 1024
_STACK_SIZE_LOCK = threading.Lock()


def read_requests(bodies: Sequence[bytes]) -> pa.ListArray:
    """Per request the list of its ResourceSpans, all requests in one call.

    Raises ValueError where any of them is not protobuf; none is returned then.
    """
    assert sum(map(len, bodies)) <= GROUP_BYTES_MAX
    long = [body for body in bodies if len(body) > _OWN_STACK_BYTES_MAX]
    for body in long:
        parse(Request, body)
    unproven = max((len(body) for body in bodies if len(body) <= _OWN_STACK_BYTES_MAX), default=0)
    if unproven <= _ANY_STACK_BYTES_MAX:
        return _to_arrow(list(bodies))
    return _on_deep_stack(list(bodies), unproven * _STACK_BYTES_PER_BYTE)


def parse(kind: Any, body: bytes) -> Message:
    """One message by protobuf's own parser. Raises ValueError where it is malformed."""
    try:
        message: Message = kind.FromString(body)
    except DecodeError as error:
        raise ValueError(str(error)) from error
    return message


def _to_arrow(bodies: list[bytes]) -> pa.ListArray:
    """Raises ValueError, also for what makes ptars panic: a length near 2^64."""
    try:
        return _REQUESTS.list_to_record_batch(bodies).column(0)
    except BaseException as error:
        if isinstance(error, Exception | KeyboardInterrupt | SystemExit):
            raise
        raise ValueError(f"a field has an impossible length ({error})") from error


def _on_deep_stack(bodies: list[bytes], stack_bytes: int) -> pa.ListArray:
    done: list[pa.ListArray] = []
    failed: list[BaseException] = []

    def read() -> None:
        try:
            done.append(_to_arrow(bodies))
        except BaseException as error:  # handed to the caller below
            failed.append(error)

    thread = threading.Thread(target=read, name="decode")
    with _STACK_SIZE_LOCK:
        usual = threading.stack_size(_round_up(stack_bytes))
        try:
            thread.start()
        finally:
            threading.stack_size(usual)
    thread.join()
    if failed:
        raise failed[0]
    return done[0]


def _round_up(stack_bytes: int) -> int:
    megabyte = 1024 * 1024
    return max(8 * megabyte, -(-stack_bytes // megabyte) * megabyte)
