"""Span attributes to a MAP column, and resources to JSON text: allow-listed keys only."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa

from agentcost_collector.decode.config import Config
from agentcost_collector.decode.excerpts import excerpts
from agentcost_collector.decode.keep import Keep
from agentcost_collector.decode.values import present, value_text, value_texts
from agentcost_collector.decode.wire import Resource, parse
from agentcost_collector.model.access import PINNED_PREFIX

_PINNED = PINNED_PREFIX.encode()
PRESENT = "present"
"""What is kept in place of a value that is not."""
_PRESENT = pa.scalar(PRESENT, pa.string())


def attribute_maps(
    attributes: pa.ListArray, keep: Keep, config: Config
) -> tuple[pa.MapArray, np.ndarray]:
    """The kept attributes of each span, sorted by key; of a repeated key the last value. And how
    many of each span are left out although they are on the allow-list: too large, nested too
    deep, or malformed inside.

    An attribute without a value is absent, and not counted.
    Cost: O(attributes) to compare keys, O(kept attributes) for everything else.
    """
    pairs = attributes.values
    keys = pairs.field("key").dictionary_encode()
    wanted = keep.span_keys(keys.dictionary)
    code_of_row = keys.indices.to_numpy()
    rows = np.flatnonzero(wanted[code_of_row] & present(pairs.field("value")))
    texts = value_texts(pairs.field("value"), rows, config)
    bare = keep.bare_keys(keys.dictionary)[code_of_row[rows]]
    unread = rows[~texts.known() & ~bare]
    texts.replace(bare, pa.repeat(_PRESENT, int(bare.sum())))
    for mask, excerpt in keep.excerpts(keys.dictionary):
        part = mask[code_of_row[rows]]
        if part.any():
            texts.replace(part, excerpts(texts.of(np.flatnonzero(part)), excerpt))
    known = np.flatnonzero(texts.known())
    rows = rows[known]

    names, rank_of_code = _ranked(keys.dictionary, wanted)
    rank = rank_of_code[code_of_row[rows]]
    span_of_pair = np.repeat(np.arange(len(attributes)), np.diff(attributes.offsets.to_numpy()))
    order = _last_of_each(span_of_pair[rows] * len(names) + rank)
    per_span = np.bincount(span_of_pair[rows[order]], minlength=len(attributes))
    offsets = np.concatenate(([0], np.cumsum(per_span))).astype(np.int32)
    maps = pa.MapArray.from_arrays(
        pa.array(offsets), names.take(pa.array(rank[order])), texts.of(known[order])
    )
    return maps, np.bincount(span_of_pair[unread], minlength=len(attributes))


def resource_text(raw: bytes, keep: Keep, config: Config) -> str:
    """JSON object of the kept attributes of one Resource message, keys sorted, values as text.
    What only a credential may say is dropped.

    Raises ValueError where `raw` is not a Resource.
    """
    resource: Any = parse(Resource, raw)
    texts: dict[str, str] = {}
    for pair in resource.attributes:
        if keep.resource_key(pair.key) and not pair.key.startswith(_PINNED):
            text = value_text(pair.value, config)
            if text is not None and keep.users and keep.users.covers(pair.key):
                text = keep.users.text(text)
            if text is not None:
                texts[pair.key.decode()] = text
    return json.dumps(texts, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _ranked(distinct: pa.BinaryArray, wanted: np.ndarray) -> tuple[pa.StringArray, np.ndarray]:
    """The wanted keys in sorted order, and for each distinct key its place among them."""
    codes = np.flatnonzero(wanted)
    names = distinct.take(pa.array(codes)).to_pylist()
    order = sorted(range(len(names)), key=names.__getitem__)
    rank_of_code = np.zeros(len(distinct), dtype=np.int64)
    rank_of_code[codes[order]] = np.arange(len(order))
    return pa.array([names[i].decode() for i in order], pa.string()), rank_of_code


def _last_of_each(keys: np.ndarray) -> np.ndarray:
    """Indices that sort `keys`, of equal ones only the last."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    return order[np.append(ordered[1:] != ordered[:-1], True)] if len(order) else order
