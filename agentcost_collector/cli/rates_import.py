"""`agentcost rates import`: a foreign price list as a draft of our cards."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentcost_collector.cli.options import ConfigOption, RateCardsOption, settings_from
from agentcost_collector.cli.text import printable
from agentcost_collector.model.errors import ConfigError

if TYPE_CHECKING:
    from agentcost_collector.draft import Change, Draft

_PACKAGE = "genai-prices"
_REPOSITORY = "https://github.com/pydantic/genai-prices"

ListArgument = Annotated[
    str, typer.Argument(metavar="LIST", help=f"Price list: {_PACKAGE}.", show_default=False)
]
ProviderOption = Annotated[
    list[str] | None,
    typer.Option(
        "--provider",
        metavar="ID",
        help="Only this provider, by the list's name; may be repeated.  [default: those that have"
        " a rate card]",
        show_default=False,
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="DIR",
        help="Folder for the drafts, made where it is missing.  [default: show the differences]",
        show_default=False,
    ),
]
FromOption = Annotated[
    datetime | None,
    typer.Option(
        "--from",
        formats=["%Y-%m-%d"],
        metavar="DATE",
        help="UTC day from which prices count that the list does not date.  [default: today]",
        show_default=False,
    ),
]


def import_(
    price_list: ListArgument,
    provider: ProviderOption = None,
    output: OutputOption = None,
    start: FromOption = None,
    config: ConfigOption = None,
    rate_cards: RateCardsOption = None,
) -> None:
    """Draft what a published price list adds to the rate cards. Nothing is applied.

    Prices are appended with their date, ours are never edited or removed. Lines marked `!` change
    by more than a factor of 2. With --output each draft is a whole card, to be reviewed against
    the card in use (`diff -u`) and then put into a folder of --rate-cards.
    """
    if price_list != _PACKAGE:
        raise ConfigError(f"'{price_list}' is no price list that can be imported; use {_PACKAGE}")
    settings = settings_from(config, None, rate_cards)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    since = start.replace(tzinfo=UTC) if start else today
    drafts = _drafts(settings.rate_card_directories(), provider or [], since, today)
    for line in _table(change for draft in drafts for change in draft.changes):
        typer.echo(printable(line))
    for draft in drafts:
        if draft.after == draft.before:
            continue
        if output is None:
            _show(draft)
        else:
            _write(draft, output)


def _drafts(
    directories: Sequence[Path], wanted: Sequence[str], since: datetime, today: datetime
) -> list[Draft]:
    from agentcost_collector.draft import Origin, draft_cards, offered_skus
    from agentcost_collector.draft.genai_prices import ISSUERS
    from agentcost_collector.price.read import read_cards

    providers, method = _package()
    cards = {file.card.issuer: file for file in read_cards(directories) if file.card.kind == "list"}
    names = wanted or [p for p in providers if ISSUERS.get(p, p) in cards]
    unknown = sorted(set(names) - set(providers))
    if unknown:
        raise ConfigError(
            f"{_PACKAGE} has no provider '{unknown[0]}'; it has {', '.join(sorted(providers))}"
        )
    drafts = []
    for name in names:
        urls = providers[name].pricing_urls or [_REPOSITORY]
        offered = list(offered_skus(providers[name], lambda _model, _key: since))
        issuer = ISSUERS.get(name, name)
        origin = Origin(urls[0], method, today)
        drafts.append(draft_cards(issuer, offered, cards.get(issuer), origin))
    return drafts


def _package() -> tuple[dict[str, Any], str]:
    """Providers by name, and what to call the list as a source."""
    try:
        import genai_prices
        from genai_prices import data
    except ImportError:
        raise ConfigError(
            f"{_PACKAGE} is not installed; pip install 'agentcost-collector[import]'"
        ) from None
    return {p.id: p for p in data.providers}, f"{_PACKAGE}@{genai_prices.__version__}"


def _table(changes: Iterable[Change]) -> Iterable[str]:
    counts: dict[str, int] = {}
    for change in changes:
        counts[change.what] = counts.get(change.what, 0) + 1
        arrow = f"{change.ours} -> {change.theirs}" if change.ours else change.theirs
        mark = "!" if change.jump else " "
        yield f"{mark} {change.what:<8}  {change.sku} {change.line}  {arrow}".rstrip()
    yield ", ".join(f"{what}: {n}" for what, n in sorted(counts.items())) or "nothing to compare"


def _show(draft: Draft) -> None:
    name = draft.path.name if draft.path else f"{draft.provider}.yaml"
    rows = difflib.unified_diff(
        draft.before.splitlines(), draft.after.splitlines(), f"a/{name}", f"b/{name}", lineterm=""
    )
    for row in rows:
        typer.echo(printable(row))


def _write(draft: Draft, output: Path) -> None:
    from agentcost_collector.price.read import read_card

    path = output / (draft.path.name if draft.path else f"{draft.provider}.yaml")
    if draft.path and path.exists() and path.samefile(draft.path):
        raise ConfigError(f"{path}: is the card in use; name another folder, a draft is for review")
    try:
        output.mkdir(parents=True, exist_ok=True)
        path.write_text(draft.after, encoding="utf-8")
    except OSError as wrong:
        raise ConfigError(f"{path}: cannot be written: {wrong.strerror}") from wrong
    read_card(path)
    typer.echo(f"wrote {printable(str(path))}")
