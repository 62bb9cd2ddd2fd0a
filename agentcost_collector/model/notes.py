"""What is known to be missing, assumed or repaired in a step's quantities."""

from __future__ import annotations

from enum import IntFlag

import numpy as np


class Note(IntFlag):
    """Bits kept while walking; the ledger column `usage_note` lists their names."""

    RETENTION_UNKNOWN = 1
    """Cache writes without their retention: counted as short."""
    CACHE_WRITE_MAY_BE_LOST = 2
    """This instrumentation is known to drop cache writes; they are in input_tokens then."""
    UNREADABLE_COUNT = 4
    """A billed count was negative, fractional, not finite or not a number: its column is NULL and
    the step has no price."""
    INCONSISTENT = 8
    """The parts exceed the total; the total was trusted."""
    USAGE_INCOMPLETE = 16
    """The span stands for several calls but reports the last one only."""
    OUTPUT_FROM_TOTAL = 32
    """Output was derived from the total because it left reasoning out."""
    ATTRIBUTES_DROPPED = 64
    """The SDK dropped attributes of this span; quantities may be missing."""
    POSITION_INFERRED = 128
    """The step was placed under the one tool that was open around it."""
    COUNT_IGNORED = 256
    """As UNREADABLE_COUNT, but of a count that nothing is billed by: a total, or reasoning."""


def names(bits: np.ndarray) -> list[str | None]:
    """For each distinct value of `bits`: the lower-case names joined by ",", None for no bits."""
    return [
        ",".join(str(n.name).lower() for n in Note if int(b) & n) or None for b in bits.tolist()
    ]
