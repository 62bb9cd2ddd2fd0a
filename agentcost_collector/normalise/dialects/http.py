"""HTTP semantic conventions, old names and new. Under a model call they are its transport."""

from agentcost_collector.model.kinds import Kind
from agentcost_collector.normalise.dialect import Dialect

_LLM = [
    "/completions",
    "/responses",
    "/v1/messages",
    "/v1/complete",
    "/v1/chat",
    "/v2/chat",
    "/v1/generate",
    "/api/chat",
    "/api/generate",
    "/runs",
    ":generateContent",
    ":streamGenerateContent",
    ":rawPredict",
    ":streamRawPredict",
    ":predict",
    "/invoke",
    "/invoke-with-response-stream",
    "/converse",
    "/converse-stream",
    "/images/generations",
    "/images/edits",
    "/images/variations",
    "/audio/speech",
    "/audio/transcriptions",
    "/audio/translations",
    "/v1/ocr",
]
_EMBEDDING = [
    "/embeddings",
    "/v1/embed",
    "/v2/embed",
    "/api/embed",
    ":embedContent",
    ":batchEmbedContents",
]
_RERANK = ["/rerank"]

_METHODS = dict.fromkeys(["get", "post", "put", "patch", "delete", "head", "options"], Kind.HTTP)

DIALECT = Dialect(
    name="http",
    title="HTTP semantic conventions",
    signature=("http.request.method", "http.method"),
    fields={
        "operation": ("http.request.method", "http.method"),
        "target": ("url.template", "http.route"),
        "host": ("server.address", "net.peer.name", "http.host"),
        "http_status": ("http.response.status_code", "http.status_code"),
        "request_bytes": ("http.request.body.size", "http.request_content_length"),
        "response_bytes": (
            "http.response.body.size",
            "http.response.size",
            "http.response_content_length",
        ),
    },
    url_hosts=("url.full", "http.url"),
    url_paths={
        **dict.fromkeys(_LLM, Kind.LLM),
        **dict.fromkeys(_EMBEDDING, Kind.EMBEDDING),
        **dict.fromkeys(_RERANK, Kind.RERANK),
    },
    kinds={"http.request.method": _METHODS, "http.method": _METHODS},
)
