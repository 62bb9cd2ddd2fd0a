"""Span attributes to a MAP column, and resources to JSON text: allow-listed keys only."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.decode.config import Config
from agentcost_collector.decode.keep import Keep
from agentcost_collector.decode.values import present, value_text, value_texts
from agentcost_collector.decode.wire import Resource, parse
from agentcost_collector.model.access import PINNED_PREFIX

_HOST = r"^[a-zA-Z][a-zA-Z0-9+.-]*://(?:[^/?#@]*@)?(?P<host>[a-zA-Z0-9._-]+)"
_PINNED = PINNED_PREFIX.encode()
PRESENT = "present"
"""What is kept in place of a value that is not."""


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
    unread = rows[_mask(texts.is_null()) & ~bare] if texts.null_count else rows[:0]
    if bare.any():
        texts = pc.if_else(pa.array(bare), pa.scalar(PRESENT, pa.string()), texts)
    urls = keep.url_keys(keys.dictionary)[code_of_row[rows]]
    if urls.any():
        mask = pa.array(urls)
        texts = pc.replace_with_mask(texts, mask, _hosts(texts.filter(mask), keep.url_paths))
    numbers = keep.number_keys(keys.dictionary)[code_of_row[rows]]
    if numbers.any():
        mask = pa.array(numbers)
        names = {name: None for some in keep.numbers.values() for name in some}
        texts = pc.replace_with_mask(texts, mask, _numbers(texts.filter(mask), list(names)))
    if keep.users:
        users = keep.users.key_mask(keys.dictionary)[code_of_row[rows]]
        if users.any():
            mask = pa.array(users)
            texts = pc.replace_with_mask(texts, mask, keep.users.texts(texts.filter(mask)))
    if texts.null_count:
        readable = texts.is_valid()
        rows, texts = rows[_mask(readable)], texts.filter(readable)

    names, rank_of_code = _ranked(keys.dictionary, wanted)
    rank = rank_of_code[code_of_row[rows]]
    span_of_pair = np.repeat(np.arange(len(attributes)), np.diff(attributes.offsets.to_numpy()))
    order = _last_of_each(span_of_pair[rows] * len(names) + rank)
    per_span = np.bincount(span_of_pair[rows[order]], minlength=len(attributes))
    offsets = np.concatenate(([0], np.cumsum(per_span))).astype(np.int32)
    maps = pa.MapArray.from_arrays(
        pa.array(offsets), names.take(pa.array(rank[order])), texts.take(pa.array(order))
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


def _hosts(urls: pa.StringArray, paths: Sequence[str]) -> pa.StringArray:
    """The host of each URL, in lower case, and behind it the one of `paths` that its path ends
    with; NULL where there is no host."""
    hosts = pc.ascii_lower(pc.struct_field(pc.extract_regex(urls, _HOST), "host"))
    known = "|".join(map(re.escape, paths))
    pattern = rf"{_HOST}(?::\d*)?(?:/[^?#]*?)??(?P<path>{known})/?(?:[?#].*)?$"
    path = pc.struct_field(pc.extract_regex(urls, pattern), "path")
    return pc.binary_join_element_wise(hosts, path.fill_null(""), "")


def _numbers(texts: pa.StringArray, names: Sequence[str]) -> pa.StringArray:
    """JSON objects of the integers of these names, wherever they stand in the JSON of each text;
    NULL where there are none. A name within a text of the JSON has its quotes escaped: no match."""
    parts = []
    for name in names:
        pattern = rf'"{re.escape(name)}"\s*:\s*(?P<number>\d{{1,15}})\s*[,}}\]]'
        number = pc.struct_field(pc.extract_regex(texts, pattern), "number")
        parts.append(pc.binary_join_element_wise(f',"{name}":', number, "").fill_null(""))
    joined = pc.binary_join_element_wise(*parts, "")
    found = pc.if_else(pc.equal(joined, ""), pa.scalar(None, pa.string()), joined)
    return pc.binary_join_element_wise("{", pc.utf8_slice_codeunits(found, 1), "}", "")


def _ranked(distinct: pa.BinaryArray, wanted: np.ndarray) -> tuple[pa.StringArray, np.ndarray]:
    """The wanted keys in sorted order, and for each distinct key its place among them."""
    codes = np.flatnonzero(wanted)
    names = distinct.take(pa.array(codes)).to_pylist()
    order = sorted(range(len(names)), key=names.__getitem__)
    rank_of_code = np.zeros(len(distinct), dtype=np.int64)
    rank_of_code[codes[order]] = np.arange(len(order))
    return pa.array([names[i].decode() for i in order], pa.string()), rank_of_code


def _mask(flags: pa.BooleanArray) -> np.ndarray:
    return np.asarray(flags.to_numpy(zero_copy_only=False))


def _last_of_each(keys: np.ndarray) -> np.ndarray:
    """Indices that sort `keys`, of equal ones only the last."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    return order[np.append(ordered[1:] != ordered[:-1], True)] if len(order) else order
