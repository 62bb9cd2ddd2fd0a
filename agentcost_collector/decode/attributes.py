"""Span attributes to a MAP column, and resources to JSON text: allow-listed keys only."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.decode.config import Config
from agentcost_collector.decode.keep import Keep
from agentcost_collector.decode.values import present, value_text, value_texts
from agentcost_collector.decode.wire import Resource, parse

_HOST = r"^[a-zA-Z][a-zA-Z0-9+.-]*://(?:[^/?#@]*@)?(?P<host>[a-zA-Z0-9._-]+)"
PRESENT = "present"
"""What is kept in place of a value that is not."""


def attribute_maps(attributes: pa.ListArray, keep: Keep, config: Config) -> pa.MapArray:
    """The kept attributes of each span, sorted by key; of a repeated key the last value.

    An attribute without a value, or with one that cannot be read, is absent.
    Cost: O(attributes) to compare keys, O(kept attributes) for everything else.
    """
    pairs = attributes.values
    keys = pairs.field("key").dictionary_encode()
    wanted = keep.span_keys(keys.dictionary)
    code_of_row = keys.indices.to_numpy()
    rows = np.flatnonzero(wanted[code_of_row] & present(pairs.field("value")))
    texts = value_texts(pairs.field("value"), rows, config)
    bare = keep.bare_keys(keys.dictionary)[code_of_row[rows]]
    if bare.any():
        texts = pc.if_else(pa.array(bare), pa.scalar(PRESENT, pa.string()), texts)
    urls = keep.url_keys(keys.dictionary)[code_of_row[rows]]
    if urls.any():
        mask = pa.array(urls)
        texts = pc.replace_with_mask(texts, mask, _hosts(texts.filter(mask)))
    numbers = keep.number_keys(keys.dictionary)[code_of_row[rows]]
    if numbers.any():
        mask = pa.array(numbers)
        found = [_numbers(text) for text in texts.filter(mask).to_pylist()]  # about 5 us each
        texts = pc.replace_with_mask(texts, mask, pa.array(found, pa.string()))
    if texts.null_count:
        readable = texts.is_valid()
        rows, texts = rows[readable.to_numpy(zero_copy_only=False)], texts.filter(readable)

    names, rank_of_code = _ranked(keys.dictionary, wanted)
    rank = rank_of_code[code_of_row[rows]]
    span_of_pair = np.repeat(np.arange(len(attributes)), np.diff(attributes.offsets.to_numpy()))
    order = _last_of_each(span_of_pair[rows] * len(names) + rank)
    per_span = np.bincount(span_of_pair[rows[order]], minlength=len(attributes))
    offsets = np.concatenate(([0], np.cumsum(per_span))).astype(np.int32)
    return pa.MapArray.from_arrays(
        pa.array(offsets), names.take(pa.array(rank[order])), texts.take(pa.array(order))
    )


def resource_text(raw: bytes, keep: Keep, config: Config) -> str:
    """JSON object of the kept attributes of one Resource message, keys sorted, values as text.

    Raises ValueError where `raw` is not a Resource.
    """
    resource: Any = parse(Resource, raw)
    texts: dict[str, str] = {}
    for pair in resource.attributes:
        if keep.resource_key(pair.key):
            text = value_text(pair.value, config)
            if text is not None:
                texts[pair.key.decode()] = text
    return json.dumps(texts, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _hosts(urls: pa.StringArray) -> pa.StringArray:
    """The host of each URL, in lower case; NULL where there is none."""
    return pc.ascii_lower(pc.struct_field(pc.extract_regex(urls, _HOST), "host"))


def _numbers(text: str | None) -> str | None:
    """A JSON object without anything but its numbers and the names above them; None where there
    are none, or it is no JSON object."""
    try:
        bare = _bare(json.loads(text or ""))
    except (ValueError, RecursionError):
        return None
    return json.dumps(bare, separators=(",", ":")) if bare else None


def _bare(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        return {}
    counts = {k: v for k, v in data.items() if type(v) in (int, float)}
    inner = {k: _bare(v) for k, v in data.items() if isinstance(v, dict)}
    return counts | {k: v for k, v in inner.items() if v}


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
