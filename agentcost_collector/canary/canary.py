"""A trace of known price that the service sends itself, through its own OTLP/HTTP door.

It goes the whole way that a sender's trace goes. How long it takes until it is booked, and whether
its amount is the known one, to the last decimal, is what Prometheus is told.
"""

from __future__ import annotations

import http.client
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import structlog
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agentcost_collector.canary.config import Config
from agentcost_collector.model.errors import ConfigError
from agentcost_collector.receive.address import Address, parse
from agentcost_collector.receive.tls_config import TlsConfig

log = structlog.get_logger(__name__)

NAME = "agentcost-canary"
"""Feature, service and provider of a canary."""

COST_USD = Decimal("0.000000001402")
"""1,234 tokens in and 56 out at the prices of rate_cards/agentcost-canary.yaml."""

_ANSWER_S = 5
_WAITING_MAX = 100
_DURATION_NS = 10**9
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_TEXT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": NAME,
    "gen_ai.request.model": "canary",
    "gen_ai.response.model": "canary",
    "agentcost.feature": NAME,
}
_NUMBERS = {"gen_ai.usage.input_tokens": 1234, "gen_ai.usage.output_tokens": 56}


class Canary(Collector):
    """Sends when it is time, and waits for what is booked. Never stops what it runs beside."""

    def __init__(
        self,
        config: Config,
        address: str,
        tls: TlsConfig,
        steady_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`address`: where OTLP/HTTP listens. ConfigError where that is any free port."""
        self._config = config
        self._address = parse(address)
        if not self._address.port and config.every_s:
            raise ConfigError("canary.every_s needs a port in receive.http, which has 0: any port.")
        self._tls = tls
        self._steady_ns = steady_ns
        self._due_ns = 0
        self._lock = threading.Lock()
        self._waiting: dict[str, int] = {}
        self._failures = 0
        self._took_ns: int | None = None
        self._exact = True

    def step(self, now_ns: int) -> None:
        """Sends one where it is due. What goes wrong is logged and counted."""
        sent_ns = self._steady_ns()
        if not self._config.every_s or sent_ns < self._due_ns:
            return
        self._due_ns = sent_ns + int(self._config.every_s * 10**9)
        trace_id = os.urandom(16)
        try:
            self._send(trace_of(trace_id, now_ns))
        except (OSError, http.client.HTTPException) as error:
            log.error("canary_failed", address=str(self._address), error=str(error))
            with self._lock:
                self._failures += 1
            return
        with self._lock:
            self._waiting[trace_id.hex()] = sent_ns
            if len(self._waiting) > _WAITING_MAX:
                del self._waiting[next(iter(self._waiting))]

    def booked(self, entries: pa.Table) -> None:
        """ENTRIES that a commit has made durable."""
        if not self._waiting:
            return
        ours = pa.array(list(self._waiting), entries.schema.field("trace_id").type)
        rows = entries.filter(pc.is_in(entries["trace_id"], value_set=ours))
        for trace_id, cost in zip(
            rows["trace_id"].to_pylist(), rows["cost_usd"].to_pylist(), strict=True
        ):
            with self._lock:
                sent_ns = self._waiting.pop(trace_id, None)
                if sent_ns is not None:
                    self._took_ns = self._steady_ns() - sent_ns
                self._exact = sent_ns is not None and cost == COST_USD
            if not self._exact:
                said = "nothing" if cost is None else format(cost, "f")
                log.error("canary_inexact", cost_usd=said, expected_usd=format(COST_USD, "f"))

    def collect(self) -> Iterator[Metric]:
        """Nothing where no canary is sent."""
        if not self._config.every_s:
            return
        with self._lock:
            oldest_ns = next(iter(self._waiting.values()), None)
            waited_ns = 0 if oldest_ns is None else self._steady_ns() - oldest_ns
            yield CounterMetricFamily(
                "agentcost_canary_failures", "Canaries not taken in.", value=self._failures
            )
            yield GaugeMetricFamily(
                "agentcost_canary_waiting_seconds",
                "Age of the oldest canary that is not booked.",
                value=waited_ns / 10**9,
            )
            if self._took_ns is not None:
                yield GaugeMetricFamily(
                    "agentcost_canary_seconds",
                    "Time from sending the last canary to its commit.",
                    value=self._took_ns / 10**9,
                )
                yield GaugeMetricFamily(
                    "agentcost_canary_exact",
                    "1 where the last canary was booked once and with its known amount.",
                    value=self._exact,
                )

    def _send(self, body: bytes) -> None:
        """Raises OSError or HTTPException where it is not taken in."""
        headers = {"Content-Type": "application/x-protobuf"}
        if self._config.token_file:
            token = self._config.token_file.read_text(encoding="ascii", errors="replace").strip()
            headers["Authorization"] = f"Bearer {token}"
        connection = self._connection()
        try:
            connection.request("POST", "/v1/traces", body, headers)
            answer = connection.getresponse()
            if answer.status != 200 or answer.read():  # a success has nothing to say
                raise OSError(f"answered with {answer.status}")
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        to = Address(_ANY.get(self._address.host, self._address.host), self._address.port)
        if not self._tls.is_on:
            return http.client.HTTPConnection(to.host, to.port, timeout=_ANSWER_S)
        assert self._tls.cert_file
        context = ssl.create_default_context(cafile=self._tls.cert_file)
        # Our own certificate is what is expected, whatever name it has and whoever signed it.
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if self._tls.client_ca_file:
            context.load_cert_chain(self._tls.cert_file, self._tls.key_file, password=b"")
        return http.client.HTTPSConnection(to.host, to.port, timeout=_ANSWER_S, context=context)


def trace_of(trace_id: bytes, now_ns: int) -> bytes:
    """An ExportTraceServiceRequest with one model call that ended at `now_ns`."""
    request = ExportTraceServiceRequest()
    source = request.resource_spans.add()
    source.resource.attributes.append(_text("service.name", NAME))
    scope = source.scope_spans.add()
    scope.scope.name = NAME
    numbers = (KeyValue(key=k, value=AnyValue(int_value=n)) for k, n in _NUMBERS.items())
    scope.spans.add(
        trace_id=trace_id,
        span_id=trace_id[:8],
        name="chat canary",
        kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=now_ns - _DURATION_NS,
        end_time_unix_nano=now_ns,
        attributes=[*(_text(key, value) for key, value in _TEXT.items()), *numbers],
    )
    return request.SerializeToString()


def _text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))
