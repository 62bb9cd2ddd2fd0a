"""A report as one self-contained HTML page."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pyarrow as pa
from jinja2 import Environment, PackageLoader, StrictUndefined

from agentcost_collector.model.printable import amount, printable
from agentcost_collector.report.reports.content import TOTALS, Report, Section, shortened

ROWS_MAX = 100
"""Of each environment in a table; more are no use on a page."""

_BARS = 12
_BAR_WIDTH = 400
_TAGS = 3
"""Bars are named by at most so many columns after the environment."""


@dataclass(frozen=True)
class Bar:
    """One bar of a chart."""

    label: str
    value: str
    width: int


def write_page(report: Report) -> str:
    """HTML that refers to nothing outside itself; names and values in it stay text."""
    environment = Environment(
        loader=PackageLoader("agentcost_collector.report.reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    report = shortened(report, ROWS_MAX)
    first = [section for section in report.sections if section.name == TOTALS]
    others = [section for section in report.sections if section.name != TOTALS]
    tables = [_table(section) for section in (*first, *others)]
    return environment.get_template("page.html").render(report=report, tables=tables)


def _table(section: Section) -> dict[str, Any]:
    schema = section.rows.schema
    numbers = [pa.types.is_integer(f.type) or pa.types.is_decimal(f.type) for f in schema]
    rows = [
        [(_cell(value), right) for value, right in zip(row, numbers, strict=True)]
        for row in zip(*(column.to_pylist() for column in section.rows.columns), strict=True)
    ]
    return {
        "section": section,
        "columns": list(zip(schema.names, numbers, strict=True)),
        "rows": rows,
        "bars": _bars(section),
    }


def _bars(section: Section) -> list[Bar]:
    """Of the dearest rows, where they have names and money."""
    names = section.rows.schema.names
    labels = [n for n in names if pa.types.is_string(section.rows.schema.field(n).type)]
    if "cost_usd" not in names or len(labels) < 2:
        return []
    rows = [r for r in section.rows.to_pylist() if (r["cost_usd"] or 0) > 0]
    rows = sorted(rows, key=lambda r: r["cost_usd"], reverse=True)[:_BARS]
    return [
        Bar(
            _short(" / ".join(r[n] or "(none)" for n in labels[: _TAGS + 1])),
            amount(r["cost_usd"]),
            int(Fraction(r["cost_usd"]) * _BAR_WIDTH / Fraction(rows[0]["cost_usd"])),
        )
        for r in rows
    ]


def _short(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= 60 else f"{shown[:59]}…"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return amount(value) if isinstance(value, Decimal) else printable(str(value))
