"""Model Context Protocol: the Python SDK, FastMCP, and the semantic conventions."""

from agentcost_collector.model.kinds import Kind
from agentcost_collector.normalise.dialect import Dialect

DIALECT = Dialect(
    name="mcp",
    title="Model Context Protocol (SDK, FastMCP, semantic conventions)",
    scopes=("mcp-python-sdk", "fastmcp"),
    signature=("mcp.method.name",),
    fields={"tool": ("mcp.tool.name",), "target": ("mcp.server.name", "fastmcp.server.name")},
    kinds={
        "mcp.method.name": {
            "tools/call": Kind.TOOL,
            "server/discover": Kind.OTHER,
            "initialize": Kind.OTHER,
            "tools/list": Kind.OTHER,
            "resources/list": Kind.OTHER,
            "resources/read": Kind.OTHER,
            "prompts/list": Kind.OTHER,
            "prompts/get": Kind.OTHER,
            "ping": Kind.OTHER,
        }
    },
    names={r"^delegate ": Kind.OTHER},
    name_fields={"tool": r"^(?:MCP send )?tools/call (.+)$"},
)
