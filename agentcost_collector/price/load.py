"""From rate card files to a RateBook: the checks that look beyond one part of one card."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from agentcost_collector.model.errors import ConfigError
from agentcost_collector.model.reasons import CostReason
from agentcost_collector.model.units import LEAVES, OPERATIONS, same_kind
from agentcost_collector.price.card import Alias, Line, Price, RateCard, Sku
from agentcost_collector.price.customer import DIGEST_CHARS, Customer
from agentcost_collector.price.ratebook import Offer, RateBook
from agentcost_collector.price.read import CardFile, read_cards

Book = TypeVar("Book", bound=RateBook)


def load_rate_book(directories: Sequence[Path]) -> RateBook:
    """The cards of all folders; a later folder's card replaces an earlier one of the same id.

    Raises ConfigError `file:line: what is wrong, what to do`.
    """
    return compile_cards(read_cards(directories), RateBook)


def compile_cards(files: Sequence[CardFile], make: Callable[..., Book]) -> Book:
    """One book of some cards, in ascending order of `card_id`. Raises ConfigError."""
    customer = Customer(files)
    offers: list[Offer] = []
    aliases: dict[str, list[tuple[int, Offer | CostReason]]] = {}
    seen: dict[str, str] = {}
    for file in files:
        if not isinstance(file.card, RateCard):
            continue
        mine = {}
        for index, sku in enumerate(file.card.skus):
            place = file.at("skus", index, "sku")
            if sku.sku in seen:
                raise ConfigError(
                    f"{place}: sku '{sku.sku}' is also at {seen[sku.sku]}; rename or remove one"
                )
            seen[sku.sku] = place
            mine[sku.sku] = _offer(file, file.card, index, customer)
        offers += mine.values()
        for index, alias in enumerate(file.card.aliases):
            _add_alias(aliases, alias, mine, file.at("aliases", index))
    _refuse_overlaps(offers, aliases, seen)
    return make(
        offers,
        {k: tuple(v) for k, v in aliases.items()},
        customer.terms({o.sku.sku: o for o in offers}),
        [file.content for file in files],
    )


def _offer(file: CardFile, card: RateCard, index: int, customer: Customer) -> Offer:
    sku = card.skus[index]
    _check(file, card, index)
    lines: dict[str, tuple[Line, ...]] = {}
    for line in sku.lines:
        if line.included_in is None:
            kind = same_kind(line.kind)[0]
            lines[kind] = (*lines.get(kind, ()), line)
    for line in sku.lines:
        if line.included_in is not None:
            lines[same_kind(line.kind)[0]] = lines[same_kind(line.included_in)[0]]
    dated = [*(p for line in sku.lines for p in line.prices), *sku.adjustments]
    edges = {d.start_us for d in dated} | {d.to_us for d in dated if d.to_us is not None}
    return Offer(
        sku=sku,
        card_id=card.card_id,
        issuer=card.issuer,
        digest=file.digest[:DIGEST_CHARS],
        currency=card.currency,
        exchange=customer.exchange.get(card.currency, ()),
        overlays=customer.overlays.get(card.card_id, ()),
        clock=card.defaults.rated_at,
        assume=card.defaults.assume,
        step_kinds=frozenset(OPERATIONS[o] for o in sku.match.operation),
        lines=lines,
        breaks=tuple(sorted(edges | customer.breaks(card))),
    )


def _check(file: CardFile, card: RateCard, index: int) -> None:
    """What one SKU must keep to beyond the schema."""
    sku = card.skus[index]
    decided_at_once = sku.band and not sku.band.over_period
    if sku.match.model is None and (decided_at_once or sku.schedule):
        raise ConfigError(
            f"{file.at('skus', index)}: a SKU without `model` has no `schedule`, and a `band` only"
            " over a period; add a model or remove them"
        )
    bands = {b.id for b in sku.band.bands} if sku.band else set()
    for number, line in enumerate(sku.lines):
        place = file.at("skus", index, "lines", number)
        _check_line(line, sku.lines[:number], place)
        for price in line.prices:
            _check_price(price, bands, card.sources.keys(), place)
    priced = {line.kind for line in sku.lines if line.prices}
    for number, line in enumerate(sku.lines):
        if line.included_in and (line.included_in not in priced or line.kind in priced):
            raise ConfigError(
                f"{file.at('skus', index, 'lines', number)}: `included_in: {line.included_in}`"
                f" needs a priced line of that kind and none of kind {line.kind}"
            )
    for leaf in LEAVES:
        together = priced.intersection(leaf.kinds)
        if len(together) > 1:
            raise ConfigError(
                f"{file.at('skus', index)}: {' and '.join(sorted(together))} are counted together;"
                " keep one of them"
            )
    _check_period(sku, file.at("skus", index))
    for adjustment in sku.adjustments:
        if adjustment.src not in card.sources:
            raise ConfigError(
                f"{file.at('skus', index, 'adjustments')}: source '{adjustment.src}' is not under"
                " `sources`; add it"
            )


def _check_period(sku: Sku, place: str) -> None:
    """A total of a period is that of one kind, and decides nothing but its price."""
    measured = {sku.band.measure} if sku.band and sku.band.over_period else set()
    banded = {ln.kind for ln in sku.lines for p in ln.prices if isinstance(p.amount, dict)}
    if measured and banded - measured:
        raise ConfigError(
            f"{place}: {', '.join(sorted(banded - measured))} has a price by the total of"
            f" {measured.pop()}; a period's bands are for the kind that they measure"
        )
    sold = {same_kind(ln.kind)[0] for ln in sku.lines} - {same_kind(m)[0] for m in measured}
    for allowance in sku.allowances:
        if same_kind(allowance.kind)[0] not in sold:
            raise ConfigError(
                f"{place}: the allowance of {allowance.kind} needs a line of that kind without"
                " bands over a period; for free units and then bands make the first band '0'"
            )


def _check_line(line: Line, earlier: Sequence[Line], place: str) -> None:
    for other in earlier:
        if other.id == line.id or (other.kind == line.kind and other.when == line.when):
            raise ConfigError(
                f"{place}: line '{line.id}' repeats an id, or a kind with the same `when`, of this"
                " SKU; append a price to the first line instead"
            )


def _check_price(price: Price, bands: set[str], sources: Iterable[str], place: str) -> None:
    if price.src not in sources:
        raise ConfigError(f"{place}: source '{price.src}' is not under `sources`; add it")
    if isinstance(price.amount, dict) and not (price.amount and bands.issuperset(price.amount)):
        raise ConfigError(
            f"{place}: amounts for bands that the SKU's `band` lacks; correct the ids"
        )


def _add_alias(
    aliases: dict[str, list[tuple[int, Offer | CostReason]]],
    alias: Alias,
    offers: dict[str, Offer],
    place: str,
) -> None:
    timeline = aliases.setdefault(alias.model.lower(), [(0, CostReason.BEFORE_HISTORY)])
    if alias.to not in offers:
        raise ConfigError(
            f"{place}: alias to '{alias.to}', which is no SKU of this card; correct it"
        )
    last = timeline[-1]
    if last[0] > alias.start_us or (last[0] == alias.start_us and isinstance(last[1], Offer)):
        raise ConfigError(
            f"{place}: aliases of '{alias.model}' must be in one card, in ascending order of `from`"
        )
    if last[0] == alias.start_us:
        timeline.pop()
    timeline.append((alias.start_us, offers[alias.to]))
    if alias.until_us is not None:
        timeline.append((alias.until_us, CostReason.AFTER_HISTORY))


def _refuse_overlaps(
    offers: Sequence[Offer],
    aliases: dict[str, list[tuple[int, Offer | CostReason]]],
    places: dict[str, str],
) -> None:
    """No name or regex may mean two SKUs of one provider, operation and region."""
    by_name: dict[str, list[Offer]] = defaultdict(list)
    for offer in offers:
        models = offer.match.model
        for name in (*(n.lower() for n in models.equals), *models.regex) if models else ():
            for other in by_name[name]:
                if _overlap(offer, other):
                    raise ConfigError(
                        f"{places[offer.sku.sku]}: '{name}' also matches sku '{other.sku.sku}' at"
                        f" {places[other.sku.sku]}; remove it from one of them"
                    )
            by_name[name].append(offer)
    for name, timeline in aliases.items():
        meant = [o for _, o in timeline if isinstance(o, Offer)]
        for offer in by_name[name]:
            if any(_overlap(offer, other) for other in meant):
                raise ConfigError(
                    f"{places[offer.sku.sku]}: model '{name}' is also an alias; remove one of them"
                )


def _overlap(one: Offer, other: Offer) -> bool:
    providers = (one.match.provider, other.match.provider)
    regions = (one.match.region, other.match.region)
    return (
        bool(one.step_kinds & other.step_kinds)
        and (None in providers or bool(set(providers[0] or ()) & set(providers[1] or ())))
        and ("any" in regions or bool(set(regions[0]) & set(regions[1])))
    )
