"""Certificates for tests, made by openssl when they are needed, good for two days."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
_DAYS = ("-days", "2")


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, PEM files."""

    cert: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """Signs certificates for 127.0.0.1."""

    folder: Path
    name: str

    @property
    def cert(self) -> Path:
        """Its own certificate, which clients trust."""
        return self.folder / f"{self.name}.pem"

    def issue(self, name: str) -> Pair:
        """A certificate, for a listener or a client."""
        pair = Pair(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        request, names = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        names.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
        _openssl("req", *_KEY, "-keyout", pair.key, "-out", request, "-subj", f"/CN={name}")
        signer = ("-CA", self.cert, "-CAkey", self.cert.with_suffix(".key"), "-CAcreateserial")
        _openssl(
            "x509", "-req", "-in", request, *signer, *_DAYS, "-extfile", names, "-out", pair.cert
        )
        return pair


def authority(folder: Path, name: str = "authority") -> Authority:
    """A fresh authority that keeps its files in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Authority(folder, name)
    key = made.cert.with_suffix(".key")
    _openssl(
        "req", "-x509", *_KEY, "-keyout", key, "-out", made.cert, *_DAYS, "-subj", f"/CN={name}"
    )
    return made


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)
