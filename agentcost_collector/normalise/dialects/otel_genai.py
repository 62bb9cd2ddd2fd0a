"""OpenTelemetry GenAI semantic conventions, every generation of names from 1.26 on.

Scope `gen_ai` is version 7 of the Vercel AI SDK.
"""

from agentcost_collector.model.kinds import Kind
from agentcost_collector.normalise.dialect import Dialect


def _all(kind: Kind, names: str) -> dict[str, Kind]:
    return dict.fromkeys(names.split(), kind)


DIALECT = Dialect(
    name="otel_genai",
    title="OpenTelemetry GenAI semantic conventions, and SDKs that follow them",
    scopes=(
        "opentelemetry.util.genai",
        "opentelemetry.instrumentation.genai",
        "opentelemetry.instrumentation.openai_v2",
        "opentelemetry.instrumentation.google_genai",
        "opentelemetry.instrumentation.botocore",
        "agent_framework",
        "semantic_kernel",
        "autogen-core",
        "azure.ai.inference",
        "azure.ai.projects",
        "crewai",
        "gen_ai",
        "gemini-cli",
    ),
    signature=("gen_ai.provider.name", "gen_ai.operation.name"),
    fields={
        "provider": ("gen_ai.provider.name", "gen_ai.system", "gen_ai.request.provider"),
        "model": ("gen_ai.response.model", "gen_ai.request.model"),
        "requested_model": ("gen_ai.request.model",),
        "response_id": ("gen_ai.response.id",),
        "operation": ("gen_ai.operation.name",),
        "input": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
        "output": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
        "total": ("gen_ai.usage.total_tokens",),
        "cache_read": (
            "gen_ai.usage.cache_read.input_tokens",
            "gen_ai.usage.cache_read_input_tokens",
            "gen_ai.usage.input_tokens.cached",
            "gen_ai.usage.cached_tokens",
        ),
        "cache_write": (
            "gen_ai.usage.cache_write.input_tokens",
            "gen_ai.usage.cache_creation.input_tokens",
            "gen_ai.usage.cache_creation_input_tokens",
            "gen_ai.usage.input_tokens.cache_write",
        ),
        "reasoning": (
            "gen_ai.usage.reasoning.output_tokens",
            "gen_ai.usage.reasoning_tokens",
            "gen_ai.usage.output_tokens.reasoning",
        ),
        "input_audio": ("gen_ai.usage.audio.input_tokens",),
        "output_audio": ("gen_ai.usage.audio.output_tokens",),
        "input_image": ("gen_ai.usage.image.input_tokens",),
        "output_image": ("gen_ai.usage.image.output_tokens",),
        "search_units": ("gen_ai.usage.search_units",),
        "reported_cost": ("gen_ai.usage.cost", "gen_ai.usage.total_cost"),
        "service_tier": (
            "openai.response.service_tier",
            "gen_ai.openai.response.service_tier",
            "openai.request.service_tier",
            "gen_ai.openai.request.service_tier",
        ),
        "host": ("server.address",),
        "tool": ("gen_ai.tool.name",),
        "tool_call_id": ("gen_ai.tool.call.id",),
        "target": ("gen_ai.data_source.id",),
        "session_id": ("gen_ai.conversation.id", "session.id"),
        "user_id": ("user.id", "enduser.id", "enduser.pseudo.id"),
        "agent": ("gen_ai.agent.name",),
        "agent_version": ("gen_ai.agent.version",),
        "workflow": ("gen_ai.workflow.name",),
    },
    kinds={
        "gen_ai.operation.name": {
            **_all(
                Kind.LLM,
                "chat generate_content text_completion text_completions llm_request llm_call "
                "realtime audio image video speech_to_text text_to_speech translate moderation",
            ),
            **_all(Kind.EMBEDDING, "embeddings"),
            **_all(Kind.RERANK, "rerank"),
            **_all(Kind.RETRIEVAL, "retrieval retrieve vector_db_retrieve"),
            **_all(Kind.TOOL, "execute_tool tool_call"),
            **_all(Kind.AGENT, "invoke_agent agent_call"),
            **_all(
                Kind.WORKFLOW,
                "invoke_workflow execute_task execute_method agent_step plan goto handoff "
                "execute_event_loop_cycle execute_event_loop compact_events",
            ),
            **_all(Kind.OTHER, "create_agent fetch_response create_thread"),
        }
    },
    kind_signs={"gen_ai.tool.name": Kind.TOOL},
    excludes_cache=("opentelemetry.instrumentation.botocore",),
    sums_this_call=(Kind.AGENT,),
    last_call_only=("opentelemetry.instrumentation.google_genai",),
)
