"""User ids as keyed hashes: the same user has the same one, and nobody without the key can tell
whom it stands for."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

_HEX_DIGITS = 32
_BAGGAGE = b"baggage."


class Pseudonyms:
    """What stands in place of the values of some attributes: `h:` and the first 32 hex digits of
    HMAC-SHA-256 under a secret key, of the text as it would have been kept."""

    def __init__(self, keys: Iterable[str], secret: bytes) -> None:
        self._keys = frozenset(key.encode() for key in keys)
        self._secret = secret

    def covers(self, key: bytes) -> bool:
        """Whether values of this attribute are hidden; as well where it was copied from baggage."""
        return key.removeprefix(_BAGGAGE) in self._keys

    def key_mask(self, distinct: pa.BinaryArray) -> np.ndarray:
        """Mask of the keys that are covered."""
        return np.fromiter((self.covers(key) for key in distinct.to_pylist()), bool, len(distinct))

    def text(self, plain: str) -> str:
        """What stands for one text."""
        digest = hmac.digest(self._secret, plain.encode(), "sha256")
        return f"h:{digest.hex()[:_HEX_DIGITS]}"
