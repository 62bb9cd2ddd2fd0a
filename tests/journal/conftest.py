"""SPANS tables from the recorded exports, read with protobuf's own parser."""

import json
import struct
from pathlib import Path

import pyarrow as pa
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agentcost_collector.journal.config import Config
from agentcost_collector.journal.reader import JournalReader
from agentcost_collector.journal.writer import Journal
from agentcost_collector.model.schemas import REJECTS, SPANS

FIXTURES = Path(__file__).parents[1] / "fixtures"


def _text(value) -> str:
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value
    if kind == "bool_value":
        return str(value.bool_value).lower()
    return str(getattr(value, kind)) if kind in ("int_value", "double_value") else "[]"


def _rows(request: ExportTraceServiceRequest, received_at_ns: int) -> list[dict]:
    return [
        {
            "trace_id": span.trace_id.hex(),
            "span_id": span.span_id.hex(),
            "parent_span_id": span.parent_span_id.hex() or None,
            "kind": span.kind,
            "name": span.name[:256],
            "start_ns": span.start_time_unix_nano,
            "end_ns": span.end_time_unix_nano,
            "status": span.status.code,
            "scope_name": group.scope.name,
            "scope_version": group.scope.version,
            "resource": json.dumps({a.key: _text(a.value) for a in source.resource.attributes}),
            "attributes": sorted((a.key, _text(a.value)) for a in span.attributes),
            "links": [
                {"trace_id": link.trace_id.hex(), "span_id": link.span_id.hex()}
                for link in span.links
            ],
            "dropped_attributes": span.dropped_attributes_count,
            "received_at_ns": received_at_ns,
        }
        for source in request.resource_spans
        for group in source.scope_spans
        for span in group.spans
    ]


def _requests(recording: Path) -> list[pa.Table]:
    stored, at, tables = recording.read_bytes(), 0, []
    while at < len(stored):
        (size,) = struct.unpack_from(">I", stored, at)
        request = ExportTraceServiceRequest.FromString(stored[at + 4 : at + 4 + size])
        at += 4 + size
        tables.append(pa.Table.from_pylist(_rows(request, len(tables)), schema=SPANS))
    return tables


@pytest.fixture(scope="session")
def recorded() -> list[pa.Table]:
    """One SPANS table per recorded request, all recordings."""
    tables = [t for path in sorted(FIXTURES.glob("*/*.otlp.bin")) for t in _requests(path)]
    assert sum(t.num_rows for t in tables) > 300
    return tables


@pytest.fixture
def no_rejects() -> pa.Table:
    return REJECTS.empty_table()


@pytest.fixture
def journal(tmp_path):
    opened = Journal.open(tmp_path / "journal", Config())
    yield opened
    opened.close()


@pytest.fixture
def reader(tmp_path, journal):
    opened = JournalReader.open(tmp_path / "journal", Config())
    yield opened
    opened.close()
