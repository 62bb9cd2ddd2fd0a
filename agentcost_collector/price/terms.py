"""What a customer's own cards say: negotiated prices, reserved capacity, deployments, currencies.

All are files of the schema `agentcost.ratecard/v1` beside the lists of prices; `kind` tells them
apart.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from agentcost_collector.price.card import (
    ONE_OR_MORE,
    Amount,
    Context,
    Currency,
    Dated,
    Models,
    Part,
    RateCard,
    Source,
    When,
)

_FORM = Literal["agentcost.ratecard/v1"]


class Applies(Dated):
    """Which steps an agreement is for, and when."""

    account: str | None = None
    """Steps of that account; none: of every account that has no agreement of its own."""


class Rule(Part):
    """A negotiated price: an amount per `per` units, or a multiple of the list price."""

    sku: str | None = None
    """A SKU, or a pattern with `*`; none: all of the base card."""
    line: str | None = None
    """Id of a line."""
    kinds: tuple[str, ...] = ()
    """Leaf kinds, or patterns with `*`; none: all."""
    when: When = Field(default={})
    """Facts that must hold besides, as in a line."""
    amount: Amount | dict[str, Amount] | None = None
    """In the currency of the base card; one, or one for each band."""
    per: Annotated[int, Field(gt=0, lt=10**12)] = 1
    multiply: Amount | None = None
    start: AwareDatetime | None = Field(default=None, alias="from")
    to: AwareDatetime | None = None

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.amount is None) == (self.multiply is None):
            raise ValueError("a rule has either `amount` or `multiply`")
        if self.amount is not None and self.line is None and len(self.kinds) != 1:
            raise ValueError("an `amount` needs the `line`, or the one kind, that it is for")
        return self

    @property
    def specificity(self) -> tuple[bool, bool, int, bool, bool, int]:
        """The greater wins: an amount before a multiple, then the rule that names more."""
        exact = self.sku is not None and "*" not in self.sku
        return (
            self.amount is not None,
            exact,
            len(self.sku or ""),
            self.line is not None,
            bool(self.kinds),
            len(self.when),
        )


class Overlay(Part):
    """`kind: overlay`: what was negotiated instead of the list prices of one card."""

    form: _FORM = Field(alias="schema")
    card_id: str
    kind: Literal["overlay"]
    base: str
    """`card_id` of the list."""
    applies: Applies
    rules: Annotated[tuple[Rule, ...], ONE_OR_MORE]
    """The most specific that fits counts; of equal ones the first."""


class Reserved(Dated):
    """Steps that are served from capacity which is paid by the hour, used or not."""

    id: str
    provider: Annotated[tuple[str, ...], ONE_OR_MORE]
    model: Models | None = None
    """Models or deployments; none: all of the provider."""
    account: str | None = None
    region: Annotated[tuple[str, ...], ONE_OR_MORE] | None = None
    when: When = Field(default={})
    """Facts that must hold besides; what spills over to pay-as-you-go differs in one of them."""
    kinds: Annotated[tuple[str, ...], ONE_OR_MORE] = ("token.*", "embedding.*", "rerank.*")
    """What the capacity pays for; anything else, such as fees of tools, is charged as ever."""


class Capacity(Part):
    """`kind: capacity`: reserved capacity of one issuer; its bill is a shared cost."""

    form: _FORM = Field(alias="schema")
    card_id: str
    kind: Literal["capacity"]
    reserved: Annotated[tuple[Reserved, ...], ONE_OR_MORE]


class Deployment(Dated):
    """A name that the customer gave to something that is sold."""

    name: str
    """As requests name it: an Azure deployment, an application inference profile."""
    provider: str
    sku: str
    set: Context = Field(default={})
    """What the name tells besides the model, such as `deployment: data_zone`."""


class Deployments(Part):
    """`kind: deployments`: the customer's names; they come before names of models."""

    form: _FORM = Field(alias="schema")
    card_id: str
    kind: Literal["deployments"]
    deployments: Annotated[tuple[Deployment, ...], ONE_OR_MORE]


class ExchangeRate(Dated):
    """US dollars for one unit of a currency, until the next rate of that currency or `to`."""

    currency: Currency
    usd: Amount
    src: str

    @model_validator(mode="after")
    def _foreign(self) -> Self:
        if self.currency == "USD":
            raise ValueError("a US dollar is a US dollar; remove the rate")
        return self


class ExchangeRates(Part):
    """`kind: fx`: dated exchange rates with their source."""

    form: _FORM = Field(alias="schema")
    card_id: str
    kind: Literal["fx"]
    sources: dict[str, Source]
    rates: Annotated[tuple[ExchangeRate, ...], ONE_OR_MORE]


AnyCard = Annotated[
    RateCard | Overlay | Capacity | Deployments | ExchangeRates, Field(discriminator="kind")
]
