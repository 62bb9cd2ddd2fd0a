"""What senders' credentials pin, written into the resources of their spans."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from agentcost_collector.model.access import PINNED_PREFIX, PINNED_TAGS, UNBOUND, Binding


def pinned(
    resources: pa.StringArray, requests: np.ndarray, bindings: Sequence[Binding]
) -> pa.StringArray:
    """Resource texts with what the binding of their request pins.

    `requests`: for each resource the number of its request, `bindings`: per request. A Python
    step per distinct pair of resource and binding; none where nothing is bound.
    """
    distinct = list(dict.fromkeys(bindings))
    if distinct in ([], [UNBOUND]):
        return resources
    code = {binding: number for number, binding in enumerate(distinct)}
    of_request = np.array([code[binding] for binding in bindings], dtype=np.int64)
    texts = resources.dictionary_encode()
    pairs, back = np.unique(
        texts.indices.to_numpy() * len(distinct) + of_request[requests], return_inverse=True
    )
    known = texts.dictionary.to_pylist()
    written = [
        _with(known[p // len(distinct)], distinct[p % len(distinct)]) for p in pairs.tolist()
    ]
    return pa.array(written, pa.string()).take(pa.array(back))


def _with(resource: str, binding: Binding) -> str:
    values = {tag: getattr(binding, tag) for tag in PINNED_TAGS}
    pins = {f"{PINNED_PREFIX}{tag}": value for tag, value in values.items() if value is not None}
    return json.dumps(
        {**json.loads(resource), **pins},
        ensure_ascii=False,
        separators=(",", ":"),
        sort_keys=True,
    )
