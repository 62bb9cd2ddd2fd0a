"""What a sender is told: every error and outcome as a gRPC or an HTTP answer.

OTLP clients resend after UNAVAILABLE and 503; after UNKNOWN, INTERNAL, 500 and any 4xx they drop
their data. So only a request that can never be accepted gets one of the latter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import grpc
import structlog
from google.protobuf.any_pb2 import Any
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from agentcost_collector.model.errors import (
    AgentcostError,
    ForbiddenError,
    PermanentError,
    TransientError,
    UnauthenticatedError,
)
from agentcost_collector.model.payload import Outcome

MESSAGE_CHARS_MAX = 300  # in gRPC it is sent three times, within 8 KiB of metadata

_log = structlog.get_logger(__name__)

_GRPC_OF_HTTP = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    405: grpc.StatusCode.UNIMPLEMENTED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    431: grpc.StatusCode.INVALID_ARGUMENT,
    503: grpc.StatusCode.UNAVAILABLE,
}


class Cause(StrEnum):
    """Why a request was not accepted; a closed list, for counting."""

    MALFORMED = "malformed"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    UNKNOWN_PATH = "unknown_path"
    WRONG_METHOD = "wrong_method"
    TOO_LARGE = "too_large"
    WRONG_MEDIA = "wrong_media"
    HEAD_TOO_LARGE = "head_too_large"
    MEMORY_TAKEN = "memory_taken"
    LATE = "late"
    STOPPING = "stopping"
    NOT_STORED = "not_stored"
    UNEXPECTED = "unexpected"


_CAUSE_OF_HTTP = {
    400: Cause.MALFORMED,
    401: Cause.UNAUTHENTICATED,
    403: Cause.FORBIDDEN,
    404: Cause.UNKNOWN_PATH,
    405: Cause.WRONG_METHOD,
    413: Cause.TOO_LARGE,
    415: Cause.WRONG_MEDIA,
    431: Cause.HEAD_TOO_LARGE,
}


class PutOffError(TransientError):
    """A request that the receiver itself cannot take now."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class RefusedError(PermanentError):
    """A request that can never be accepted, with the HTTP status that says why."""

    def __init__(self, http: int, message: str) -> None:
        super().__init__(message)
        self.http = http


def late_body(wait_s: float) -> PutOffError:
    """What a sender hears whose request took too long to arrive."""
    return PutOffError(
        Cause.LATE, f"The request body did not arrive within {wait_s:g} seconds; send it again."
    )


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request was not accepted, and whether sending it again may help."""

    http: int
    cause: Cause
    message: str
    retry_delay_s: float | None = None
    """Seconds to wait before sending again; None: it will not help."""

    @property
    def grpc_code(self) -> grpc.StatusCode:
        """The gRPC status that belongs to the HTTP status."""
        return _GRPC_OF_HTTP[self.http]


def failure_of(error: BaseException, retry_delay_s: float) -> Failure:
    """The failure to report for any exception; what nobody foresaw is logged here."""
    if isinstance(error, PermanentError):
        http = _http_of(error)
        return Failure(http, _CAUSE_OF_HTTP[http], str(error)[:MESSAGE_CHARS_MAX])
    if isinstance(error, AgentcostError):
        cause = error.cause if isinstance(error, PutOffError) else Cause.NOT_STORED
        return Failure(503, cause, str(error)[:MESSAGE_CHARS_MAX], retry_delay_s)
    _log.error("request_failed_unexpectedly", exc_info=error)
    message = "The collector failed to handle the request; its log says why. Send it again."
    return Failure(503, Cause.UNEXPECTED, message, retry_delay_s)


def grpc_metadata(failure: Failure) -> tuple[tuple[str, bytes], ...]:
    """Trailing metadata: the whole google.rpc.Status, and RetryInfo where some SDKs look for it."""
    details = (("grpc-status-details-bin", _status(failure).SerializeToString()),)
    if failure.retry_delay_s is None:
        return details
    retry = _retry_info(failure.retry_delay_s).SerializeToString()
    return (*details, ("google.rpc.retryinfo-bin", retry))


def http_body(failure: Failure, as_json: bool) -> bytes:
    """A google.rpc.Status in the encoding of the request."""
    return _encode(_status(failure), as_json)


def http_headers(failure: Failure) -> list[tuple[bytes, bytes]]:
    """Headers beside content type and length: when to come back, or with what."""
    if failure.http == 401:
        return [(b"www-authenticate", b'Bearer realm="agentcost"')]
    if failure.retry_delay_s is None:
        return []
    return [(b"retry-after", b"%d" % math.ceil(failure.retry_delay_s))]


def success_body(outcome: Outcome, as_json: bool = False) -> bytes:
    """ExportTraceServiceResponse: partial_success is set only where there is something to say.

    Raises RefusedError for a malformed payload.
    """
    if outcome.malformed is not None:
        raise RefusedError(400, outcome.malformed)
    if not outcome.rejected_spans and not outcome.message:
        return b"{}" if as_json else b""
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = outcome.rejected_spans
    response.partial_success.error_message = outcome.message[:MESSAGE_CHARS_MAX]
    return _encode(response, as_json)


def _http_of(error: PermanentError) -> int:
    if isinstance(error, RefusedError):
        return error.http
    if isinstance(error, UnauthenticatedError):
        return 401
    return 403 if isinstance(error, ForbiddenError) else 400


def _status(failure: Failure) -> Status:
    status = Status(code=failure.grpc_code.value[0], message=failure.message)
    if failure.http == 400:
        violation = BadRequest.FieldViolation(field="body", description=failure.message)
        status.details.append(_any(BadRequest(field_violations=[violation])))
    if failure.retry_delay_s is not None:
        status.details.append(_any(_retry_info(failure.retry_delay_s)))
    return status


def _retry_info(delay_s: float) -> RetryInfo:
    info = RetryInfo()
    info.retry_delay.FromMilliseconds(round(delay_s * 1000))
    return info


def _any(message: Message) -> Any:
    packed = Any()
    packed.Pack(message)
    return packed


def _encode(message: Message, as_json: bool) -> bytes:
    return MessageToJson(message, indent=None).encode() if as_json else message.SerializeToString()
