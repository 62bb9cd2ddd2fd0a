"""What a span is."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """The first three are calls of a model; retrieval and tool are boundaries like rerank, a write
    to a vector database is not."""

    LLM = "llm"
    EMBEDDING = "embedding"
    RERANK = "rerank"
    RETRIEVAL = "retrieval"
    VECTOR_WRITE = "vector_write"
    TOOL = "tool"
    AGENT = "agent"
    WORKFLOW = "workflow"
    COMPUTE = "compute"
    HTTP = "http"
    OTHER = "other"


KINDS: tuple[Kind, ...] = tuple(Kind)
"""Kinds by code: `KINDS[code]`; the code is what tables carry."""
