"""Real servers that take what alert doors send: well, by drops, by mail, and an
Alertmanager."""

from __future__ import annotations

import json
import re
import socket
import socketserver
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Inbox:
    """What arrived: (path, authorization, JSON). `status` is what it answers."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str | None, Any]] = []
        self.status = 200
        self.port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextmanager
def inbox() -> Iterator[Inbox]:
    """A server that takes requests until the end."""
    box = Inbox()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            box.got.append((self.path, self.headers["Authorization"], json.loads(body)))
            self.send_response(box.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    box.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield box
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Dripping:
    """A door that answers a header line now and then, until `ended` is set."""

    def __init__(self, server: socket.socket) -> None:
        self.address = f"127.0.0.1:{server.getsockname()[1]}"
        self.connections = 0
        self.ended = threading.Event()
        self._server = server
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def _answer(self) -> None:
        connection, _ = self._server.accept()
        self.connections += 1
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while not self.ended.wait(0.2):
                connection.sendall(b"X-Wait: a little\r\n")
            connection.sendall(b"Content-Length: 0\r\n\r\n")


@contextmanager
def dripping() -> Iterator[Dripping]:
    """For one connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        door = Dripping(server)
        yield door
        door.ended.set()


@contextmanager
def alertmanager(folder: Path) -> Iterator[str]:
    """A real Alertmanager that notifies nobody; its address."""
    config = folder / "alertmanager.yml"
    config.write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    command = ["prometheus-alertmanager", f"--config.file={config}"]
    command += [f"--storage.path={folder / 'alertmanager'}", "--cluster.listen-address="]
    process = subprocess.Popen(
        [*command, "--web.listen-address=127.0.0.1:0"], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    try:
        said = ""
        while not (found := re.search(r"Listening on.* address=(127\.0\.0\.1:\d+)", said)):
            said = process.stderr.readline()
            assert said, "the Alertmanager has ended"
        yield found[1]
    finally:
        process.kill()
        process.communicate()


def alerts_at(address: str) -> list[Any]:
    """What an Alertmanager says is active."""
    with urllib.request.urlopen(f"http://{address}/api/v2/alerts?active=true", timeout=30) as got:
        found: list[Any] = json.loads(got.read())
    return found


@contextmanager
def post_office() -> Iterator[tuple[int, list[str]]]:
    """A mail server that takes every message: its port, and what arrived."""
    letters: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            while line := self.rfile.readline():
                word = line[:4].upper()
                if word == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    letters.append("".join(x.decode() for x in iter(self.rfile.readline, b".\r\n")))
                self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.server_address[1], letters
        server.shutdown()
        thread.join()
