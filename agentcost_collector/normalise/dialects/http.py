"""HTTP semantic conventions, old names and new. Under a model call they are its transport."""

from agentcost_collector.model.kinds import Kind
from agentcost_collector.normalise.dialect import Dialect

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
    kinds={"http.request.method": _METHODS, "http.method": _METHODS},
)
