"""Alibaba's LoongSuite, and others that write `gen_ai.span.kind`."""

from agentcost_collector.model.kinds import Kind
from agentcost_collector.normalise.dialect import Dialect

DIALECT = Dialect(
    name="loongsuite",
    title="LoongSuite (Alibaba)",
    scopes=("loongsuite",),
    signature=("gen_ai.span.kind",),
    kinds={
        "gen_ai.span.kind": {
            "llm": Kind.LLM,
            "embedding": Kind.EMBEDDING,
            "reranker": Kind.RERANK,
            "retriever": Kind.RETRIEVAL,
            "tool": Kind.TOOL,
            "agent": Kind.AGENT,
            "chain": Kind.WORKFLOW,
            "step": Kind.WORKFLOW,
            "entry": Kind.WORKFLOW,
        }
    },
)
