"""The registry of dialects. Order is precedence, for kinds and for facts read from other dialects.

Adding a dialect is one file here plus its line in DIALECTS.
"""

from __future__ import annotations

from agentcost_collector.normalise.dialect import Dialect
from agentcost_collector.normalise.dialects import (
    agentcost,
    agentops,
    anthropic_sdk,
    claude_code,
    database,
    google_adk,
    haystack,
    http,
    laminar,
    langfuse,
    langsmith,
    langtrace,
    litellm,
    loongsuite,
    mcp,
    mlflow,
    openinference,
    openlit,
    openllmetry,
    otel_genai,
    pydantic_ai,
    strands,
    vercel_ai,
    voltagent,
)

DIALECTS: tuple[Dialect, ...] = (
    agentcost.DIALECT,
    langfuse.DIALECT,
    openinference.DIALECT,
    langsmith.DIALECT,
    mlflow.DIALECT,
    vercel_ai.DIALECT,
    claude_code.DIALECT,
    anthropic_sdk.DIALECT,
    strands.DIALECT,
    google_adk.DIALECT,
    pydantic_ai.DIALECT,
    openlit.DIALECT,
    litellm.DIALECT,
    mcp.DIALECT,
    otel_genai.DIALECT,
    openllmetry.DIALECT,
    agentops.DIALECT,
    langtrace.DIALECT,
    loongsuite.DIALECT,
    laminar.DIALECT,
    voltagent.DIALECT,
    haystack.DIALECT,
    database.DIALECT,
    http.DIALECT,
)
