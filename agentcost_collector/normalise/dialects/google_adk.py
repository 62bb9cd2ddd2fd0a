"""Google Agent Development Kit. `call_llm` (schema 1) wraps the `generate_content` it repeats.

OpenInference takes the model spans away and writes each call onto `invoke_agent`, over the last.
"""

from agentcost_collector.model.kinds import Kind
from agentcost_collector.normalise.dialect import Dialect

DIALECT = Dialect(
    name="google_adk",
    title="Google Agent Development Kit",
    scopes=("gcp.vertex.agent",),
    signature=("gcp.vertex.agent.invocation_id",),
    fields={"session_id": ("gcp.vertex.agent.session_id",)},
    names={
        r"^invocation$": Kind.WORKFLOW,
        r"^call_llm$": Kind.LLM,
        r"^execute_tool \(merged tools\)$": Kind.WORKFLOW,
    },
    last_call_names=r"^invoke_agent ",
    sums_this_call=(Kind.AGENT, Kind.WORKFLOW),
)
