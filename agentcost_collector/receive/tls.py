"""TLS of the listeners: certificates from files, read again when these change.

A connection that is made after the files have changed gets the new certificate; those that are
open stay as they are. Files that do not fit together leave the old certificate in place.
"""

from __future__ import annotations

import contextlib
import ssl
import stat
import threading
from dataclasses import dataclass
from typing import Any

import grpc
import structlog

from agentcost_collector.model.errors import ConfigError
from agentcost_collector.receive.tls_config import TlsConfig

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Loaded:
    stamp: tuple[Any, ...]
    cert: bytes
    key: bytes
    client_ca: bytes | None
    context: ssl.SSLContext


class Certificates:
    """The files of a TlsConfig that is on. A look at their stamps for each new connection."""

    def __init__(self, config: TlsConfig) -> None:
        """Raises ConfigError where they cannot be used."""
        assert config.cert_file is not None
        assert config.key_file is not None
        self._cert, self._key, self._client_ca = (
            config.cert_file,
            config.key_file,
            config.client_ca_file,
        )
        self._lock = threading.Lock()
        try:
            self._loaded = self._load()
        except (OSError, ValueError) as fault:
            raise ConfigError(self._unusable(fault)) from fault
        self._tried = self._loaded.stamp
        self._of_grpc = self._loaded
        if stat.S_IMODE(self._key.stat().st_mode) & 0o007:
            _log.warning(
                "private_key_readable_by_others",
                path=str(self._key),
                advice="Make it readable by the service alone: chmod 600.",
            )

    def context(self) -> ssl.SSLContext:
        """For one connection to be accepted now."""
        return self._newest().context

    def listening_context(self) -> ssl.SSLContext:
        """For a listener: each connection gets the newest certificate."""
        context = self._context()
        context.sni_callback = self._give_newest
        return context

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """For gRPC: each connection gets the newest certificate."""
        return grpc.dynamic_ssl_server_credentials(
            self._grpc_configuration(self._of_grpc),
            self._newer_for_grpc,
            require_client_authentication=self._client_ca is not None,
        )

    def _give_newest(
        self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext
    ) -> None:
        connection.context = self.context()

    def _newer_for_grpc(self) -> grpc.ServerCertificateConfiguration | None:
        newest = self._newest()
        if newest is self._of_grpc:
            return None
        self._of_grpc = newest
        return self._grpc_configuration(newest)

    def _newest(self) -> _Loaded:
        with self._lock:
            stamp = self._stamp()
            if stamp != self._tried:
                self._tried = stamp
                self._load_again()
            return self._loaded

    def _load_again(self) -> None:
        try:
            self._loaded = self._load()
        except (OSError, ValueError) as fault:
            _log.error(
                "certificate_not_reloaded",
                error=self._unusable(fault),
                advice="The old certificate is still in use.",
            )
        else:
            _log.info("certificate_reloaded", cert_file=str(self._cert))

    def _load(self) -> _Loaded:
        """Raises OSError (ssl.SSLError is one) or ValueError."""
        stamp = self._stamp()
        context = self._context()
        loaded = _Loaded(
            stamp,
            self._cert.read_bytes(),
            self._key.read_bytes(),
            self._client_ca.read_bytes() if self._client_ca else None,
            context,
        )
        if self._stamp() != stamp:
            raise ValueError("they are being changed")
        return loaded

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        # No passphrase: OpenSSL would ask for it on the terminal.
        context.load_cert_chain(self._cert, self._key, password=b"")
        if self._client_ca:
            context.load_verify_locations(self._client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _stamp(self) -> tuple[Any, ...]:
        stamps: list[Any] = []
        for path in (self._cert, self._key, self._client_ca):
            status = None
            if path:
                with contextlib.suppress(OSError):
                    status = path.stat()
            stamps.append(status and (status.st_ino, status.st_mtime_ns, status.st_size))
        return tuple(stamps)

    def _unusable(self, fault: Exception) -> str:
        names = ", ".join(str(p) for p in (self._cert, self._key, self._client_ca) if p)
        why = getattr(fault, "reason", None) or getattr(fault, "strerror", None) or fault
        return (
            f"{names}: cannot be used for TLS: {why}; give a certificate and its key as PEM files"
        )

    @staticmethod
    def _grpc_configuration(loaded: _Loaded) -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration(
            [(loaded.key, loaded.cert)], loaded.client_ca
        )


def certificates(config: TlsConfig) -> Certificates | None:
    """The certificates; None where TLS is off. Raises ConfigError."""
    return Certificates(config) if config.is_on else None
