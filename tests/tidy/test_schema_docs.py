"""`docs/schema.md` lists exactly the columns that there are, with their types."""

import re

import pyarrow as pa
import pytest

from agentcost_collector.model.schemas import CHARGES, ENTRIES, SPANS
from tests.support.recordings import ROOT

PAGE = (ROOT / "docs" / "schema.md").read_text(encoding="utf-8")
_ROW = re.compile(r"^\| `(\w+)` \| ([A-Z][^|]*?) \| ([^|]*?) ?\| ([^|]+) \|$", re.MULTILINE)


def documented(section: str) -> list[tuple[str, str]]:
    """Columns and types of the section under that heading, in order."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    rows = _ROW.findall(text)
    assert all(meaning.strip() for *_, meaning in rows)
    return [(name, kind) for name, kind, _, _ in rows]


def sql_type(kind: pa.DataType) -> str:
    """The type as SQL shows it."""
    if pa.types.is_dictionary(kind):
        return sql_type(kind.value_type)
    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision},{kind.scale})"
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP"
    if pa.types.is_map(kind):
        return f"MAP({sql_type(kind.key_type)}, {sql_type(kind.item_type)})"
    if pa.types.is_list(kind):
        fields = ", ".join(f"{f.name} {sql_type(f.type)}" for f in kind.value_type)
        return f"STRUCT({fields})[]"
    names = {"string": "VARCHAR", "int64": "BIGINT", "int32": "INTEGER", "int8": "TINYINT"}
    return {**names, "date32[day]": "DATE"}[str(kind)]


@pytest.mark.parametrize(
    ("section", "schema"),
    [
        ("steps", CHARGES),
        ("ledger", pa.schema([field for field in ENTRIES if field.name not in CHARGES.names])),
        ("spans", SPANS),
    ],
)
def test_the_page_lists_the_columns_of_the_schema(section, schema):
    """No column is undocumented, none is invented, and types and order agree."""
    assert documented(section) == [(field.name, sql_type(field.type)) for field in schema]
