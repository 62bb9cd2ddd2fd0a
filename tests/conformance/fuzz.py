"""Sends mutated requests to a real receiver and judges every answer.

`make fuzz-night` runs it with 200,000 cases: python -m tests.conformance.fuzz CASES SEED
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

from tests.conformance.mutate import mutated, squeezed
from tests.conformance.server import JSON, PROTOBUF, WAIT_S, Answer, Server, call, read_http
from tests.decode.test_otlp_json import as_otlp_json
from tests.support.recordings import names, requests_of

WAYS = ("grpc", "grpc_gzip", "http_protobuf", "http_json", "http_protobuf_gzip", "http_json_gzip")
REFUSED = ("INVALID_ARGUMENT", 400, 413)
ROUND = 6
"""Bad requests that are sent at once with a good one, so that they share its group."""

Case = tuple[str, bytes]


class Fuzzer:
    """Cases by number: the same seed makes the same cases."""

    def __init__(self, server: Server, seed: int) -> None:
        self._server = server
        self._seed = seed
        self._protobuf = [body for name in names() for body in requests_of(name)[:3]]
        self._protobuf = [body for body in self._protobuf if len(body) < 30_000]
        self._json = [as_otlp_json(body) for body in self._protobuf[::3]]
        self.answers: Counter[str | int] = Counter()

    def cases(self, number: int) -> list[Case]:
        """The bad requests of one round: transport and bytes."""
        source = random.Random(f"{self._seed} {number}")
        ways = [source.choice(WAYS) for _ in range(ROUND)]
        made = []
        for way in ways:
            body = mutated(source, self._json if "json" in way else self._protobuf)
            squeeze = way.startswith("http") and way.endswith("gzip")
            made.append((way, squeezed(source, body) if squeeze else body))
        return made

    def round(self, number: int) -> None:
        """Sends one round with a good request in its midst. Raises AssertionError that says how to
        replay it."""
        cases, good, before = self.cases(number), self._server.span(), self._server.head()
        with ThreadPoolExecutor(ROUND + 1) as pool:
            answers = [pool.submit(self._send, *case) for case in cases]
            kept = pool.submit(self._server.send_spans, "grpc", good)
        replay = f"replay with python -m tests.conformance.fuzz 1 {self._seed} {number}"
        for (way, body), answer in zip(cases, answers, strict=True):
            code = answer.result().code
            self.answers[code] += 1
            told = f"{way} answered {code} to {body[:100]!r}; {replay}"
            assert answer.result().ok or code in REFUSED, told
        assert kept.result().ok, replay
        assert len(self._server.rows(good, after=before)) == 1, replay

    def _send(self, way: str, body: bytes) -> Answer:
        if way.startswith("grpc"):
            return call(self._server.channel, body, way)
        headers = {"Content-Type": JSON if "json" in way else PROTOBUF}
        if way.endswith("gzip"):
            headers["Content-Encoding"] = "gzip"
        connection = HTTPConnection(self._server.addresses.http, timeout=WAIT_S)
        try:
            connection.request("POST", "/v1/traces", body, headers)
            response = connection.getresponse()
            return read_http(response.status, response.read(), dict(response.getheaders()))
        finally:
            connection.close()


def main(cases: int, seed: int, first: int = 0) -> None:
    """Runs `cases` cases from round `first` on, and prints how they were answered."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "data")
        try:
            fuzzer = Fuzzer(server, seed)
            for number in range(first, first - (-cases // ROUND)):
                fuzzer.round(number)
        finally:
            server.close()
    took = time.monotonic() - started
    told = ", ".join(f"{code}: {count}" for code, count in fuzzer.answers.most_common())
    sys.stdout.write(f"seed {seed}: {sum(fuzzer.answers.values())} cases in {took:.0f} s; {told}\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
