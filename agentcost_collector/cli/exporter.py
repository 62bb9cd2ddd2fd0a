"""Clients that export one recorded request and try again as OTLP says."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from typing import Self

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from agentcost_collector.model.errors import ConfigError, PermanentError, TransientError

_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_TRIES = 6
_PAUSE_S = 0.2  # doubled after each try, where the collector does not say how long
_PAUSE_S_MAX = 30.0
_ANSWER_S = 60.0
_RETRYABLE = {
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DATA_LOSS,
}
_RETRYABLE_HTTP = {429, 502, 503, 504}


class _AgainError(Exception):
    """Not taken now. `after_s` is what the collector asks for, if it does."""

    def __init__(self, reason: str, after_s: float | None) -> None:
        super().__init__(reason)
        self.after_s = after_s


class GrpcExporter:
    """OTLP/gRPC; bytes go out as they are."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = _address(endpoint)
        self._channel = grpc.insecure_channel(self._endpoint)
        self._call = self._channel.unary_unary(_EXPORT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def export(self, body: bytes) -> tuple[int, str]:
        """Spans that were rejected, and why. Raises PermanentError for a refused request,
        TransientError where the collector cannot take it even after several tries."""
        return _answer(_with_retries(self._endpoint, lambda: self._once(body)))

    def _once(self, body: bytes) -> bytes:
        try:
            answer: bytes = self._call(body, timeout=_ANSWER_S)
        except grpc.RpcError as error:
            after_s = _retry_delay_s(dict(error.trailing_metadata() or ()))
            reason = f"{error.code().name}: {error.details()}"
            exhausted = error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and after_s is not None
            if error.code() in _RETRYABLE or exhausted:
                raise _AgainError(reason, after_s) from error
            raise PermanentError(reason) from error
        return answer


class HttpExporter:
    """OTLP/HTTP with protobuf bodies."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = _address(endpoint)
        self._connection = http.client.HTTPConnection(self._endpoint, timeout=_ANSWER_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def export(self, body: bytes) -> tuple[int, str]:
        """As GrpcExporter.export."""
        return _answer(_with_retries(self._endpoint, lambda: self._once(body)))

    def _once(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/x-protobuf"}
        try:
            self._connection.request("POST", "/v1/traces", body, headers)
            response = self._connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()  # the next try opens it again
            raise _AgainError(str(error) or type(error).__name__, None) from error
        if response.status == 200:
            return answer
        reason = f"{response.status} {response.reason}: {_status_message(answer)}"
        if response.status in _RETRYABLE_HTTP:
            after = response.headers.get("Retry-After", "")
            raise _AgainError(reason, float(after) if after.isdecimal() else None)
        raise PermanentError(reason)


def _with_retries(endpoint: str, once: Callable[[], bytes]) -> bytes:
    pause_s = _PAUSE_S
    for tries_left in reversed(range(_TRIES)):
        try:
            return once()
        except _AgainError as again:
            if not tries_left:
                raise TransientError(
                    f"{endpoint} does not take the traces: {again}; is `agentcost serve` running?"
                ) from again
            time.sleep(min(pause_s if again.after_s is None else again.after_s, _PAUSE_S_MAX))
            pause_s *= 2
    raise AssertionError("the last try returns or raises")


def _address(endpoint: str) -> str:
    address = endpoint.removeprefix("http://").rstrip("/")
    host, _, port = address.rpartition(":")
    if not host or "/" in address or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(f"--endpoint {endpoint}: should be HOST:PORT, as in 127.0.0.1:4317")
    return address


def _answer(answer: bytes) -> tuple[int, str]:
    partial = ExportTraceServiceResponse.FromString(answer).partial_success
    return partial.rejected_spans, partial.error_message


def _retry_delay_s(metadata: dict[str, str | bytes]) -> float | None:
    """From google.rpc.Status in the trailing metadata, where there is a readable one."""
    packed = metadata.get("grpc-status-details-bin")
    if not isinstance(packed, bytes):
        return None
    info = RetryInfo()
    try:
        for detail in Status.FromString(packed).details:
            if detail.Unpack(info):
                return float(info.retry_delay.ToTimedelta().total_seconds())
    except DecodeError:
        return None
    return None


def _status_message(body: bytes) -> str:
    try:
        return str(Status.FromString(body).message)
    except DecodeError:
        return body[:200].decode(errors="replace")
