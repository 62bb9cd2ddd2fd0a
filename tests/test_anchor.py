"""Heads of the seals, put away in a real file, a real command and over real HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from agentcost_collector.anchor import Anchoring, heads
from agentcost_collector.anchor_config import Config
from tests.cli.command import agentcost, refusal
from tests.verify.sealed import BATCHES, NAME, fill

HOUR_NS = 3600 * 10**9


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("anchor") / "data"
    fill(data / "ledger")
    return data


@contextmanager
def listener(status: int) -> Iterator[tuple[str, list[bytes]]]:
    """An HTTP server that answers with `status`, and what was posted to it."""
    posted: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/heads", posted
        finally:
            server.shutdown()
            thread.join()


def test_all_places_get_the_head(data: Path, tmp_path: Path) -> None:
    """File, command and address get the same line: the last seal, all entries, all cost; and
    `verify` takes it."""
    chain = data / "ledger" / "seals" / f"{NAME}.jsonl"
    last = json.loads(chain.read_text().splitlines()[-1])
    file, by_command = tmp_path / "heads", tmp_path / "by command"
    with listener(200) as (address, posted):
        places = ("--file", file, "--command", f"cat > '{by_command}'", "--http", address)
        done = agentcost("anchor", *places, "--data", data)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [file.read_bytes(), by_command.read_bytes()] == posted * 2
    head = json.loads(posted[0])
    assert head["seal"] == last["seal"]
    assert (head["journal"], head["batch_seq"], head["rows"]) == (NAME, BATCHES, BATCHES * 12)
    assert agentcost("verify", "--anchor", file, "--data", data).returncode == 0
    file.write_text(json.dumps({**head, "seal": "0" * 64}))
    done = agentcost("verify", "--anchor", file, "--data", data)
    assert (done.returncode, NAME in done.stderr) == (1, True)


def test_a_place_that_refuses_is_named(data: Path, tmp_path: Path) -> None:
    """One sentence with the place; exit code 1 where the world refused."""
    with listener(503) as (address, _):
        for flag, place in (("--http", address), ("--command", "exit 3"), ("--file", tmp_path)):
            done = agentcost("anchor", flag, place, "--data", data)
            assert (done.returncode, str(place) in done.stderr) == (1, True)
    assert "http://" in refusal("anchor", "--http", "ftp://x", "--data", data)


def test_the_service_anchors_once_an_interval(data: Path, tmp_path: Path) -> None:
    """At the start and then each interval, whatever went wrong in between."""
    file = tmp_path / "heads"
    anchoring = Anchoring(data / "ledger", Config(file=file, every_h=2))
    for hours in (0, 1, 2, 3, 4):
        anchoring.step(0, (10 + hours) * HOUR_NS)
    assert len(file.read_text().splitlines()) == 3
    refused = Anchoring(data / "ledger", Config(command="exit 1"))
    refused.step(0, HOUR_NS)


def test_a_chain_that_a_crash_left_empty_has_no_head(data: Path) -> None:
    """The other chains are put away all the same."""
    empty = data / "ledger" / "seals" / "00000000000e.jsonl"
    empty.write_bytes(b"")
    names = [json.loads(line)["journal"] for line in heads(data / "ledger", 0).splitlines()]
    empty.unlink()
    assert names == [NAME]
