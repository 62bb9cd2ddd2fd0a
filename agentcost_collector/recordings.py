"""Recorded OTLP trace exports in files: what is found in folders, and the requests inside.

Forms, each also as .gz or .zst:
    frames        .otlp.bin: 4-byte big-endian length, then that many request bytes, repeated
    one request   .pb .binpb .otlp .protobuf .bin: a protobuf ExportTraceServiceRequest
    OTLP JSON     .json: one ExportTraceServiceRequest; .jsonl .ndjson and what the Collector's
                  file exporter writes: one per line
"""

from __future__ import annotations

import glob
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from agentcost_collector.model.errors import ConfigError, PermanentError

JsonToProtobuf = Callable[[bytes], bytes]

_JSON = (".json", ".jsonl", ".ndjson")
_FRAMES = ".otlp.bin"
_PROTOBUF = (".bin", ".pb", ".binpb", ".otlp", ".protobuf")
_PACKED = {".gz": "gzip", ".zst": "zstd"}
_LENGTH_BYTES = 4
_FRAME_BYTES_MAX = 1 << 29
_RESOURCE_SPANS = 0x0A  # first byte of a request: field 1, length-delimited
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_OTHER_SIGNALS = (b'"resourceLogs"', b'"resourceMetrics"', b'"resourceProfiles"')
_EXPORT_BEGINS = re.compile(rb'(\xef\xbb\xbf)?\s*\{\s*"resource(Spans|Logs|Metrics|Profiles)"')
_PEEK_BYTES = 4096


def find_recordings(paths: Sequence[str]) -> list[Path]:
    """The recorded files that `paths` name, sorted, once each: files, folders (recursive), globs.

    In folders, hidden entries and files that do not look recorded are passed over; a file that is
    named itself is always taken. Raises ConfigError where a path names nothing, or a folder cannot
    be looked into.
    """
    found: set[Path] = set()
    for given in paths:
        named = [given] if os.path.exists(given) else sorted(glob.glob(given, recursive=True))
        if not named:
            raise ConfigError(f"{given}: no such file or folder")
        files = [f for path in named for f in _files_of(Path(path))]
        if not files:
            raise ConfigError(
                f"{given}: no recorded trace in it; looked for {_FRAMES}, .pb, .json, .jsonl files"
            )
        found.update(files)
    return sorted(found)


def read_requests(path: Path, json_to_protobuf: JsonToProtobuf) -> Iterator[bytes]:
    """The protobuf bodies of one recorded file, in order, as recorded.

    Bodies are not parsed here, except JSON, which is converted. Raises PermanentError naming the
    file and the byte or line where it cannot be read; what came before has been handed out.
    """
    try:
        with _open(path) as file:
            if _plain_name(path).endswith(_JSON):
                yield from _json_requests(path, file, json_to_protobuf)
            else:
                yield from _binary_requests(path, file, json_to_protobuf)
    except OSError as fault:
        raise PermanentError(f"{path}: cannot be read: {fault.strerror or fault}") from fault


def _files_of(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for folder, folders, files in os.walk(path, onerror=_refuse_folder):
        folders[:] = [f for f in folders if not f.startswith(".")]
        for name in files:
            file = Path(folder, name)
            if not name.startswith(".") and _looks_recorded(file):
                yield file


def _refuse_folder(fault: OSError) -> None:
    """What is in it would be left out without a word."""
    raise ConfigError(f"{fault.filename}: cannot be read: {fault.strerror}") from fault


def _looks_recorded(path: Path) -> bool:
    """By name; JSON, which is used for much else, also by its beginning."""
    name = _plain_name(path)
    if not name.endswith(_JSON):
        return name.endswith(_PROTOBUF)
    try:
        with _open(path) as file:
            return _EXPORT_BEGINS.match(file.read(_PEEK_BYTES)) is not None
    except OSError:
        return True  # reading it will say what is wrong


def _plain_name(path: Path) -> str:
    name = path.name.lower()
    return name[: -len(path.suffix)] if path.suffix.lower() in _PACKED else name


def _open(path: Path) -> BinaryIO:
    """Plain bytes of a file; a packed one that is cut or damaged raises OSError when read."""
    codec = _PACKED.get(path.suffix.lower())
    if codec is None:
        return path.open("rb")
    return cast(BinaryIO, io.BufferedReader(pa.input_stream(str(path), compression=codec)))


def _binary_requests(path: Path, file: BinaryIO, convert: JsonToProtobuf) -> Iterator[bytes]:
    head = file.read(_LENGTH_BYTES)
    if _plain_name(path).endswith(_FRAMES):
        yield from _frames(path, file, head)
    elif head[:1] == b"{":
        yield _converted(head + file.read(), f"{path}", convert)
    elif head and head[0] == _RESOURCE_SPANS:
        yield head + file.read()
    else:
        yield from _frames(path, file, head)


def _frames(path: Path, file: BinaryIO, head: bytes) -> Iterator[bytes]:
    offset = 0
    while head:
        length = int.from_bytes(head, "big")
        if len(head) < _LENGTH_BYTES or length > _FRAME_BYTES_MAX:
            raise PermanentError(f"{path}: no frame starts at byte {offset}, only {head.hex()}")
        body = file.read(length)
        if len(body) < length:
            raise PermanentError(
                f"{path}: the frame at byte {offset} should hold {length} bytes,"
                f" only {len(body)} are left"
            )
        yield body
        offset += _LENGTH_BYTES + length
        head = file.read(_LENGTH_BYTES)


def _json_requests(path: Path, file: BinaryIO, convert: JsonToProtobuf) -> Iterator[bytes]:
    """One request per line, or the whole file where its first line is not a whole value."""
    first = True
    for number, line in enumerate(file, start=1):
        text = line.removeprefix(_BYTE_ORDER_MARK).strip()
        if not text:
            continue
        where = f"{path}: line {number}"
        if first and not _is_json(text):
            text += b"\n" + file.read()
            where = f"{path}"
        first = False
        if _holds_traces(text, where):
            yield _converted(text, where, convert)


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _holds_traces(text: bytes, where: str) -> bool:
    """False for an export of another signal: the Collector may write all into one file."""
    if b'"resourceSpans"' in text or text == b"{}":
        return True
    if any(signal in text for signal in _OTHER_SIGNALS):
        return False
    raise PermanentError(f"{where}: not an OTLP/JSON trace export, there is no resourceSpans in it")


def _converted(text: bytes, where: str, convert: JsonToProtobuf) -> bytes:
    try:
        return convert(text)
    except PermanentError as refused:
        raise PermanentError(f"{where}: {refused}") from refused
