"""Recorded files are found and read exactly as they were written, or refused by name and place."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest
import zstandard

from agentcost_collector.model.errors import ConfigError, PermanentError
from agentcost_collector.recordings import find_recordings, read_requests

FIXTURES = Path(__file__).parent / "fixtures"
ONE = b"\x0a\x05\x0a\x03abc"
TWO = b"\x0a\x01x"


def _frames(*bodies: bytes) -> bytes:
    return b"".join(len(b).to_bytes(4, "big") + b for b in bodies)


def _as_given(text: bytes) -> bytes:
    """Stands for the JSON decoder: refuses what is not JSON, else tags the text."""
    try:
        return b"pb:" + json.dumps(json.loads(text)).encode()
    except ValueError as error:
        raise PermanentError(f"not JSON: {error}") from error


def _read(path: Path) -> list[bytes]:
    return list(read_requests(path, _as_given))


def _request(name: str) -> dict[str, list[dict[str, str]]]:
    return {"resourceSpans": [{"schemaUrl": name}]}


def _tagged(name: str) -> bytes:
    return b"pb:" + json.dumps(_request(name)).encode()


PACKERS = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}


@pytest.mark.parametrize("packed", PACKERS)
@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.otlp.bin", _frames(ONE, b"", TWO), [ONE, b"", TWO]),
        ("a.otlp.bin", b"", []),
        ("a.bin", _frames(ONE, TWO), [ONE, TWO]),
        ("a.bin", ONE, [ONE]),
        ("a.pb", ONE, [ONE]),
        ("a.pb", json.dumps(_request("x")).encode(), [_tagged("x")]),
        ("noname", _frames(TWO), [TWO]),
        ("a.json", json.dumps(_request("x")).encode(), [_tagged("x")]),
        ("a.json", json.dumps(_request("x"), indent=2).encode(), [_tagged("x")]),
        ("a.json", b"\xef\xbb\xbf" + json.dumps(_request("x")).encode(), [_tagged("x")]),
        (
            "a.jsonl",
            b"\n" + b"\r\n".join(json.dumps(_request(n)).encode() for n in "xyz") + b"\n\n",
            [_tagged(n) for n in "xyz"],
        ),
        (
            "a.JSON",
            b'{"resourceLogs":[]}\n' + json.dumps(_request("x")).encode(),
            [_tagged("x")],
        ),
    ],
)
def test_every_form_is_read_back(
    tmp_path: Path, packed: str, name: str, content: bytes, expected: list[bytes]
) -> None:
    """Each form, plain and packed, gives the very requests that were put in."""
    path = tmp_path / (name + packed)
    path.write_bytes(PACKERS[packed](content))
    assert _read(path) == expected


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.otlp.bin", _frames(ONE) + b"\x00\x00", "no frame starts at byte 11"),
        ("a.otlp.bin", _frames(ONE, TWO)[:-1], "frame at byte 11 should hold 3 bytes, only 2"),
        ("a.otlp.bin", b"These are words", "no frame starts at byte 0"),
        ("a.otlp.bin.gz", gzip.compress(_frames(ONE) * 99, mtime=0)[:-9], "cannot be read"),
        ("a.otlp.bin.gz", b"no gzip", "cannot be read"),
        ("a.otlp.bin.zst", b"no zstd", "cannot be read"),
        ("a.pb.zst", zstandard.compress(ONE)[:-1], "cannot be read"),
        ("a.json", b'{"resourceSpans": [', "not JSON"),
        ("a.jsonl", b'{"resourceSpans": []}\n{"resourceSpans": [', "line 2: not JSON"),
        ("a.json", b'{"billed": 3}', "no resourceSpans"),
    ],
)
def test_damage_is_named(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    """A file that cannot be read to its end is refused with its name and the place."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(PermanentError, match=says) as refusal:
        _read(path)
    assert str(path) in str(refusal.value)


def test_folders_and_globs(tmp_path: Path) -> None:
    """A folder gives the recorded files at any depth, a glob what it matches, each once, sorted."""
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    recorded = ["b.otlp.bin", "deep/a.pb.gz", "deep/er/c.jsonl", "deep/er/d.json.zst"]
    export = b'{ "resourceSpans": []}'
    for name in [*recorded, ".hidden/x.pb", "notes.txt"]:
        (tmp_path / name).write_bytes(zstandard.compress(export) if "zst" in name else export)
    (tmp_path / "truth.json").write_text('{"billed": [{"resourceSpans": 1}]}')
    (tmp_path / "listing.json").write_text('[{"seq": 1, "request": {"resourceSpans": []}}]')
    expected = sorted(tmp_path / name for name in recorded)
    assert find_recordings([str(tmp_path)]) == expected
    assert find_recordings([str(tmp_path), str(tmp_path / "*.otlp.bin")]) == expected
    assert find_recordings([f"{tmp_path}/**/*.jsonl"]) == [tmp_path / "deep/er/c.jsonl"]
    assert find_recordings([f"{tmp_path}/truth.json"]) == [tmp_path / "truth.json"]


@pytest.mark.parametrize(
    ("given", "says"),
    [("gone", "gone: no such file"), ("*.nothing", "no such file"), ("empty", "no recorded trace")],
)
def test_nothing_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, says: str
) -> None:
    """A path that names nothing is the user's error, told in one sentence."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=says):
        find_recordings([given])


def test_a_folder_that_cannot_be_looked_into(tmp_path: Path) -> None:
    """It is named: what is in it would be left out without a word."""
    handle = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):  # deeper than a path may be long
        os.mkdir("d" * 250, dir_fd=handle)
        inner = os.open("d" * 250, os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inner
    os.close(handle)
    (tmp_path / "a.pb").write_bytes(ONE)
    with pytest.raises(ConfigError, match="cannot be read: File name too long"):
        find_recordings([str(tmp_path)])


def test_public_recordings_are_all_found() -> None:
    """The folder of recordings gives each recording, none of the truth files beside them."""
    found = find_recordings([str(FIXTURES)])
    assert len(found) == len(list(FIXTURES.glob("*/"))) > 0
    assert all(f.name.endswith(".otlp.bin") for f in found)


def test_a_file_name_with_glob_characters(tmp_path: Path) -> None:
    """An existing file is taken by its name, even where the name could be a glob."""
    path = tmp_path / "a[1]*.pb"
    path.write_bytes(ONE)
    assert find_recordings([str(path)]) == [path]
