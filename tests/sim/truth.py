"""What is sent, and what must come of it.

Only shapes whose truth is obvious: an agent run is a tree of calls, tools and plain groups. Every
call is one step with the tokens it reports, every tool one step without a price. Nothing here knows
how the product works anything out.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

SECOND_NS = 10**9
HOUR_NS = 3600 * SECOND_NS
DAY_NS = 24 * HOUR_NS
EPOCH_NS = 1_780_272_000 * SECOND_NS  # 2026-06-01T00:00:00Z
RAISE_NS = EPOCH_NS + DAY_NS  # prices of alpha rise here

MODELS = ("alpha", "beta", "mystery")
SERVICES = ("shop", "bots", "tools")
_ENVIRONMENTS = ("prod", "staging", "elsewhere", "")

_CARD = """schema: agentcost.ratecard/v1
card_id: list/acme
kind: list
issuer: acme
currency: USD
sources:
  s: {{url: "https://example.com/prices", retrieved: 2026-01-01T00:00:00Z}}
skus:
  - sku: acme/alpha
    match: {{provider: [acme], operation: [chat], model: {{equals: [alpha]}}}}
    lines:
      - {{id: in, kind: token.input, per: 1000000, prices: [
          {{from: 2020-01-01T00:00:00Z, amount: "1.25", src: s}},
          {{from: 2026-06-02T00:00:00Z, amount: "1.5", src: s}}]}}
      - {{id: out, kind: token.output, per: 1000000, prices: [
          {{from: 2020-01-01T00:00:00Z, amount: "10", src: s}}]}}
  - sku: acme/beta
    match: {{provider: [acme], operation: [chat], model: {{equals: [beta]}}}}
    lines:
      - {{id: in, kind: token.input, per: 1000000, prices: [
          {{from: 2020-01-01T00:00:00Z, amount: "0.07", src: s}}]}}
      - {{id: out, kind: token.output, per: 1000000, prices: [
          {{from: 2020-01-01T00:00:00Z, amount: "{beta}", src: s}}]}}
"""
BETA_OUTPUT = ("0.3", "0.45")
"""A million output tokens of beta before and after the card is corrected."""


def write_cards(folder: Path, edition: int) -> Path:
    """`folder` with the card of that edition (0, 1)."""
    folder.mkdir(parents=True)
    (folder / "acme.yaml").write_text(_CARD.format(beta=BETA_OUTPUT[edition]), encoding="utf-8")
    return folder


def write_policy(path: Path) -> Path:
    """A policy by which features are declared by another attribute than without one."""
    text = "schema: agentcost.policy/v1\ntags:\n  feature: {attributes: [app.feature]}\n"
    path.write_text(text, encoding="utf-8")
    return path


@dataclass(frozen=True)
class Call:
    """A model call as the provider's own log has it."""

    model: str
    input_tokens: int
    output_tokens: int
    ended_ns: int

    def cost_usd(self, edition: int) -> Decimal | None:
        """By the card of that edition; None for a model that is not on it."""
        if self.model == "mystery":
            return None
        if self.model == "alpha":
            of_input = Decimal("1.25") if self.ended_ns < RAISE_NS else Decimal("1.5")
            of_output = Decimal(10)
        else:
            of_input, of_output = Decimal("0.07"), Decimal(BETA_OUTPUT[edition])
        return (self.input_tokens * of_input + self.output_tokens * of_output) / 1_000_000


@dataclass
class Span:
    """A span before it is sent. Times are those of its service's clock."""

    trace: Trace
    span_id: str
    above: Span | None
    kind: str  # agent group call tool
    service: str
    start_ns: int
    end_ns: int = 0
    feature: str | None = None
    link: Trace | None = None
    call: Call | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What it is known by."""
        return self.trace.trace_id, self.span_id

    def chain(self) -> Iterator[Span]:
        """Itself and everything above it."""
        span: Span | None = self
        while span:
            yield span
            span = span.above

    def payer(self) -> str | None:
        """The feature that pays, when everything has arrived.

        Whoever called the outermost tool pays for all within it; where nobody above declares a
        feature, what is declared inside counts, and then the run that the root links to.
        """
        chain = list(self.chain())
        tools = [place for place, span in enumerate(chain) if span.kind == "tool"]
        above = chain[tools[-1] + 1 :] if tools else chain
        for span in [*above, *chain]:
            if span.feature:
                return span.feature
        link = chain[-1].link
        return link.root.feature if link else None


@dataclass
class Trace:
    """A run: its spans, root first."""

    trace_id: str
    environment: str
    spans: list[Span] = field(default_factory=list)

    @property
    def root(self) -> Span:
        """The run itself."""
        return self.spans[0]


def draw_trace(
    source: random.Random, at_ns: int, clocks_ns: dict[str, int], others: list[Trace]
) -> Trace:
    """A run that begins at `at_ns`; `clocks_ns` says how far the clock of each service is off.

    It may link to one of `others`.
    """
    trace = Trace(f"{source.getrandbits(128) or 1:032x}", source.choice(_ENVIRONMENTS))
    service = source.choice(SERVICES[:2])
    root = _span(source, trace, None, "agent", service, at_ns)
    drawn = source.random()
    if drawn < 0.55:
        root.feature = f"f{source.randrange(5)}"
    elif drawn < 0.85 and others:
        root.link = source.choice(others[-3:])
    _grow(source, root, source.randint(1, 6))
    for span in trace.spans:
        last = max(s.start_ns for s in trace.spans if span in s.chain())
        span.end_ns = last + source.randrange(1, 2000) * 1_000_000
        span.start_ns += clocks_ns[span.service]
        span.end_ns += clocks_ns[span.service]
        if span.kind == "call":
            # few different numbers: equal calls must stay as many as they are
            tokens = source.choice((10, 10, 250, source.randrange(100_000)))
            model = source.choice(MODELS)
            span.call = Call(model, tokens, source.choice((5, 70)), span.end_ns)
    return trace


def _grow(source: random.Random, root: Span, size: int) -> None:
    places = [root]
    for _ in range(size):
        above = source.choice(places)
        kind = source.choice(("call", "call", "call", "tool", "group"))
        service = "tools" if kind == "tool" else above.service
        start_ns = above.start_ns + source.randrange(1, 3000) * 1_000_000
        span = _span(source, root.trace, above, kind, service, start_ns)
        if source.random() < 0.2:
            span.feature = f"f{source.randrange(5)}"
        if kind != "call":
            places.append(span)


def _span(
    source: random.Random, trace: Trace, above: Span | None, kind: str, service: str, at_ns: int
) -> Span:
    span = Span(trace, f"{source.getrandbits(64) or 1:016x}", above, kind, service, at_ns)
    trace.spans.append(span)
    return span
