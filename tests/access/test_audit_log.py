"""The audit log: whole lines, whoever writes beside, whatever is in them."""

from __future__ import annotations

import json
import stat
import subprocess
import sys

import pytest

from agentcost_collector.access.audit import AuditLog

WRITE = """
import sys
from pathlib import Path
from agentcost_collector.access.audit import AuditLog
log = AuditLog(Path(sys.argv[1]), bytes_max=5000)
for n in range(200):
    log.append({"writer": sys.argv[2], "n": n, "text": "x" * (n % 50)})
"""


def lines_of(folder):
    return [json.loads(s) for p in sorted(folder.iterdir()) for s in p.read_text().splitlines()]


def test_lines_are_whole_escaped_and_private(tmp_path):
    """Line ends, terminal codes and other alphabets of an entry come back as they were, and none
    stands raw in the file; a long text is cut and says so."""
    path = tmp_path / "audit.jsonl"
    nasty = 'a\n{"event": "forged"}\r\x1b[31m\u2028\u202e" \\ \udcff'
    AuditLog(path).append({"what": nasty, "long": ["x" * 100_000]})
    raw = path.read_bytes()
    assert raw.count(b"\n") == 1
    assert all(0x20 <= byte < 0x7F for byte in raw[:-1])
    (line,) = lines_of(tmp_path)
    assert line["what"] == nasty
    assert line["long"][0].endswith("(100000 characters)")
    assert len(raw) < 10_000
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_writers_beside_each_other_lose_no_line(tmp_path):
    """Four processes append to one log that is set aside many times meanwhile: every line is
    there once, and no file grows far beyond its limit."""
    path = tmp_path / "audit.jsonl"
    writers = [subprocess.Popen([sys.executable, "-c", WRITE, str(path), str(n)]) for n in range(4)]
    assert [writer.wait(120) for writer in writers] == [0] * 4
    found = [(line["writer"], line["n"]) for line in lines_of(tmp_path)]
    assert sorted(found) == sorted((str(w), n) for w in range(4) for n in range(200))
    sizes = [p.stat().st_size for p in tmp_path.iterdir()]
    assert len(sizes) > 5
    assert max(sizes) < 5500


def test_a_torn_line_harms_no_other(tmp_path):
    """What was cut by a full disk stays a line of its own."""
    path = tmp_path / "audit.jsonl"
    path.write_text('{"event": "to')
    AuditLog(path).append({"event": "next"})
    torn, line = path.read_text().splitlines()
    assert (torn, json.loads(line)["event"]) == ('{"event": "to', "next")


def test_a_link_is_not_followed(tmp_path):
    """A link in its place would have lines written into another file."""
    (tmp_path / "audit.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        AuditLog(tmp_path / "audit.jsonl").append({"event": "x"})
    assert not (tmp_path / "elsewhere").exists()
