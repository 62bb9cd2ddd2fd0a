"""Decodes one request of millions of empty things beside a good one, in a process of its own.

Prints JSON: what was said of the request, spans of the other, MiB by which the process grew.
"""

from __future__ import annotations

import json
import resource
import sys

from agentcost_collector.decode.config import Config
from agentcost_collector.decode.decode import Decoder
from agentcost_collector.decode.keep import Keep
from agentcost_collector.model.payload import Payload
from tests.support.trees import draw

MIB = 2**20
RESOURCE_SPANS, RESOURCE, SCOPE_SPANS, SPAN, ATTRIBUTE, LINK = 0x0A, 0x0A, 0x12, 0x12, 0x4A, 0x6A


def within(*tags: int, body: bytes) -> bytes:
    """Wire bytes: `body` in the fields `tags`, the outermost first."""
    for tag in reversed(tags):
        length = len(body).to_bytes(4, "little")
        bits = int.from_bytes(length, "little")
        body = bytes([tag, *(bits >> 7 * n & 127 | 128 for n in range(4)), bits >> 28]) + body
    return body


def empty(*tags: int, size: int) -> bytes:
    """`size` bytes of the last of `tags`, each empty, in the others."""
    *around, tag = tags
    return within(*around, body=bytes([tag, 0]) * (size // 2))


EMPTY = {
    "resources": (RESOURCE_SPANS,),
    "scopes": (RESOURCE_SPANS, SCOPE_SPANS),
    "spans": (RESOURCE_SPANS, SCOPE_SPANS, SPAN),
    "attributes": (RESOURCE_SPANS, SCOPE_SPANS, SPAN, ATTRIBUTE),
    "links": (RESOURCE_SPANS, SCOPE_SPANS, SPAN, LINK),
    "attributes of a resource": (RESOURCE_SPANS, RESOURCE, 0x0A),
}


def grown_mib() -> int:
    """The most memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main(what: str, mebibytes: int) -> None:
    decoder = Decoder(Keep((), (), (), ()), Config())
    good = draw("one").body()
    decoder.decode([Payload(good, 0)])
    payloads = [Payload(empty(*EMPTY[what], size=mebibytes * MIB), 0), Payload(good, 0)]
    before = grown_mib()
    decoded = decoder.decode(payloads)
    grown = grown_mib() - before
    sys.stdout.write(
        json.dumps([decoded.outcomes[0].malformed, decoded.spans.num_rows, grown]) + "\n"
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
