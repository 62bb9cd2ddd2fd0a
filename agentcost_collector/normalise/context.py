"""What decides the price of a call besides its model, tier and region, and who is invoiced."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.model.tables import codes
from agentcost_collector.normalise.batch import Batch
from agentcost_collector.normalise.plan import OWN_PRICING, coded
from agentcost_collector.normalise.usage import literal

_IN_USAGE = ("speed", "inference_geo")
"""Facts of a response that providers write beside its counts."""
_COLUMNS = ("service_tier", "region")
_CHARACTERS_MAX = 64


def pricing_context(batch: Batch) -> pa.Array:
    """JSON object of the facts of each span, keys sorted; NULL where there are none.

    From attributes `agentcost.pricing.<key>`, else from usage that is written as text. A Python
    step for each such attribute.
    """
    facts: dict[int, dict[str, str]] = {}
    for row, key, value in (*_in_usage_text(batch), *_own(batch)):
        if value:
            facts.setdefault(row, {})[key] = value[:_CHARACTERS_MAX]
    texts: dict[str, int] = {}
    which = np.full(batch.rows, -1, dtype=np.int64)
    for row, known in facts.items():
        text = json.dumps(known, sort_keys=True, ensure_ascii=False)
        which[row] = texts.setdefault(text, len(texts))
    return coded(which, list(texts))


def accounts(batch: Batch) -> pa.DictionaryArray:
    """The account of each span, else of its resource."""
    own = batch.found.text("account")
    resources = codes(batch.spans.column("resource"))
    parsed = [json.loads(text) if text else {} for text in resources.dictionary.to_pylist()]
    names = pa.array([p.get("agentcost.account") for p in parsed], pa.string())
    if names.null_count == len(names):
        return own
    return codes(pc.coalesce(own.cast(pa.string()), names.take(resources.indices)))


def _own(batch: Batch) -> list[tuple[int, str, str]]:
    """(row, key, value) of our own attributes; those with a column of their own are left out."""
    entries = batch.entries
    ours = [
        key.startswith(OWN_PRICING) and key.removeprefix(OWN_PRICING) not in _COLUMNS
        for key in entries.keys
    ]
    if not any(ours):
        return []
    at = np.flatnonzero(np.array(ours)[entries.key_codes])
    values = entries.values.take(pa.array(at)).to_pylist()
    keys = [entries.keys[code].removeprefix(OWN_PRICING) for code in entries.key_codes[at]]
    return list(zip(entries.rows[at].tolist(), keys, values, strict=True))


def _in_usage_text(batch: Batch) -> list[tuple[int, str, str]]:
    rows = batch.found.rows("usage_text")
    if not len(rows):
        return []
    texts = batch.found.values("usage_text", rows)
    telling = pc.match_substring_regex(texts, "|".join(_IN_USAGE)).to_numpy(zero_copy_only=False)
    found = []
    for row, text in zip(rows[telling].tolist(), texts.filter(telling).to_pylist(), strict=True):
        usage: Any = literal(text)
        if isinstance(usage, dict):
            found += [(row, k, usage[k]) for k in _IN_USAGE if isinstance(usage.get(k), str)]
    return found
