"""Clients that export one recorded request and try again as OTLP says."""

from __future__ import annotations

import http.client
import os
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import unquote

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


@dataclass(frozen=True, slots=True)
class Target:
    """Where to export to, and with what credentials."""

    address: str
    """HOST:PORT."""
    is_tls: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    ca: Path | None = None
    """Authorities that are trusted; None: those of the system."""
    client_cert: Path | None = None
    client_key: Path | None = None

    @classmethod
    def of(cls, endpoint: str | None, default: str) -> Target:
        """From `endpoint`, else the variables OTEL_EXPORTER_OTLP_[TRACES_]..., as SDKs read them.

        Raises ConfigError where there is no HOST:PORT in the endpoint.
        """
        named = endpoint or _variable("ENDPOINT") or default
        scheme, _, rest = named.rpartition("://")
        insecure = (_variable("INSECURE") or "true").lower() == "true"
        if scheme not in ("", "http", "https"):
            raise _not_an_endpoint(named)
        return cls(
            _address(rest, named),
            scheme == "https" or (not scheme and not insecure),
            tuple(_headers(_variable("HEADERS") or "")),
            _path("CERTIFICATE"),
            _path("CLIENT_CERTIFICATE"),
            _path("CLIENT_KEY"),
        )


class GrpcExporter:
    """OTLP/gRPC; bytes go out as they are."""

    def __init__(self, target: Target) -> None:
        """Raises ConfigError where the files for TLS cannot be read."""
        self._endpoint = target.address
        self._headers = target.headers
        self._channel = (
            grpc.secure_channel(self._endpoint, _grpc_credentials(target))
            if target.is_tls
            else grpc.insecure_channel(self._endpoint)
        )
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
            answer: bytes = self._call(body, timeout=_ANSWER_S, metadata=self._headers)
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

    def __init__(self, target: Target) -> None:
        """Raises ConfigError where the files for TLS cannot be read."""
        self._endpoint = target.address
        self._headers = {"Content-Type": "application/x-protobuf", **dict(target.headers)}
        self._connection = (
            http.client.HTTPSConnection(
                self._endpoint, timeout=_ANSWER_S, context=_tls_context(target)
            )
            if target.is_tls
            else http.client.HTTPConnection(self._endpoint, timeout=_ANSWER_S)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def export(self, body: bytes) -> tuple[int, str]:
        """As GrpcExporter.export."""
        return _answer(_with_retries(self._endpoint, lambda: self._once(body)))

    def _once(self, body: bytes) -> bytes:
        try:
            self._connection.request("POST", "/v1/traces", body, self._headers)
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


def _address(text: str, endpoint: str) -> str:
    address = text.rstrip("/")
    host, _, port = address.rpartition(":")
    if not host or "/" in address or not port.isdecimal() or not 0 < int(port) < 65536:
        raise _not_an_endpoint(endpoint)
    return address


def _not_an_endpoint(endpoint: str) -> ConfigError:
    return ConfigError(f"--endpoint {endpoint}: should be HOST:PORT, as in 127.0.0.1:4317")


def _variable(name: str) -> str | None:
    """What is set for traces, else for all signals."""
    names = (f"OTEL_EXPORTER_OTLP_TRACES_{name}", f"OTEL_EXPORTER_OTLP_{name}")
    return next((os.environ[n] for n in names if os.environ.get(n)), None)


def _path(name: str) -> Path | None:
    found = _variable(name)
    return Path(found) if found else None


def _headers(text: str) -> Iterator[tuple[str, str]]:
    """The pairs of `key=value,key=value`, percent-decoded, keys in lower case."""
    for pair in text.split(","):
        key, equals, value = pair.partition("=")
        if equals:
            yield unquote(key).strip().lower(), unquote(value).strip()


def _grpc_credentials(target: Target) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        _content(target.ca), _content(target.client_key), _content(target.client_cert)
    )


def _tls_context(target: Target) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=target.ca)
        if target.client_cert:
            context.load_cert_chain(target.client_cert, target.client_key)
    except OSError as fault:
        named = target.client_cert or target.ca
        raise ConfigError(f"{named}: cannot be used for TLS: {fault.strerror or fault}") from fault
    return context


def _content(path: Path | None) -> bytes | None:
    try:
        return path.read_bytes() if path else None
    except OSError as fault:
        raise ConfigError(f"{path}: cannot be read: {fault.strerror}") from fault


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
