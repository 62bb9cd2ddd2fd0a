"""Which attribute keys survive decoding: an allow-list, exact keys and prefixes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from agentcost_collector.decode.excerpts import Excerpt, host_and_path, numbers_named
from agentcost_collector.decode.pseudonyms import Pseudonyms

KEY_BYTES_MAX = 256
"""A longer key is never kept: it would carry content, not a name."""

CONTENT = (
    "ai.prompt",
    "ai.response.object",
    "ai.response.reasoning",
    "ai.response.text",
    "ai.response.toolCalls",
    "ai.toolCall.args",
    "ai.toolCall.result",
    "ai.value",
    "db.query.parameter",
    "db.query.text",
    "db.statement",
    "exception.message",
    "exception.stacktrace",
    "gcp.vertex.agent.llm_request",
    "gcp.vertex.agent.llm_response",
    "gcp.vertex.agent.tool_call_args",
    "gcp.vertex.agent.tool_response",
    "gen_ai.choice",
    "gen_ai.completion",
    "gen_ai.content",
    "gen_ai.input",
    "gen_ai.output.messages",
    "gen_ai.prompt",
    "gen_ai.system_instructions",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "gen_ai.tool.definitions",
    "gen_ai.tool.message",
    "http.request.body.content",
    "http.request.header",
    "http.response.body.content",
    "http.response.header",
    "http.target",
    "http.url",
    "input.value",
    "langfuse.observation.input",
    "langfuse.observation.output",
    "langfuse.trace.input",
    "langfuse.trace.output",
    "llm.completions",
    "llm.input_messages",
    "llm.output_messages",
    "llm.prompts",
    "llm.prompt_template",
    "lmnr.span.input",
    "lmnr.span.output",
    "logfire.msg",
    "mlflow.spanInputs",
    "mlflow.spanOutputs",
    "output.value",
    "process.command_args",
    "process.command_line",
    "reranker.input_documents",
    "reranker.output_documents",
    "reranker.query",
    "retrieval.documents",
    "tool.parameters",
    "traceloop.entity.input",
    "traceloop.entity.output",
    "url.full",
    "url.query",
)
"""Beginnings of the attributes in which instrumentations write what users said, models answered and
tools were given, or credentials. No prefix admits them; an exact key of ours may."""

_REMEMBERED_MAX = 65_536


class Keep:
    """The allow-list. Each distinct key is judged once and remembered, in bounded memory."""

    def __init__(
        self,
        keys: Iterable[str],
        prefixes: Iterable[str],
        resource_keys: Iterable[str],
        resource_prefixes: Iterable[str],
        presence: Iterable[str] = (),
        urls: Iterable[str] = (),
        url_paths: Iterable[str] = (),
        numbers: Mapping[str, Sequence[str]] | None = None,
        users: Pseudonyms | None = None,
    ) -> None:
        """Of the keys in `presence` it is kept that they are there, not what they hold; of those
        in `urls` the host, for the rest of a URL may be anything, and the one of `url_paths` that
        its path ends with. Of the keys in `numbers`, which hold JSON, the numbers of these names
        are kept and nothing else. Values that `users` covers are kept as it says."""
        bare, hosts = frozenset(presence), frozenset(urls)
        self._presence = frozenset(key.encode() for key in bare)
        self._numbers = frozenset(key.encode() for key in numbers or ())
        self._urls = frozenset(key.encode() for key in hosts)
        self._host_and_path = host_and_path(url_paths)
        named = {name: None for some in (numbers or {}).values() for name in some}
        self._numbers_named = numbers_named(named)
        self.users = users
        self._span = _Judge({*keys, *(numbers or ())} | bare | hosts, prefixes)
        self._resource = _Judge(resource_keys, resource_prefixes)

    def span_keys(self, distinct: pa.BinaryArray) -> np.ndarray:
        """Mask of the span attribute keys to keep."""
        kept = self._span.kept
        return np.fromiter((kept(key) for key in distinct.to_pylist()), bool, len(distinct))

    def bare_keys(self, distinct: pa.BinaryArray) -> np.ndarray:
        """Mask of the span attribute keys of which only the presence is kept."""
        return _mask(distinct, self._presence)

    def excerpts(self, distinct: pa.BinaryArray) -> Iterator[tuple[np.ndarray, Excerpt]]:
        """Masks of the span attribute keys of which only a part is kept, and that part."""
        yield _mask(distinct, self._urls), self._host_and_path
        yield _mask(distinct, self._numbers), self._numbers_named
        if self.users:
            yield self.users.key_mask(distinct), self.users.text

    def resource_key(self, key: bytes) -> bool:
        """Whether to keep a resource attribute of this key."""
        return self._resource.kept(key)


def _mask(distinct: pa.BinaryArray, keys: frozenset[bytes]) -> np.ndarray:
    return np.fromiter((key in keys for key in distinct.to_pylist()), bool, len(distinct))


class _Judge:
    def __init__(self, keys: Iterable[str], prefixes: Iterable[str]) -> None:
        self._keys = frozenset(keys)
        self._prefixes = tuple(prefixes)
        self._judged: dict[bytes, bool] = {}

    def kept(self, key: bytes) -> bool:
        known = self._judged.get(key)
        if known is not None:
            return known
        if len(key) > KEY_BYTES_MAX:
            return False
        if len(self._judged) >= _REMEMBERED_MAX:
            self._judged.clear()
        verdict = self._judged[key] = self._judge(key)
        return verdict

    def _judge(self, key: bytes) -> bool:
        try:
            text = key.decode()
        except UnicodeDecodeError:
            return False
        if text in self._keys:
            return True
        return text.startswith(self._prefixes) and not text.startswith(CONTENT)
