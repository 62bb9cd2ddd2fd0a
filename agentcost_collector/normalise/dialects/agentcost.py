"""Attributes of our own, for what no convention covers."""

from agentcost_collector.model.kinds import Kind
from agentcost_collector.normalise.dialect import Dialect

DIALECT = Dialect(
    name="agentcost",
    title="Our own attributes (`agentcost.*`), set by hand",
    signature=("agentcost.kind", "agentcost.gpu_seconds", "agentcost.cpu_seconds"),
    fields={
        "session_id": ("agentcost.session_id",),
        "user_id": ("agentcost.user_id",),
        "target": ("agentcost.target",),
        "account": ("agentcost.account",),
        "service_tier": ("agentcost.pricing.service_tier",),
        "region": ("agentcost.pricing.region",),
        "gpu_seconds": ("agentcost.gpu_seconds",),
        "cpu_seconds": ("agentcost.cpu_seconds", "agentcost.vcpu_seconds"),
        "gib_seconds": ("agentcost.gib_seconds",),
    },
    kinds={
        "agentcost.kind": {
            "llm": Kind.LLM,
            "embedding": Kind.EMBEDDING,
            "rerank": Kind.RERANK,
            "retrieval": Kind.RETRIEVAL,
            "tool": Kind.TOOL,
            "agent": Kind.AGENT,
            "workflow": Kind.WORKFLOW,
            "compute": Kind.COMPUTE,
        }
    },
)
