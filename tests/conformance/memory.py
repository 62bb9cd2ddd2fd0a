"""How much memory a real receiver takes for large requests that come all at once, and for bombs.

`make bench-memory` runs it with 64 MiB: python -m tests.conformance.memory MIB
"""

from __future__ import annotations

import gzip
import http.client
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from tests.conformance.server import JSON, PROTOBUF, WAIT_S, call
from tests.conformance.test_payload import field
from tests.support.amplify import amplify
from tests.support.collector import Collector, running
from tests.support.recordings import MEASURED

MIB = 2**20
AT_ONCE = 32
SHARE = 10
"""The limit of all requests together, in requests of the largest size: as by default."""


def taken(mib: int, folder: Path) -> tuple[float, Counter[str | int]]:
    """MiB that the receiver takes beyond what it takes idle, at the worst moment, and the answers.

    32 clients send `mib` MiB of recorded spans at once; then each bomb comes. The limits are `mib`
    for one request and ten times that for all.
    """
    body = _spans(mib * MIB)
    answers: Counter[str | int] = Counter()
    limits = {
        "receive__request_bytes_max": str(mib * MIB),
        "receive__bytes_in_flight_max": str(SHARE * mib * MIB),
    }
    with running(folder / "data", **limits) as collector:
        receiver = _receiver(collector)
        _send(collector, field(2, b""), "grpc")
        idle = _mib(receiver, "VmRSS")
        with ThreadPoolExecutor(AT_ONCE) as pool:
            sent = [pool.submit(_send, collector, body, "grpc") for _ in range(AT_ONCE)]
            answers.update(each.result() for each in sent)
        for way, bomb in _bombs(mib * MIB):
            answers[_send(collector, bomb(), way)] += 1
        return _mib(receiver, "VmHWM") - idle, answers


def _spans(size: int) -> bytes:
    """Recorded spans, and as much of a field that nobody reads as is left of `size`."""
    body = b"".join(amplify(MEASURED, size // 1500))
    left = size - len(body) - 10
    return body + field(9, bytes(left))


def _bombs(size: int) -> list[tuple[str, Callable[[], bytes]]]:
    return [
        ("grpc_gzip", lambda: bytes(4 * size)),
        ("grpc_deflate", lambda: bytes(4 * size)),
        ("grpc", lambda: field(1, field(2, b"\x12\x00" * 4_000_000))),
        ("http_protobuf_gzip", lambda: gzip.compress(bytes(4 * size), 1)),
        ("http_json_gzip", lambda: gzip.compress(b"[" + b"{}," * (4 * size // 3), 1)),
        ("http_json", lambda: b'{"a":[' + b'{"a":1},' * (size // 9) + b"1]}"),
        ("http_json", lambda: b'{"a":[' + b'"abc",' * (size // 7) + b"1]}"),
    ]


def _send(collector: Collector, body: bytes, way: str) -> str | int:
    if way.startswith("grpc"):
        options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(collector.grpc, options) as channel:
            return call(channel, body, way).code
    connection = http.client.HTTPConnection(collector.http, timeout=WAIT_S)
    headers = {"Content-Type": JSON if "json" in way else PROTOBUF}
    if way.endswith("gzip"):
        headers["Content-Encoding"] = "gzip"
    connection.request("POST", "/v1/traces", body, headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status


def _receiver(collector: Collector) -> int:
    """The process that receives, of those that the collector has started."""
    pid = collector.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    (found,) = [p for p in children if b"_receiver" in Path(f"/proc/{p}/cmdline").read_bytes()]
    return int(found)


def _mib(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise KeyError(name)


def main(mib: int) -> None:
    """Prints the figure beside its limit."""
    with tempfile.TemporaryDirectory() as folder:
        more, answers = taken(mib, Path(folder))
    limit = SHARE * mib + 64
    told = ", ".join(f"{code}: {count}" for code, count in answers.most_common())
    sys.stdout.write(
        f"{AT_ONCE} requests of {mib} MiB at once, and bombs: {more:.0f} MiB taken, "
        f"at most {limit}; {told}\n"
    )
    sys.exit(more > limit)


if __name__ == "__main__":
    main(int(sys.argv[1]))
