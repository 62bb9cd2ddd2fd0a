"""Conditions of rules: checked when they are loaded, evaluated by DuckDB on a batch of spans.

A condition is one SQL expression over the columns in COLUMNS: comparisons, AND, OR, NOT, IN, LIKE,
BETWEEN, CASE, CAST and the functions in FUNCTIONS. It sees nothing but the span: no table, no
file, no clock. One that fails on a span (a cast of odd text) does not match it.
"""

from __future__ import annotations

import difflib
import json
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.attribute.policy import Rule, keys_in
from agentcost_collector.attribute.wide import attribute_columns, resource_columns
from agentcost_collector.model.access import PINNED_TAGS
from agentcost_collector.model.kinds import KINDS
from agentcost_collector.model.schemas import TAGS

_FACTS = (
    "service",
    "agent",
    "workflow",
    "tool",
    "model",
    "requested_model",
    "provider",
    "operation",
    "target",
    "host",
    "region",
    "session_id",
    "user_id",
    "dialect",
)
MAPS = ("attributes", "resource")
COLUMNS = ("name", "kind", "span_kind", "status", "scope", *_FACTS, *TAGS, *MAPS)
"""What a condition may name. `kind` as in STEPS, and `workflow` and `http`; a tag as the span
itself declares it, else its baggage, else its resource."""

_FUNCTIONS = """
lower upper trim ltrim rtrim length strlen contains prefix suffix starts_with ends_with
regexp_matches regexp_full_match regexp_extract regexp_replace replace substring substr left right
split_part concat if nullif abs
~~ !~~ ~~* !~~* ~~~ like_escape not_like_escape ilike_escape not_ilike_escape || + - * // %
"""
FUNCTIONS = frozenset(_FUNCTIONS.split())
_ALLOWED = "COMPARISON CONJUNCTION OPERATOR BETWEEN CASE CAST TYPE CONSTANT COLUMN_REF FUNCTION"
_EXPRESSIONS = frozenset(_ALLOWED.split(" "))
_SPAN_KINDS = pa.array(["unspecified", "internal", "server", "client", "producer", "consumer"])
_STATUS = pa.array(["unset", "ok", "error"])
_KINDS = pa.array([str(kind) for kind in KINDS])
_REFUSED = "a {} is not allowed in a condition; it sees one span only"
_SELECT = "SELECT (\n{}\n) AS matched FROM spans"


class RuleError(ValueError):
    """A condition that cannot be used. `rule` counts from 0."""

    def __init__(self, rule: int, what: str) -> None:
        super().__init__(what)
        self.rule = rule


class Rules:
    """The rules of a policy with their conditions compiled. Without rules nothing is loaded."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        """Raises RuleError for the first condition that is not one boolean expression."""
        self.rules = tuple(rules)
        self._columns: set[str] = set()
        self._keys: dict[str, set[str]] = {name: set() for name in MAPS}
        if self.rules:
            self._duckdb = _duckdb()
            self._turn = threading.Lock()
            self._connection = _locked_down(self._duckdb)
            for number, rule in enumerate(self.rules):
                self._understand(number, rule.when)
            self._bind()

    def __reduce__(self) -> tuple[Any, ...]:
        return Rules, (self.rules,)

    def match(self, spans: pa.Table, facts: pa.Table, kind: np.ndarray) -> np.ndarray:
        """Which rule matches which span: booleans, a row per rule. `kind`: index into KINDS."""
        tries = ", ".join(
            f"coalesce(TRY((\n{rule.when}\n)), false) AS rule_{number}"
            for number, rule in enumerate(self.rules)
        )
        with self._turn:
            self._connection.register("spans", self._visible(spans, facts, kind))
            matched = self._connection.sql(f"SELECT {tries} FROM spans").to_arrow_table()
            self._connection.unregister("spans")
        return np.array([column.to_numpy() for column in matched.columns], dtype=bool)

    def _understand(self, number: int, when: str) -> None:
        """Refuses what is not one expression over known columns; notes what it reads."""
        found, plain = (self._tree(of) for of in (when, "true"))
        if found["error"]:
            raise RuleError(number, f"not a condition: {found['error_message']}; correct it")
        select = _only_select(found)
        if select is None or _frame(select) != _frame(_only_select(plain)):
            raise RuleError(number, "not one condition; write one expression that is true or false")
        looked_up: set[int] = set()
        for node in _nodes(select["select_list"]):
            if node["class"] not in _EXPRESSIONS:
                raise RuleError(number, _REFUSED.format(node["class"].lower().replace("_", " ")))
            if node["class"] == "FUNCTION":
                _refuse_function(number, node)
            elif node["type"] == "ARRAY_EXTRACT" and self._is_lookup(
                number, when, node["children"]
            ):
                looked_up.add(id(node["children"][0]))
            elif node["class"] == "COLUMN_REF":
                name = _column(number, node["column_names"])
                if name in MAPS and id(node) not in looked_up:
                    raise RuleError(number, f"read {name} by a key in quotes: {name}['some.key']")
                self._columns.add(name)

    def _is_lookup(self, number: int, when: str, children: list[dict[str, Any]]) -> bool:
        """Whether this is `attributes['key']`, plain, so that decode knows the key; notes it."""
        holder, key = children[0].get("column_names"), children[1].get("literal", {}).get("text")
        name = holder[0].lower() if holder else ""
        if name not in MAPS or key not in keys_in(when, name):
            return False
        if any(key != other and key.lower() == other.lower() for other in self._keys[name]):
            raise RuleError(number, f"{name}['{key}'] and another key differ only in case")
        self._keys[name].add(key)
        return True

    def _tree(self, when: str) -> dict[str, Any]:
        query = "SELECT json_serialize_sql(?::VARCHAR)"
        rows = self._connection.execute(query, [_SELECT.format(when)]).fetchall()
        tree: dict[str, Any] = json.loads(rows[0][0])
        return tree

    def _bind(self) -> None:
        """Asks DuckDB for the type of every condition over a table without rows."""
        table = pa.table({n: self._empty(n) for n in ("name", *sorted(self._columns))})
        self._connection.register("spans", table)
        for number, rule in enumerate(self.rules):
            try:
                found = self._connection.sql(_SELECT.format(rule.when)).types[0]
            except self._duckdb.Error as wrong:
                what = str(wrong).splitlines()[0]
                raise RuleError(number, f"cannot be evaluated: {what}; correct it") from wrong
            if str(found) != "BOOLEAN":
                raise RuleError(number, f"gives {found}; compare it with something")
        self._connection.unregister("spans")

    def _empty(self, name: str) -> pa.Array:
        keys = sorted(self._keys[name]) if name in MAPS else []
        if name not in MAPS:
            return pa.array([], pa.string())
        return pa.array([], pa.struct([(key, pa.string()) for key in keys]))

    def _visible(self, spans: pa.Table, facts: pa.Table, kind: np.ndarray) -> pa.Table:
        """The columns that the conditions name, for every span."""
        columns: dict[str, Any] = {"name": spans.column("name")}
        for name in sorted(self._columns):
            if name in MAPS:
                read = attribute_columns if name == "attributes" else resource_columns
                found = read(spans, sorted(self._keys[name]))
                columns[name] = pa.StructArray.from_arrays([*found.values()], names=[*found])
            elif name in TAGS:
                first = ("_pinned",) if name in PINNED_TAGS else ()
                ways = (*first, "", "_baggage", "_resource")
                levels = (facts.column(name + at) for at in ways)
                columns[name] = pc.coalesce(*(level.cast(pa.string()) for level in levels))
            elif name in _FACTS:
                columns[name] = facts.column(name)
            else:
                columns[name] = _structure(name, spans, kind)
        return pa.table(columns)


def _structure(name: str, spans: pa.Table, kind: np.ndarray) -> Any:
    if name == "kind":
        return _KINDS.take(pa.array(kind))
    if name == "span_kind":
        return _SPAN_KINDS.take(pa.array(_clipped(spans, "kind", len(_SPAN_KINDS))))
    if name == "status":
        return _STATUS.take(pa.array(_clipped(spans, "status", len(_STATUS))))
    return spans.column("scope_name" if name == "scope" else name)


def _clipped(spans: pa.Table, column: str, length: int) -> np.ndarray:
    values = spans.column(column).fill_null(0).to_numpy()
    clipped: np.ndarray = np.where((values >= 0) & (values < length), values, 0)
    return clipped


def _duckdb() -> Any:
    """DuckDB, loaded only where there are rules: it takes 20 MB and 80 ms."""
    import duckdb

    return duckdb


def _locked_down(duckdb: Any) -> Any:
    """A connection in memory that can reach nothing else."""
    connection = duckdb.connect(":memory:", config={"threads": 1})
    for setting in (
        "temp_directory = ''",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "python_enable_replacements = false",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        connection.execute(f"SET {setting}")
    return connection


def _only_select(tree: dict[str, Any]) -> dict[str, Any] | None:
    """The one SELECT of a parsed text, or None."""
    statements = tree["statements"]
    node: dict[str, Any] | None = statements[0].get("node") if len(statements) == 1 else None
    if node is None or node["type"] != "SELECT_NODE" or len(node["select_list"]) != 1:
        return None
    return node


def _frame(node: dict[str, Any] | None) -> str:
    """All of a SELECT but its expression, without places in the text."""
    assert node is not None
    table = {k: v for k, v in node["from_table"].items() if not k.startswith("query_location")}
    return json.dumps({**node, "select_list": None, "from_table": table}, sort_keys=True)


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every expression of a syntax tree. No recursion: the text may nest deeply."""
    open_parts = [tree]
    while open_parts:
        part = open_parts.pop()
        if isinstance(part, dict):
            if "class" in part:
                yield part
            open_parts.extend(part.values())
        elif isinstance(part, list):
            open_parts.extend(part)


def _refuse_function(number: int, node: dict[str, Any]) -> None:
    name = node["function_name"]
    if name not in FUNCTIONS or node["filter"] or node["distinct"] or node["schema"]:
        close = difflib.get_close_matches(name, FUNCTIONS, n=1)
        hint = f"did you mean {close[0]}?" if close else "docs/policy.md lists those that are"
        raise RuleError(number, f"{name} is not a function of conditions; {hint}")


def _column(number: int, path: list[str]) -> str:
    name = path[0].lower()
    if len(path) > 1 or name not in COLUMNS:
        close = difflib.get_close_matches(name, COLUMNS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(COLUMNS)}"
        raise RuleError(number, f"{'.'.join(path)} is not a column of a span; {hint}")
    return name
