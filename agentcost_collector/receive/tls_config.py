"""Settings of TLS."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator


class TlsConfig(BaseModel):
    """Certificate of all listeners, the metrics port included. PEM files; no files: no TLS."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    cert_file: Path | None = None
    """Certificate of the collector, and those between it and the root."""

    key_file: Path | None = None
    """Its private key, without a passphrase. Keep it from others: mode 0600."""

    client_ca_file: Path | None = None
    """Certificates of the authorities that clients' certificates must come from (mutual TLS).
    None: clients need no certificate."""

    @model_validator(mode="after")
    def _together(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together")
        if self.client_ca_file and not self.cert_file:
            raise ValueError("client_ca_file needs cert_file and key_file")
        return self

    @property
    def is_on(self) -> bool:
        """Whether the listeners speak TLS."""
        return self.cert_file is not None
