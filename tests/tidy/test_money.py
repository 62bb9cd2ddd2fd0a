"""Money never meets a float, neither in Python nor in SQL."""

import ast
import re
from pathlib import Path
from typing import TypeGuard

import pytest

import agentcost_collector

PACKAGE = Path(agentcost_collector.__file__).parent
EXACT = [PACKAGE / "model" / "money.py", *(PACKAGE / "price").glob("*.py")]
EXACT += [*(PACKAGE / "book").glob("*.py"), *(PACKAGE / "allocate").glob("*.py")]
SQL = [*(PACKAGE / "report").glob("*.py"), *(PACKAGE / "cli").glob("*.py")]

FRACTIONS = {"rate.usd * PICO"}
"""Left sides of divisions that are a Fraction although their text does not say so."""
_AVERAGE = re.compile(r"\b(avg|mean|median)\s*\([^)]*usd", re.IGNORECASE)
_QUOTIENT = re.compile(r"usd\w*\s*\)*\s*/|/\s*(sum\s*\(\s*)?\w*usd", re.IGNORECASE)
_FLOAT_CAST = re.compile(r"usd\w*\s*(::|as)\s*(double|float|real)", re.IGNORECASE)


def floats_in(source: str) -> list[str]:
    """Float literals, float types and true division.

    Allowed: joining a path with a text, dividing a Fraction, and asking whether a value is a float.
    """
    found = []
    tree = ast.parse(source)
    questions = {id(arg) for call in ast.walk(tree) if _asks_type(call) for arg in call.args}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            found.append(f"line {node.lineno}: {node.value!r}")
        elif isinstance(node, ast.Name) and node.id == "float" and id(node) not in questions:
            found.append(f"line {node.lineno}: float")
        elif isinstance(node, ast.Attribute) and re.match(r"float|double", node.attr):
            found.append(f"line {node.lineno}: {node.attr}")
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            if not (_is_text(node.right) or _is_fraction(node.left)):
                found.append(f"line {node.lineno}: {ast.unparse(node)}")
        elif isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Div):
            found.append(f"line {node.lineno}: {ast.unparse(node)}")
    return found


def inexact_sql_in(source: str) -> list[str]:
    """SQL texts that average or divide money, or make it a double."""
    return [
        f"line {node.lineno}: {match.group()}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for pattern in (_AVERAGE, _QUOTIENT, _FLOAT_CAST)
        for match in pattern.finditer(node.value)
    ]


def _asks_type(node: ast.AST) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance"


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _is_fraction(node: ast.expr) -> bool:
    return ast.unparse(node).startswith("Fraction(") or ast.unparse(node) in FRACTIONS


@pytest.mark.parametrize("path", EXACT, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_float_where_money_is_computed(path):
    """Prices, bookings and rounding are integers, fractions and decimals only."""
    assert floats_in(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", SQL, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_sql_that_turns_money_into_a_double(path):
    """`/` and AVG make DuckDB return a double; totals must stay decimals."""
    assert inexact_sql_in(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    ["x = 0.5", "float(x)", "a / b", "a /= b", "np.float64(1)", "pa.float32()", "a / 2"],
)
def test_the_scan_sees_floats(source):
    """Each way to make a float is found."""
    assert floats_in(source)


@pytest.mark.parametrize(
    "source", ["folder / 'x.yaml'", "Fraction(a) / b", "isinstance(a, float)", "a // b"]
)
def test_the_scan_passes_what_is_exact(source):
    """Fractions, paths and the question whether something is a float are not mistaken for one."""
    assert not floats_in(source)


@pytest.mark.parametrize(
    "sql", ["SELECT avg(cost_usd)", "sum(cost_usd) / 3", "1 / cost_usd", "cost_usd::DOUBLE"]
)
def test_the_scan_sees_inexact_sql(sql):
    """Each way to make a double in SQL is found, and exact totals are not."""
    assert inexact_sql_in(f"Q = {sql!r}")
    assert not inexact_sql_in("Q = 'SELECT sum(cost_usd), count(*) // 2'; P = folder / 'x'")
