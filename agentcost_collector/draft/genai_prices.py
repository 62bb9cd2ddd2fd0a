"""Models and prices of the package genai-prices.

Only what it says of the seller itself is taken. Left out, each with a note: names that match by
substring, windows of the day (its entries carry no weekdays), prices copied from another seller,
and the entry that stands for "any time before".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

from agentcost_collector.draft.offered import Listed, Offered, Span

Since = Callable[[str, str], datetime]
"""From when an undated price counts: (model, price key) -> instant."""
Prices = Mapping[str, Any]
Entry = tuple[datetime | None, Prices]
"""Prices and the day that the list names for them; None: any time before."""

ISSUERS = {"moonshotai": "moonshot"}
"""Their name of a provider where ours differs."""

_MILLION = 1_000_000
_KEYS = {
    "input_mtok": ("input", "token.input", _MILLION),
    "cache_read_mtok": ("cache_read", "token.input.cache_read", _MILLION),
    "cache_write_mtok": ("cache_write", "token.input.cache_write.5m", _MILLION),
    "cache_write_1h_mtok": ("cache_write_1h", "token.input.cache_write.1h", _MILLION),
    "output_mtok": ("output", "token.output", _MILLION),
    "input_audio_mtok": ("input_audio", "token.input.audio", _MILLION),
    "input_image_mtok": ("input_image", "token.input.image", _MILLION),
    "input_video_mtok": ("input_video", "token.input.video", _MILLION),
    "cache_audio_read_mtok": ("cache_read_audio", "token.input.cache_read.audio", _MILLION),
    "cache_image_read_mtok": ("cache_read_image", "token.input.cache_read.image", _MILLION),
    "output_audio_mtok": ("output_audio", "token.output.audio", _MILLION),
    "output_image_mtok": ("output_image", "token.output.image", _MILLION),
    "output_video_mtok": ("output_video", "token.output.video", _MILLION),
    "input_audio_hours": ("audio", "audio.second", 3600),
    "audio_hours": ("audio", "audio.second", 3600),
    "input_document_kpages": ("page", "page", 1000),
    "input_annotated_document_kpages": ("page_annotated", "page.annotated", 1000),
    "input_mchars": ("character", "character", _MILLION),
    "requests_kcount": ("request", "request", 1000),
    "web_searches_kcount": ("web_search", "tool.web_search.call", 1000),
    "storage_searches_kcount": ("file_search", "tool.file_search.call", 1000),
}
"""Price key of the list: line, leaf kind and number of units of ours."""

_MAKERS = (
    *("openai", "anthropic", "google", "mistral", "cohere", "voyageai", "x-ai", "deepseek"),
    *("perplexity", "moonshot", "aws"),
)
_OTHERS_MODEL = re.compile(r"(claude|zai|glm|kimi|llama|qwen|gemma|deepseek|perplexity/)")
_INCLUSIVE = 199_999  # "more than 199,999" is how the list says "from 200,000 on"
_GEOGRAPHY = r"(us|eu|apac|au|jp|in|ca|us-gov)\."
_DATE = r"(\d{4}-\d{2}-\d{2}|\d{8}|\d{4}|\d{3})"


def offered_skus(provider: Any, since: Since) -> Iterator[Offered]:
    """Every model of one provider of the package."""
    issuer = ISSUERS.get(provider.id, provider.id)
    for model in provider.models:
        yield _offered(issuer, model, since)


def _offered(issuer: str, model: Any, since: Since) -> Offered:
    left_out: list[str] = []
    equals, regex = _names(issuer, model, left_out)
    entries = _entries(model, left_out)
    if _copied(model):
        left_out.append("prices copied from another seller")
        entries = []
    bands = _bands(entries, model)
    kind = "embeddings" if _embeds(model) else "rerank" if "rerank" in model.id else "chat"
    reader = _Reader(issuer, model.id, kind, bands, since, left_out)
    lines = list(reader.lines(entries, {}))
    for when, special in _variants(model, entries):
        lines += reader.lines(special, when)
    return Offered(
        sku=f"{issuer}/{model.id}",
        operation=kind,
        equals=tuple(equals),
        regex=tuple(regex),
        examples=(*equals, model.id.removeprefix("regional.")),
        provider_named=issuer not in _MAKERS
        or (_OTHERS_MODEL.match(model.id) is not None and issuer not in model.id),
        bands=tuple(bands),
        lines=tuple(lines),
        left_out=tuple(dict.fromkeys(left_out)),
    )


def _copied(model: Any) -> bool:
    said = model.price_comments or ""
    elsewhere = "Imported from OpenRouter" in said or "Seen on OpenRouter" in said
    return (elsewhere and "Verified against" not in said) or model.id.endswith(
        (":free", ":extended")
    )


def _embeds(model: Any) -> bool:
    prices = model.prices if not isinstance(model.prices, list) else model.prices[-1].prices
    names = [model.id, *(getattr(c, "equals", "") for c in getattr(model.match, "or_", ()))]
    named = any(re.search(r"embed|^voyage-", name) for name in names)
    return named and prices.output_mtok in (None, prices.input_mtok)


# --- names ---------------------------------------------------------------------------------------


def _names(issuer: str, model: Any, left_out: list[str]) -> tuple[list[str], list[str]]:
    if issuer == "aws":
        return [], [_bedrock(model.id)]
    if issuer == "google" and model.id.startswith("claude-"):
        return [model.id], [f"^{re.escape(model.id)}@\\d{{8}}$".replace("\\-", "-")]
    equals: list[str] = []
    regex: list[str] = []
    for clause in getattr(model.match, "or_", [model.match]):
        if hasattr(clause, "equals"):
            equals.append(clause.equals)
        elif hasattr(clause, "starts_with"):
            _prefixed(clause.starts_with, equals, regex)
        elif hasattr(clause, "regex") and re.fullmatch(r"\^.*\$", clause.regex):
            regex.append(clause.regex)
        else:
            left_out.append("names that match by a part of them")
    if not equals and not regex:
        equals.append(model.id)
    return list(dict.fromkeys(equals)), list(dict.fromkeys(regex))


def _prefixed(prefix: str, equals: list[str], regex: list[str]) -> None:
    """A prefix means the name itself and its dated versions; of a fine-tune, whatever follows."""
    if prefix.startswith("ft:"):
        regex.append(f"^{re.escape(prefix)}[^:]*:.+$".replace("\\-", "-"))
        return
    name = prefix.rstrip("-")
    equals.append(name)
    regex.append(f"^{re.escape(name)}(-preview)?(-{_DATE})?$".replace("\\-", "-"))


def _bedrock(model_id: str) -> str:
    """`global.` profiles, else the plain id and the profiles of one geography."""
    scope, _, rest = model_id.partition(".")
    world = scope == "global"
    name = rest if world or scope == "regional" else model_id
    maker = name.partition(".")[0]
    family = re.sub(r"(-v\d+)?:\d+$|-v\d+$" if maker == "anthropic" else r":\d+$", "", name)
    tail = r"(-v\d+)?(:\d+)?" if maker == "anthropic" else r"(:\d+)?"
    if maker == "anthropic" and not re.search(r"\d{8}$", family):
        tail = r"(-\d{8})?" + tail
    front = r"global\." if world else f"({_GEOGRAPHY})?"
    return f"^{front}{re.escape(family)}{tail}$".replace("\\-", "-")


# --- prices --------------------------------------------------------------------------------------


def _entries(model: Any, left_out: list[str]) -> list[Entry]:
    """Prices in order of their start."""
    if not isinstance(model.prices, list):
        return [(None, _said(model.prices))]
    found: list[Entry] = []
    for entry in model.prices:
        if entry.constraint is not None and not hasattr(entry.constraint, "start_date"):
            left_out.append("prices by the hour of the day")
            return []
        found.append((_start(entry), _said(entry.prices)))
    return sorted(found, key=_begins)


def _variants(model: Any, entries: Sequence[Entry]) -> Iterator[tuple[dict[str, str], list[Entry]]]:
    """Each context with its own prices in order of their start."""
    found: dict[tuple[tuple[str, str], ...], list[Entry]] = {}
    for variant in model.price_variants or () if entries else ():
        # where it names no price, the ordinary ones hold in this context too
        said = _said(variant.prices) or {
            key: value for key, value in entries[-1][1].items() if key.endswith("_mtok")
        }
        start = _start(variant) or entries[-1][0]
        found.setdefault(tuple(sorted(variant.when.items())), []).append((start, said))
    for when, special in found.items():
        if when != (("service_tier", "default"),):
            yield dict(when), sorted(special, key=_begins)


def _start(entry: Any) -> datetime | None:
    return datetime.combine(entry.constraint.start_date, time(), UTC) if entry.constraint else None


def _begins(entry: Entry) -> str:
    return str(entry[0] or "")


def _said(prices: Any) -> Prices:
    return {key: value for key, value in vars(prices).items() if value is not None}


def _bands(entries: Sequence[Entry], model: Any) -> list[tuple[str, int]]:
    said = [value for _, prices in entries for value in prices.values()]
    said += [v for variant in model.price_variants or () for v in _said(variant.prices).values()]
    starts = sorted({tier.start for value in said for tier in getattr(value, "tiers", ())})
    if not starts:
        return []
    low = [start + 1 for start in starts]
    ids = [f"ge{_short(at)}" if at - 1 == _INCLUSIVE else f"gt{_short(at - 1)}" for at in low]
    first = ids[0].replace("ge", "lt").replace("gt", "le")
    return [(first, 0), *zip(ids, low, strict=True)]


def _short(count: int) -> str:
    return f"{count // 1000}k" if count % 1000 == 0 else str(count)


class _Reader:
    """Price keys of one model to lines."""

    def __init__(
        self,
        issuer: str,
        model: str,
        operation: str,
        bands: Sequence[tuple[str, int]],
        since: Since,
        left_out: list[str],
    ) -> None:
        self._issuer, self._model, self._operation = issuer, model, operation
        self._bands, self._since, self._left_out = bands, since, left_out
        self._banded: set[str] = set()

    def lines(self, entries: Sequence[Entry], when: Mapping[str, str]) -> Iterator[Listed]:
        """One line for each price key, with all its dated amounts."""
        keys = dict.fromkeys(key for _, prices in entries for key in prices)
        if not when:
            self._banded = {k for _, said in entries for k, v in said.items() if _tiered(v)}
        order = [key for key in _KEYS if key in keys]
        if self._operation != "chat":
            order = [key for key in order if not key.startswith("output")]
        self._left_out += [f"price key {key}" for key in keys if key not in _KEYS]
        done: set[str] = set()
        for key in order:
            name, _, per = _KEYS[key]
            prices = tuple(self._spans(key, entries, bool(when)))
            if name in done or not prices:
                continue
            done.add(name)
            mark = "".join(f"_{value}" for value in when.values())
            yield Listed(f"{name}{mark}", self._kind(key), per, dict(when), prices)

    def _spans(self, key: str, entries: Sequence[Entry], special: bool) -> Iterator[Span]:
        starts = [start or self._since(self._model, key) for start, _ in entries]
        spans: list[Span] = []
        for number, (start, (_, prices)) in enumerate(zip(starts, entries, strict=True)):
            following = starts[number + 1] if number + 1 < len(starts) else None
            if following is not None and following <= start:
                self._left_out.append(f"what {key} was before {following:%Y-%m-%d}")
                continue
            if key not in prices:
                if spans and spans[-1].to is None:
                    spans[-1] = replace(spans[-1], to=start)
                continue
            amount = self._amount(prices[key], special and key in self._banded)
            if not spans or spans[-1].amount != amount or spans[-1].to is not None:
                spans.append(Span(start, amount, named=entries[number][0] is not None))
        yield from spans

    def _amount(self, value: Any, short_only: bool) -> str | dict[str, str]:
        """A tier with one price where the ordinary one has several says nothing of long prompts."""
        if not _tiered(value):
            text = decimal_text(value)
            return {self._bands[0][0]: text} if short_only else text
        amounts = [value.base] * len(self._bands)
        for tier in value.tiers:
            for number, (_, low) in enumerate(self._bands):
                if low > tier.start:
                    amounts[number] = tier.price
        names = [name for name, _ in self._bands]
        return dict(zip(names, map(decimal_text, amounts), strict=True))

    def _kind(self, key: str) -> str:
        kind = _KEYS[key][1]
        if self._operation != "chat":
            own = "embedding" if self._operation == "embeddings" else "rerank"
            return kind.replace("token.input", f"{own}.token")
        if key == "cache_write_mtok" and re.search(r"(^|\.)gpt-", self._model):
            return "token.input.cache_write.30m"
        if key == "web_searches_kcount" and re.match(r"gemini-[12]\b", self._model):
            return "tool.web_search.prompt"
        return kind


def _tiered(value: Any) -> bool:
    return hasattr(value, "tiers")


def decimal_text(value: Decimal) -> str:
    """A decimal as cards write it: all digits, none too many."""
    return f"{value.normalize():f}"
