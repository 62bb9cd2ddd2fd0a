"""What a foreign list says against what our cards say, and our cards with what is new appended.

Nothing that stands in a card is changed: a new amount becomes a dated price at the end of its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from agentcost_collector.draft.edit import CardText, Origin, listed
from agentcost_collector.draft.offered import Listed, Offered
from agentcost_collector.price.card import RateCard, Sku
from agentcost_collector.price.read import CardFile

JUMP = 2
"""A price that changes by more than this factor, either way, is marked."""


@dataclass(frozen=True)
class Change:
    """One finding about one line, or about a whole SKU (`line` empty)."""

    what: str
    """`new`: a SKU or line that we lack. `changed`: a dated price was appended. `kept`: ours comes
    from another source and stays. `past`: the list says
    what held before, or changed no later than ours.
    `unlisted`: the list has the SKU no more. `left out`: said by the list, not in the draft."""
    sku: str
    line: str = ""
    ours: str = ""
    theirs: str = ""
    jump: bool = False


@dataclass(frozen=True)
class Draft:
    """One card as it would be, and why."""

    provider: str
    path: Path | None
    """Of our card; None where there is none yet."""
    before: str
    after: str
    changes: tuple[Change, ...]


class _Priced(Protocol):
    @property
    def amount(self) -> str | dict[str, str]: ...
    @property
    def start(self) -> datetime: ...


def draft_cards(
    provider: str, offered: Sequence[Offered], card: CardFile | None, origin: Origin
) -> Draft:
    """The card of one provider with what `offered` adds to it. Writes nothing."""
    text = CardText(card, origin)
    mine = listed(card)
    changes: list[Change] = []
    met: set[str] = set()
    for entry in sorted(offered, key=lambda o: o.sku):
        changes += [Change("left out", entry.sku, theirs=why) for why in entry.left_out]
        ours = list(_answering(mine, entry))
        if _is_alias(mine, entry):
            changes.append(Change("left out", entry.sku, theirs="an alias of our card"))
            continue
        met.update(sku.sku for _, sku in ours)
        if not ours and entry.lines:
            text.add_sku(entry, provider)
            changes += [
                Change("new", entry.sku, line.id, theirs=_told(line.prices[-1]))
                for line in entry.lines
            ]
        for index, sku in ours[:1]:
            changes += _compared(entry, index, sku, text)
    for sku in mine.skus if mine else ():
        used = [price.src for line in sku.lines for price in line.prices]
        if sku.sku not in met and used and all(map(text.came_from_list, used)):
            changes.append(Change("unlisted", sku.sku))
    path = card.path if card else None
    return Draft(provider, path, text.before, text.after(provider), tuple(changes))


def _is_alias(card: RateCard | None, entry: Offered) -> bool:
    aliases = {alias.model.lower() for alias in card.aliases} if card else set()
    return any(name.lower() in aliases for name in entry.equals)


def _answering(card: RateCard | None, entry: Offered) -> Iterator[tuple[int, Sku]]:
    """SKUs of our card that answer to a name of theirs, or are named alike."""
    names = {name.lower() for name in entry.examples}
    for index, sku in enumerate(card.skus if card else ()):
        models = sku.match.model
        mine = {name.lower() for name in models.equals} if models else set()
        patterns = models.regex if models else ()
        fits = any(re.fullmatch(p, n, re.IGNORECASE) for p in patterns for n in names)
        if fits or mine & names or sku.sku == entry.sku:
            yield index, sku


def _compared(entry: Offered, index: int, sku: Sku, text: CardText) -> Iterator[Change]:
    for theirs in entry.lines:
        last = theirs.prices[-1]
        found = Change("new", sku.sku, theirs.id, theirs=_told(last))
        number = _same_line(sku, theirs)
        if number is None:
            if not _said_otherwise(sku, theirs):
                text.add_line(index, theirs)
                yield found
            continue
        line = sku.lines[number]
        if not line.prices or _amounts(line.prices[-1]) == _amounts(last):
            continue
        mine = line.prices[-1]
        pairs = zip(_amounts(mine), _amounts(last), strict=False)
        jump = any(max(a, b) > JUMP * min(a, b) for a, b in pairs)
        found = replace(found, line=line.id, ours=_told(mine), jump=jump)
        if not text.came_from_list(mine.src):
            yield replace(found, what="kept")
        elif last.start <= mine.start or any(_amounts(p) == _amounts(last) for p in line.prices):
            yield replace(found, what="past")
        else:
            text.add_prices(index, number, [last])
            yield replace(found, what="changed")


def _said_otherwise(sku: Sku, theirs: Listed) -> bool:
    """Whether the SKU prices that without a line of its own: by a multiplier for that context, or,
    without a context, as part of another kind."""
    if not theirs.when:
        return any(line.kind == theirs.kind and not line.when for line in sku.lines)
    return any(
        dict(adjustment.when) == dict(theirs.when)
        and any(fnmatchcase(theirs.kind, pattern) for pattern in adjustment.kinds)
        for adjustment in sku.adjustments
    )


def _same_line(sku: Sku, theirs: Listed) -> int | None:
    for number, line in enumerate(sku.lines):
        if line.kind == theirs.kind and dict(line.when) == dict(theirs.when):
            return number
    return None


def _amounts(price: _Priced) -> list[Fraction]:
    """All amounts, those of bands in their order; bands that agree count once."""
    said = price.amount.values() if isinstance(price.amount, dict) else [price.amount]
    found = [Fraction(amount) for amount in said]
    return found[:1] if len(set(found)) == 1 else found


def _told(price: _Priced) -> str:
    said = price.amount if isinstance(price.amount, str) else "|".join(price.amount.values())
    return f"{said} from {price.start:%Y-%m-%d}"
