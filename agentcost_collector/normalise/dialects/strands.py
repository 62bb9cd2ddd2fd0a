"""AWS Strands Agents. `invoke_agent` accumulates over the agent object's lifetime."""

from agentcost_collector.normalise.dialect import Dialect

DIALECT = Dialect(
    name="strands",
    title="Strands Agents",
    scopes=("strands.telemetry.tracer", "strands-agents"),
    signature=("event_loop.cycle_id",),
    fields={
        "cache_read": ("gen_ai.usage.cache_read_input_tokens",),
        "cache_write": ("gen_ai.usage.cache_write_input_tokens",),
        "session_id": ("session.id",),
        "user_id": ("user.id",),
    },
    total_is_reported=True,
    running_totals=("strands.telemetry.tracer", "strands-agents"),
)
