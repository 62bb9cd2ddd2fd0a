"""`agentcost nightly`: everything that is due once a day, for cron."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentcost_collector.cli.options import (
    ConfigOption,
    DataOption,
    reading,
    settings_from,
    writing,
)
from agentcost_collector.cli.output import replacing
from agentcost_collector.cli.progress import progress_bar, waiting_for_ledger
from agentcost_collector.cli.report import Format as ReportFormat
from agentcost_collector.cli.report import write_file
from agentcost_collector.cli.text import aligned, printable
from agentcost_collector.model.errors import AgentcostError

if TYPE_CHECKING:
    import pyarrow as pa

    from agentcost_collector.budget import Budgets
    from agentcost_collector.report.period import Period
    from agentcost_collector.report.reports import Prices
    from agentcost_collector.settings import Settings

_COMPACT = "nightly"
_SUMMARY = "summary.json"


class Format(StrEnum):
    """How the summary is written."""

    TABLE = "table"
    JSON = "json"


class Status(StrEnum):
    """How a step ended."""

    DONE = "done"
    FAILED = "failed"
    """It can be run again; the other steps do not need it."""
    PASSED = "cap_passed"
    """Done, and a budget's cap is passed and not acknowledged."""
    LEFT_OUT = "left_out"
    """Nothing is set for it."""


@dataclass
class Step:
    """What became of one part of the night."""

    name: str
    status: Status = Status.DONE
    seconds: float = 0
    facts: dict[str, int | str] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True)
class _Night:
    settings: Settings
    budgets: Budgets | None
    prices: Prices | None
    period: Period
    today: date
    now_ns: int
    folder: Path


def nightly(
    period: Annotated[
        str | None,
        typer.Option(
            "--period",
            metavar="PERIOD",
            help="What is reported on.  [default: the month of yesterday]",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="DIR",
            help="Folder of the reports.  [default: reports/PERIOD in the data folder]",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    format: Annotated[  # noqa: A002
        Format, typer.Option("--format", help="Of the summary, which is also in summary.json.")
    ] = Format.TABLE,
) -> None:
    """Sum up, compare with budgets, explain the variance, write reports, alert, compact.

    Each step can be done again, so that a night that was interrupted is simply run again; one that
    fails does not stop the others. Exit code 1 where a step failed or a cap is passed and not
    acknowledged; 2 for wrong settings, before anything is done.
    """
    from agentcost_collector.budgets_file import read_budgets
    from agentcost_collector.prices_file import read_prices
    from agentcost_collector.report.period import Period, Span, day_of
    from agentcost_collector.telemetry import configure_logging

    settings = writing(reading(settings_from(config, data)))
    budgets = read_budgets(settings.budgets) if settings.budgets else None
    prices = read_prices(settings.prices) if settings.prices else None
    now_ns = time.time_ns()
    today = day_of(now_ns, settings.report)
    yesterday = today - timedelta(days=1)
    chosen = (
        Period.parse(period, settings.report, today)
        if period
        else Period.of(Span.MONTH, yesterday, settings.report)
    )
    configure_logging("warning")
    folder = output or settings.data / "reports" / chosen.name
    steps = _run(_Night(settings, budgets, prices, chosen, today, now_ns, folder))
    bad = any(step.status in (Status.FAILED, Status.PASSED) for step in steps)
    summary = {
        "period": chosen.name,
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "reports": str(folder),
        "exit_code": int(bad),
        "steps": [asdict(step) for step in steps],
    }
    text = json.dumps(summary, indent=1)
    if folder.is_dir():
        with replacing(folder / _SUMMARY) as fresh:
            fresh.write_text(text + "\n", encoding="utf-8")
    typer.echo(text if format is Format.JSON else aligned((s.name, _said(s)) for s in steps))
    for step in steps:
        if step.error:
            typer.echo(printable(f"agentcost: {step.name}: {step.error}"), err=True)
    raise typer.Exit(int(bad))


def _run(night: _Night) -> list[Step]:
    work: Sequence[tuple[str, Callable[[_Night, Step], None]]] = (
        ("rollup", _roll_up),
        ("budgets", _budgets),
        ("variance", _variance),
        ("reports", _reports),
        ("alerts", _alerts),
        ("compaction", _compact),
    )
    steps = []
    with progress_bar("nightly", "steps") as progress:
        for done, (name, do) in enumerate(work):
            progress(done, len(work))
            steps.append(_timed(Step(name), do, night))
        progress(len(work), len(work))
    return steps


def _timed(step: Step, do: Callable[[_Night, Step], None], night: _Night) -> Step:
    start = time.monotonic()
    try:
        do(night, step)
    except AgentcostError as error:
        step.status, step.error = Status.FAILED, str(error)
    except OSError as fault:
        where = f"{fault.filename}: " if fault.filename else ""
        step.status, step.error = Status.FAILED, f"{where}{fault.strerror or fault}"
    step.seconds = round(time.monotonic() - start, 3)
    return step


def _roll_up(night: _Night, step: Step) -> None:
    from agentcost_collector.report.roll_up import roll_up

    settings = night.settings
    done = roll_up(settings.data, settings.report, night.now_ns, lambda done, total: None)
    step.facts = {"days": done.days, "summed": done.made}


def _budgets(night: _Night, step: Step) -> None:
    from agentcost_collector.budget import OPEN, Records, status_of
    from agentcost_collector.report.views import open_views

    settings = night.settings
    if night.budgets is None:
        step.status = Status.LEFT_OUT
        return
    records = Records.read(settings.budget_records_path)
    with open_views(settings.data, config=settings.report) as connection:
        table = status_of(connection, night.budgets, records, night.today, settings.report)
    _write_table(night.folder, "budgets", table)
    passed = [
        name
        for name, state in zip(table["budget"].to_pylist(), table["state"].to_pylist(), strict=True)
        if state in OPEN
    ]
    step.facts = {"budgets": table.num_rows, "caps_passed": len(passed)}
    if passed:
        step.status, step.error = Status.PASSED, f"over their caps: {', '.join(passed)}"


def _variance(night: _Night, step: Step) -> None:
    from agentcost_collector.report.views import open_views
    from agentcost_collector.variance import By, Compared, variance

    calendar = night.settings.report
    before = night.period.before(calendar)
    rows = 0
    with open_views(night.settings.data, config=calendar) as connection:
        compared = Compared(connection, night.period, before)
        for by in By:
            table = variance(compared, by, calendar, night.budgets)
            _write_table(night.folder, f"variance-{by}", table)
            rows += table.num_rows
    step.facts = {"rows": rows, "compared_with": before.name}


def _reports(night: _Night, step: Step) -> None:
    from agentcost_collector.report.reports import REPORTS, Outcome, Scope, make_report
    from agentcost_collector.report.views import open_views

    calendar = night.settings.report
    scope = Scope(night.period, night.period.before(calendar))
    night.folder.mkdir(parents=True, exist_ok=True)
    with open_views(night.settings.data, config=calendar) as connection:
        for name in REPORTS:
            made = make_report(
                connection,
                name,
                scope,
                calendar,
                night.today,
                outcome=Outcome.of(calendar),
                prices=night.prices,
            )
            for format in (ReportFormat.HTML, ReportFormat.XLSX, ReportFormat.JSON):  # noqa: A001
                write_file(made, format, night.folder / f"{name}.{format}")
    step.facts = {"reports": len(REPORTS)}


def _alerts(night: _Night, step: Step) -> None:
    from agentcost_collector.alert.doors import doors_of
    from agentcost_collector.alert.record import Record
    from agentcost_collector.alert.send import Sender
    from agentcost_collector.alerting import run_rules

    settings = night.settings
    new = run_rules(settings, night.now_ns)
    doors = doors_of(settings.alerts)
    refused = Sender(settings.data, doors, settings.alerts.timeout_s).send(night.now_ns)
    gone = Record(settings.data).forget([door.name for door in doors], night.now_ns)
    step.facts = {"new": len(new), "doors": len(doors), "forgotten": gone}
    if refused:
        step.status, step.error = Status.FAILED, "; ".join(refused.values())


def _compact(night: _Night, step: Step) -> None:
    from agentcost_collector.ledger.ledger import Ledger
    from agentcost_collector.ledger.upkeep import Upkeep

    done = Upkeep()
    settings = night.settings
    with Ledger.open_in_turn(
        settings.ledger_path, _COMPACT, settings.ledger, waiting_for_ledger()
    ) as ledger:
        for piece in ledger.upkeep(night.now_ns):
            done += piece
    step.facts = {"files_merged": done.files_merged, "files_new": done.files_new}
    if done.refused:
        step.status, step.error = Status.FAILED, "; ".join(done.refused)


def _write_table(folder: Path, name: str, table: pa.Table) -> None:
    from agentcost_collector.cli import formats

    folder.mkdir(parents=True, exist_ok=True)
    for ending, write in (("csv", formats.write_csv), ("json", formats.write_json)):
        with (
            replacing(folder / f"{name}.{ending}") as fresh,
            fresh.open("w", encoding="utf-8", newline="") as out,
        ):
            write(table.to_reader(), out)


def _said(step: Step) -> str:
    facts: Mapping[str, int | str] = step.facts
    said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items())
    return f"{step.status.replace('_', ' '):<10}  {step.seconds:8.1f} s  {said}"
