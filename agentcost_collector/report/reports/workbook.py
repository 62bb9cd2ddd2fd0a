"""A report as a workbook for spreadsheets: one sheet per table."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import xlsxwriter

from agentcost_collector.model.printable import printable
from agentcost_collector.report.reports.content import Report, Section, shortened

ROWS_MAX = 1_000
"""Of each environment in a sheet; who needs more reads csv or json."""

_TEXT_MAX = 32_767
_OPTIONS = {
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
    "in_memory": True,
}


def write_workbook(report: Report, path: Path) -> None:
    """Its tables. A spreadsheet keeps about 15 digits of a number: beside each column of decimals
    is one with the exact text. OSError where it cannot be written."""
    report = shortened(report, ROWS_MAX)
    try:
        with xlsxwriter.Workbook(str(path), _OPTIONS) as book:
            bold = book.add_format({"bold": True})
            money = book.add_format({"num_format": "#,##0.00########"})
            about = book.add_worksheet("about")
            about.write_string(0, 0, report.title, bold)
            for number, (name, value) in enumerate(report.facts, start=1):
                about.write_string(number, 0, name)
                about.write_string(number, 1, printable(value)[:_TEXT_MAX])
            for section in report.sections:
                _write(book.add_worksheet(section.name), section, bold, money)
    except xlsxwriter.exceptions.FileCreateError as fault:
        raise OSError(str(fault)) from fault


def _write(sheet: Any, section: Section, bold: Any, money: Any) -> None:
    sheet.freeze_panes(1, 0)
    at = 0
    for field in section.rows.schema:
        values = section.rows[field.name].to_pylist()
        sheet.write_string(0, at, field.name, bold)
        for row, value in enumerate(values, start=1):
            _cell(sheet, row, at, value, money)
        at += 1
        if pa.types.is_decimal(field.type):
            sheet.write_string(0, at, f"{field.name} exact", bold)
            for row, value in enumerate(values, start=1):
                if value is not None:
                    sheet.write_string(row, at, format(value, "f"))
            at += 1
    sheet.set_column(0, at, 18)


def _cell(sheet: Any, row: int, column: int, value: Any, money: Any) -> None:
    if value is None:
        return
    if isinstance(value, Decimal):
        sheet.write_number(row, column, value, money)
    elif isinstance(value, int):
        sheet.write_number(row, column, value)
    else:
        sheet.write_string(row, column, printable(str(value))[:_TEXT_MAX])
