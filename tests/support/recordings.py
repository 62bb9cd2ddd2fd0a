"""Recorded exports of real SDKs in `tests/fixtures`, and what was really billed beside them.

A recording `NAME/NAME.otlp.bin` is the ExportTraceServiceRequests in order of arrival, each with
its length in front (4 bytes, big-endian). `NAME/NAME.truth.json` comes from the fake provider's own
log, never from spans.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures"
LENGTH_BYTES = 4

MEASURED = (
    "anthropic_sdk_native_only",
    "concurrent_features_async",
    "crash_root_never_arrives",
    "crewai",
    "errors_retries_openllmetry",
    "errors_retries_otel_genai",
    "export_retry_duplicates",
    "gemini_otel",
    "gemini_tl",
    "google_adk",
    "js_openinference_openai",
    "langchain_anthropic_openllmetry",
    "litellm_otel_callback",
    "mcp_two_processes",
    "nested_features_baggage",
    "oinf_anthropic_stream_cache",
    "oinf_langgraph_only",
    "oinf_langgraph_openai_both",
    "oinf_llamaindex",
    "oinf_openai_agents_handoff",
    "old_otel_contrib_openai_v2_2025",
    "openlit",
    "otel_contrib_openai_v2",
    "pydantic_ai_delegation",
    "root_first_late_children",
    "strands",
    "traceloop_decorators_agent_tools",
    "traceloop_langchain_openai",
    "vercel_ai",
)
"""Recordings that speed is measured on: figures stay comparable where others are added."""


def names() -> list[str]:
    """Every recording, sorted."""
    return sorted(path.parent.name for path in FIXTURES.glob("*/*.otlp.bin"))


def path_of(name: str) -> Path:
    """The recorded file of `name`."""
    return FIXTURES / name / f"{name}.otlp.bin"


def requests_of(name: str) -> list[bytes]:
    """Request bodies of a recording, in order of arrival."""
    with path_of(name).open("rb") as file:
        return list(read_frames(file))


def truth_of(name: str) -> dict[str, Any]:
    """What was billed, as the provider logged it."""
    truth: dict[str, Any] = json.loads(
        (FIXTURES / name / f"{name}.truth.json").read_text(encoding="utf-8")
    )
    return truth


def read_frames(file: IO[bytes]) -> Iterator[bytes]:
    """Bodies of a length-prefixed file. Raises EOFError where the last one is cut."""
    while head := file.read(LENGTH_BYTES):
        length = int.from_bytes(head, "big")
        body = file.read(length)
        if len(head) < LENGTH_BYTES or len(body) < length:
            raise EOFError(f"frame of {length} bytes ends after {len(body)}")
        yield body


def write_frames(file: IO[bytes], bodies: Iterable[bytes]) -> None:
    """The inverse of `read_frames`."""
    for body in bodies:
        file.write(len(body).to_bytes(LENGTH_BYTES, "big"))
        file.write(body)
