"""Trace and span ids: lower-case hex text everywhere inside, raw bytes only on the wire."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

TRACE_ID_BYTES = 16
SPAN_ID_BYTES = 8

_HEX = np.frombuffer(b"".join(b"%02x" % i for i in range(256)), dtype=np.uint16)


def hex_ids(raw: pa.BinaryArray, width: int) -> tuple[pa.StringArray, np.ndarray]:
    """Hex text of ids of `width` bytes, and a mask of the valid ones.

    Invalid (any other length, or all zero) become NULL. Cost: about 20 ns a row.
    """
    lengths = pa.compute.binary_length(raw).fill_null(0).to_numpy(zero_copy_only=False)
    fits = lengths == width
    if fits.all():
        whole = raw
    else:
        whole = pa.compute.if_else(pa.array(fits), raw, pa.scalar(b"\0" * width, raw.type))
    offsets = np.frombuffer(whole.buffers()[1], dtype=np.int32)[whole.offset :][: len(whole) + 1]
    data = np.frombuffer(whole.buffers()[2] or b"", dtype=np.uint8)[
        offsets[0] if len(offsets) else 0 :
    ][: len(whole) * width]
    valid = fits & data.reshape(-1, width).any(axis=1) if len(whole) else fits
    text = pa.py_buffer(_HEX[data].tobytes())
    ends = pa.py_buffer(np.arange(0, (len(whole) + 1) * width * 2, width * 2, dtype=np.int32))
    hexed = pa.StringArray.from_buffers(len(whole), ends, text)
    if not valid.all():
        hexed = pa.compute.if_else(pa.array(valid), hexed, pa.scalar(None, pa.string()))
    return hexed, valid
