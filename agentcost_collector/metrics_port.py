"""A port where Prometheus scrapes and probes ask: behind the same certificate as the other doors.

Metrics ask for a token like them; probes need none.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.registry import Collector

from agentcost_collector.model.access import Gate, Scope
from agentcost_collector.model.errors import ForbiddenError, UnauthenticatedError
from agentcost_collector.receive.address import parse
from agentcost_collector.receive.exposed import warn_if_exposed
from agentcost_collector.receive.tls import Certificates, certificates
from agentcost_collector.receive.tls_config import TlsConfig

_log = structlog.get_logger(__name__)

_CLIENT_WAIT_S = 30

Check = Callable[[], Sequence[str]]
"""What is wrong, in sentences; nothing where all is well."""

App = Callable[[dict[str, Any], Callable[..., Any]], Any]


@contextlib.contextmanager
def served(
    registry: CollectorRegistry,
    address: str,
    tls: TlsConfig,
    gate: Gate,
    setting: str = "metrics",
    checks: Mapping[str, Check] | None = None,
) -> Iterator[None]:
    """Answers scrapes on HOST:PORT at /metrics meanwhile, and probes at the paths of `checks`;
    empty text: nowhere. `setting`: the one that gives the address.

    Where the address is taken that is logged, and the process does its work without. Raises
    ConfigError where the files for TLS cannot be used.
    """
    if not address:
        yield
        return
    at = parse(address)
    app = _probed(checks or {}, _guarded(make_wsgi_app(registry), gate))
    held = certificates(tls)
    try:
        server = make_server(at.host, at.port, app, _server_class(at.host, held), _Handler)
    except OSError as error:
        _log.error(
            "metrics_not_served",
            address=address,
            error=f"{error.strerror or error}; choose another address with the setting `{setting}`,"
            " or leave it empty for none",
        )
        yield
        return
    warn_if_exposed(at, setting, tls, gate)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _probed(checks: Mapping[str, Check], app: App) -> App:
    """`app`, with probes answered before it: 200, or 503 with what is wrong."""

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        check = checks.get(environ.get("PATH_INFO", ""))
        if check is None:
            return app(environ, start)
        faults = check()
        said = {"status": "unavailable", "faults": list(faults)} if faults else {"status": "ok"}
        status = "503 Service Unavailable" if faults else "200 OK"
        start(status, [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
        return [json.dumps(said).encode() + b"\n"]

    return answer


def _guarded(app: App, gate: Gate) -> App:
    """`app` for those who may read."""

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        shown = [environ["HTTP_AUTHORIZATION"]] if "HTTP_AUTHORIZATION" in environ else []
        peer = f"metrics {environ.get('REMOTE_ADDR', '')}"
        headers = [("Content-Type", "text/plain; charset=utf-8")]
        try:
            gate.admit(shown, Scope.READ, peer)
        except UnauthenticatedError as error:
            challenge = ("WWW-Authenticate", 'Bearer realm="agentcost"')
            start("401 Unauthorized", [*headers, challenge])
            return [f"{error}\n".encode()]
        except ForbiddenError as error:
            start("403 Forbidden", headers)
            return [f"{error}\n".encode()]
        return app(environ, start)

    return answer


class _Handler(WSGIRequestHandler):
    timeout = _CLIENT_WAIT_S

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Scrapes are not logged."""


def _server_class(host: str, tls: Certificates | None) -> type[WSGIServer]:
    class Server(ThreadingMixIn, WSGIServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        daemon_threads = True

        def get_request(self) -> tuple[Any, Any]:
            """The handshake is made by the connection's own thread, within its time."""
            connection, peer = super().get_request()
            if tls is None:
                return connection, peer
            wrapped = tls.context().wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
            return wrapped, peer

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Clients that go away, or speak no TLS, are their own business."""
            error = sys.exception()
            if not isinstance(error, OSError):
                _log.error("scrape_failed", exc_info=error)

    return Server


def registry_of(*collectors: Collector) -> CollectorRegistry:
    """What a scrape reads."""
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return registry
