"""A list of prices as its YAML file says it: cards of `kind: list`, schema `agentcost.ratecard/v1`.

Amounts are quoted decimals per so many units, instants carry a time zone, intervals are half-open.
A key that is not here is an error, so nothing in a card is ever silently ignored.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from agentcost_collector.model.units import INPUT_TOTAL_KIND, OPERATIONS, is_kind, same_kind

_DECIMAL = re.compile(r"\d{1,12}(\.\d{1,18})?")
_CURRENCY = re.compile(r"[A-Z]{3}|CREDIT(:[a-z0-9_.-]+)?")
_CLOCK = re.compile(r"([01]\d|2[0-4]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _decimal(text: str) -> str:
    if not _DECIMAL.fullmatch(text):
        raise ValueError("not a decimal number such as '2.50'")
    return text


def _currency(code: str) -> str:
    if not _CURRENCY.fullmatch(code):
        raise ValueError(f"'{code}' is no currency; use three letters such as EUR, or CREDIT:name")
    return code


def _kind(name: str) -> str:
    if not is_kind(name):
        raise ValueError(f"'{name}' is not a leaf kind of the unit registry")
    return name


def _measure(name: str) -> str:
    return name if name == INPUT_TOTAL_KIND else _kind(name)


def _operation(name: str) -> str:
    if name not in OPERATIONS:
        raise ValueError(f"'{name}' is not one of {', '.join(OPERATIONS)}")
    return name


def _anchored(pattern: str) -> str:
    if not (pattern.startswith("^") and pattern.endswith("$")):
        raise ValueError("a regex must be anchored: begin with ^ and end with $")
    try:
        re.compile(pattern)
    except re.error as wrong:
        raise ValueError(f"not a regular expression: {wrong}") from None
    return pattern


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"time zone '{name}' is not known on this machine") from None
    return name


Amount = Annotated[str, AfterValidator(_decimal)]
Currency = Annotated[str, AfterValidator(_currency)]
"""ISO 4217, or what an issuer counts in instead of money: CCU, DBU, CREDIT:name."""
Kind = Annotated[str, AfterValidator(_kind)]
Context = dict[str, str]
When = dict[str, str | tuple[str, ...]]
"""Facts that must hold; of several values any one."""
ONE_OR_MORE = Field(min_length=1)


class Part(BaseModel):
    """Any part of a card: immutable, and without keys that are not here."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Dated(Part):
    """Something in force during [start, to)."""

    start: AwareDatetime = Field(alias="from")
    to: AwareDatetime | None = None

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.to is not None and self.to <= self.start:
            raise ValueError("`to` must be later than `from`")
        return self

    @property
    def start_us(self) -> int:
        """Microseconds since 1970."""
        return microseconds(self.start)

    @property
    def to_us(self) -> int | None:
        """Microseconds since 1970; None while it has no end."""
        return None if self.to is None else microseconds(self.to)

    def holds(self, at_us: int) -> bool:
        """Whether it is in force at that instant."""
        return self.start_us <= at_us and (self.to_us is None or at_us < self.to_us)


class Source(Part):
    """Where a price was read, and when."""

    url: str
    retrieved: AwareDatetime
    sha256: str | None = None
    method: str = "manual"
    by: str | None = None
    verified: Literal["invoice", "page", "unverified"] = "unverified"


class Price(Dated):
    """An amount of the card's currency per `per` units, from an instant on."""

    granularity: Literal["instant", "day"] = "instant"
    """`day`: the publisher named a day, no hour; `from` is then midnight in its time zone."""
    amount: Amount | dict[str, Amount]
    """One amount, or one for each band; a band that is not named has no price."""
    src: str


class Line(Part):
    """What one kind of unit costs, in one context."""

    id: str
    sku_price: str | None = None
    kind: Kind
    per: Annotated[int, Field(gt=0, lt=10**12)] = 1
    when: When = {}
    """Holds where the context of the step has all of these; the most specific line wins."""
    prices: tuple[Price, ...] = ()
    included_in: Kind | None = None
    """This kind is priced by the line of that kind."""

    @model_validator(mode="after")
    def _either(self) -> Self:
        if bool(self.prices) == (self.included_in is not None):
            raise ValueError("a line has either `prices` or `included_in`")
        for earlier, later in zip(self.prices, self.prices[1:], strict=False):
            if later.start <= earlier.start:
                raise ValueError("prices must be in ascending order of `from`")
            if earlier.to is not None and earlier.to > later.start:
                raise ValueError(f"prices overlap: `to` {earlier.to} is after the next `from`")
        return self

    def price_at(self, at_us: int) -> Price | None:
        """The price in force at that instant."""
        started = [p for p in self.prices if p.start_us <= at_us]
        return started[-1] if started and started[-1].holds(at_us) else None


class Models(Part):
    """Names of models, compared without regard to case."""

    equals: tuple[str, ...] = ()
    regex: tuple[Annotated[str, AfterValidator(_anchored)], ...] = ()


class Match(Part):
    """Which steps a SKU is for."""

    provider: Annotated[tuple[str, ...], ONE_OR_MORE] | None = None
    """Canonical provider ids; none: whoever provides it."""
    provider_named: bool = False
    """Only steps that name their provider; for those who sell the models of others."""
    operation: Annotated[tuple[Annotated[str, AfterValidator(_operation)], ...], ONE_OR_MORE]
    model: Models | None = None
    """None: found by the kinds of its lines, as fees of tools and stores are."""
    region: Literal["any"] | tuple[str, ...] = "any"


class BandStep(Part):
    """One band; without `gt` and `ge` the lowest."""

    id: str
    gt: int | None = None
    ge: int | None = None

    @property
    def lowest(self) -> int:
        """Smallest total that belongs to it."""
        return self.gt + 1 if self.gt is not None else self.ge or 0


class Band(Part):
    """A total that decides between the amounts of a line.

    `whole_request`: the total of the request decides the price of all its units. `excess`: of each
    kind of unit the share that lies in a band has that band's price. `period_volume`,
    `period_graduated`: the same two with the total of a period; steps have the price of the
    lowest band, and the period's difference is worked out when it is settled.
    """

    measure: Annotated[str, AfterValidator(_measure)]
    """What is counted: the whole prompt, or over a period the units of one kind."""
    mode: Literal["whole_request", "excess", "period_volume", "period_graduated"]
    period: Literal["day", "month"] = "month"
    """Which total counts, in the two modes of a period; days and months of `tz`."""
    tz: Annotated[str, AfterValidator(_zone)] = "UTC"
    bands: Annotated[tuple[BandStep, ...], Field(min_length=2)]

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        lows = [b.lowest for b in self.bands]
        if lows[0] != 0 or sorted(set(lows)) != lows or len({b.id for b in self.bands}) < len(lows):
            raise ValueError("bands must have different ids, begin without limit and ascend")
        if any(b.gt is not None and b.ge is not None for b in self.bands):
            raise ValueError("a band has either `gt` or `ge`")
        if same_kind(self.measure)[0] != self.measure:
            raise ValueError(f"measure {same_kind(self.measure)[0]} instead of {self.measure}")
        if self.over_period == (self.measure == INPUT_TOTAL_KIND):
            raise ValueError(
                f"the measure of a request is {INPUT_TOTAL_KIND}, that of a period one leaf kind"
            )
        return self

    @property
    def over_period(self) -> bool:
        """Whether only a whole period can tell the band."""
        return self.mode in ("period_volume", "period_graduated")


class Allowance(Part):
    """Units of a period that cost nothing: taken off when it is settled, never within a step."""

    kind: Kind
    qty: int = Field(gt=0, lt=10**15)
    period: Literal["day", "month"]
    tz: Annotated[str, AfterValidator(_zone)] = "UTC"
    start: AwareDatetime | None = Field(default=None, alias="from")
    to: AwareDatetime | None = None
    scope: Literal["account", "organization"] = "organization"
    """Who shares it: the steps of one account, or all."""

    def holds(self, at_us: int) -> bool:
        """Whether it is in force at that instant."""
        begun = self.start is None or microseconds(self.start) <= at_us
        return begun and (self.to is None or at_us < microseconds(self.to))


class QuantityRule(Part):
    """How a quantity is rounded up before it is priced; zero stays zero."""

    kind: Kind
    min: int = Field(default=0, ge=0, lt=10**9)
    """At least so many units."""
    increment: int = Field(default=0, ge=0, lt=10**9)
    """Up to a multiple of so many units; 0: as measured."""


class Window(Part):
    """Local hours of some days."""

    days: str
    """`mon-fri`, or days joined by commas."""
    at: Annotated[tuple[str, ...], ONE_OR_MORE]
    """`09:00-12:00`: from the first minute on, up to but without the second."""
    start: AwareDatetime | None = Field(default=None, alias="from")
    """In force from that instant; none: always."""
    to: AwareDatetime | None = None
    exclude: tuple[date, ...] = Field(default=(), alias="except")
    """Local dates on which the window does not apply."""
    set: Context

    @model_validator(mode="after")
    def _readable(self) -> Self:
        self.weekdays()
        self.minutes()
        return self

    def span_us(self) -> tuple[int, int]:
        """Half-open interval in which it is in force."""
        start = 0 if self.start is None else microseconds(self.start)
        return start, 2**62 if self.to is None else microseconds(self.to)

    def weekdays(self) -> frozenset[int]:
        """Monday is 0."""
        found: set[int] = set()
        for part in self.days.split(","):
            first, _, last = part.strip().partition("-")
            if first not in DAYS or (last or first) not in DAYS:
                raise ValueError(f"days '{self.days}': use mon-fri or mon,wed")
            low, high = DAYS.index(first), DAYS.index(last or first)
            found.update(
                range(low, high + 1) if low <= high else (*range(low, 7), *range(high + 1))
            )
        return frozenset(found)

    def minutes(self) -> tuple[tuple[int, int], ...]:
        """Half-open ranges of the minute of the day."""
        ranges = []
        for text in self.at:
            clock = _CLOCK.fullmatch(text)
            if not clock:
                raise ValueError(f"hours '{text}': use 09:00-12:00")
            h1, m1, h2, m2 = (int(g) for g in clock.groups())
            if not h1 * 60 + m1 < h2 * 60 + m2 <= 24 * 60:
                raise ValueError(f"hours '{text}' must begin before they end, on one day")
            ranges.append((h1 * 60 + m1, h2 * 60 + m2))
        return tuple(ranges)


class Schedule(Part):
    """Context that depends on the local time."""

    tz: Annotated[str, AfterValidator(_zone)]
    windows: Annotated[tuple[Window, ...], ONE_OR_MORE]
    """The first that applies counts."""
    otherwise: Context


class Adjustment(Dated):
    """A published multiplier on the kinds that match one of the patterns."""

    id: str
    when: Annotated[When, ONE_OR_MORE]
    multiply: Amount
    kinds: Annotated[tuple[str, ...], ONE_OR_MORE]
    """Names with `*` for any characters, such as `token.*`."""
    src: str


class Alias(Part):
    """A model name that stands for a SKU of this card until the next alias of that name."""

    model: str
    to: str
    start: AwareDatetime = Field(alias="from")
    until: AwareDatetime | None = None
    """From then on the name means nothing known."""

    @property
    def start_us(self) -> int:
        """Microseconds since 1970."""
        return microseconds(self.start)

    @property
    def until_us(self) -> int | None:
        """Microseconds since 1970; None while it has no end."""
        return None if self.until is None else microseconds(self.until)


class Sku(Part):
    """Something that is sold: a model, a tool, a store."""

    sku: str
    match: Match
    band: Band | None = None
    lines: Annotated[tuple[Line, ...], ONE_OR_MORE]
    quantity_rules: tuple[QuantityRule, ...] = ()
    schedule: Schedule | None = None
    adjustments: tuple[Adjustment, ...] = ()
    allowances: tuple[Allowance, ...] = ()


class Defaults(Part):
    """What holds for all SKUs of the card."""

    rated_at: Literal["end", "start"] = "end"
    on_unknown_context: Literal["unpriced"] = "unpriced"
    assume: Context = {}
    """Context of a step that says nothing about that key."""


class RateCard(Part):
    """`kind: list`: the published prices of one issuer of invoices."""

    form: Literal["agentcost.ratecard/v1"] = Field(alias="schema")
    card_id: str
    kind: Literal["list"]
    issuer: str
    currency: Currency
    tax: Literal["exclusive", "inclusive"] = "exclusive"
    defaults: Defaults = Defaults()
    sources: dict[str, Source]
    aliases: tuple[Alias, ...] = ()
    skus: Annotated[tuple[Sku, ...], ONE_OR_MORE]


def microseconds(at: datetime) -> int:
    """Since 1970."""
    whole = at.astimezone(UTC)
    return int(whole.timestamp()) * 1_000_000 + whole.microsecond
