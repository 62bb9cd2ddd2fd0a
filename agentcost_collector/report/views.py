"""Opens DuckDB over one snapshot of the ledger: in memory and locked down, or as a file."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa

from agentcost_collector.ledger.layout import chain_files
from agentcost_collector.ledger.reader import LedgerReader, Snapshot
from agentcost_collector.model.errors import ConfigError, CorruptionError
from agentcost_collector.model.money import USD
from agentcost_collector.report import sql
from agentcost_collector.report.config import Config
from agentcost_collector.report.cubes import CUBES, Cubes
from agentcost_collector.report.query import MEMORY_LIMIT, sentence

RATES = pa.schema(
    [
        ("sku", pa.string()),  # rate_id in the ledger is this, "@" and the date of the price
        ("provider", pa.string()),
        ("model", pa.string()),  # names and patterns that it matches; NULL where none counts
        ("unit", pa.string()),  # leaf kind that is priced
        ("context", pa.string()),  # JSON: tier or other facts that must hold; NULL for always
        ("band", pa.string()),  # size of the request for which it holds; NULL for any
        ("amount", pa.decimal128(38, 18)),  # of the currency, for `per` units
        ("currency", pa.string()),
        ("per", pa.int64()),
        ("valid_from", pa.timestamp("us", tz="UTC")),
        ("valid_to", pa.timestamp("us", tz="UTC")),  # exclusive; NULL for still valid
        ("card_digest", pa.string()),
    ]
)
"""Row = one dated price line of the rate book."""

BUDGETS = pa.schema(
    [
        ("budget", pa.string()),
        ("tier", pa.string()),  # feature team organisation
        ("owner", pa.string()),
        ("roadmap", pa.string()),
        ("feature", pa.string()),  # NULL in this and the next three: all of them
        ("team", pa.string()),
        ("tenant", pa.string()),
        ("environment", pa.string()),
        ("period", pa.string()),  # day week month quarter year fiscal-quarter fiscal-year
        ("measure", pa.string()),  # usd tokens gpu_seconds
        ("cap", USD),  # in the measure, for one period, without raises
        ("valid_from", pa.date32()),  # NULL: always
        ("valid_to", pa.date32()),  # the day after its last
    ]
)
"""Row = one budget."""

_LEDGER_FOLDER = "ledger"
_OURS = {
    "ledger",
    "steps",
    "runs",
    "sessions",
    "chargeback",
    "unattributed",
    *CUBES,
    "spans",
    "rates",
    "budgets",
    "seals",
}


def open_views(
    data: Path,
    rates: pa.Table | None = None,
    config: Config | None = None,
    budgets: pa.Table | None = None,
) -> duckdb.DuckDBPyConnection:
    """A connection in memory with all views over the newest commit in the data folder `data`.

    It can read the ledger's files and nothing else, writes nothing and cannot be reconfigured;
    it does not spill to disk. `rates` (RATES) and `budgets` (BUDGETS) are shown as they are.
    """
    snapshot = snapshot_of(data)
    cubes = Cubes.of(data, snapshot, config or Config())
    connection = duckdb.connect(":memory:")
    _create(connection, data, snapshot, cubes, (rates, budgets))
    readable = [*cubes.readable(), *chain_files(data / _LEDGER_FOLDER)]
    _lock_down(connection, [*snapshot.ledger_files, *snapshot.span_files, *readable])
    return connection


def write_views(
    data: Path,
    output: Path,
    rates: pa.Table | None = None,
    config: Config | None = None,
    budgets: pa.Table | None = None,
) -> None:
    """A DuckDB file with all views over the newest commit, by absolute paths, for other clients.

    Later commits are not in it: write it again. It reads no cubes, which may be replaced. Replaces
    a file that it wrote before; raises ConfigError where `output` is anything else, or cannot be
    written.
    """
    _refuse_foreign(output)
    snapshot = snapshot_of(data)
    cubes = replace(Cubes.of(data, snapshot, config or Config()), fresh=())
    target = output.resolve()
    fresh = target.with_name(f".{target.name}.new")
    leftovers = [fresh, fresh.with_name(f"{fresh.name}.wal")]
    try:
        for file in leftovers:
            file.unlink(missing_ok=True)
        with duckdb.connect(str(fresh)) as connection:
            _create(connection, data, snapshot, cubes, (rates, budgets))
        fresh.replace(target)
    except (OSError, duckdb.Error) as fault:
        raise ConfigError(f"{output}: cannot be written: {sentence(fault)}") from fault
    finally:
        for file in leftovers:
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)


def snapshot_of(data: Path) -> Snapshot:
    """The newest commit of the ledger in a data folder."""
    return LedgerReader(data.absolute() / _LEDGER_FOLDER).snapshot()


def create_tables(connection: duckdb.DuckDBPyConnection, snapshot: Snapshot) -> None:
    """The views `ledger` and `spans`. CorruptionError where a data file cannot be read."""
    for name, files, columns in (
        ("ledger", snapshot.ledger_files, sql.LEDGER_COLUMNS),
        ("spans", snapshot.span_files, sql.SPAN_COLUMNS),
    ):
        types = [str(of_type) for of_type in connection.from_arrow(columns.empty_table()).types]
        try:
            connection.execute(sql.files_view(name, files, columns, types))
        except duckdb.Error as fault:
            raise CorruptionError(f"{name} cannot be read: {sentence(fault)}") from fault


def _create(
    connection: duckdb.DuckDBPyConnection,
    data: Path,
    snapshot: Snapshot,
    cubes: Cubes,
    given: tuple[pa.Table | None, pa.Table | None],
) -> None:
    """`given`: rates and budgets."""
    create_tables(connection, snapshot)
    connection.execute(sql.seals_view(chain_files(data / _LEDGER_FOLDER)))
    for statement in (
        sql.steps_view(),
        sql.runs_view(),
        sql.sessions_view(),
        sql.chargeback_view(),
        sql.unattributed_view(),
        *cubes.views(),
    ):
        connection.execute(statement)
    for name, schema, table in zip(("rates", "budgets"), (RATES, BUDGETS), given, strict=True):
        connection.register("given", schema.empty_table() if table is None else table)
        connection.execute(f"CREATE TABLE {name} AS SELECT * FROM given")
        connection.unregister("given")


def _lock_down(connection: duckdb.DuckDBPyConnection, files: list[str]) -> None:
    """In this order: no temporary files, then no other access, at last no way back."""
    paths = ", ".join(sql.quoted(file) for file in files)
    for setting in (
        "TimeZone = 'UTC'",
        "temp_directory = ''",
        f"memory_limit = '{MEMORY_LIMIT}'",
        f"allowed_paths = [{paths}]",  # files: allowed folders could be written to
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "allow_community_extensions = false",
        "python_enable_replacements = false",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        connection.execute(f"SET {setting}")


def _refuse_foreign(output: Path) -> None:
    """Only a file that holds nothing but our views may be replaced."""
    if not output.exists():
        return
    try:
        with duckdb.connect(str(output), read_only=True) as connection:
            names = connection.execute(
                "SELECT table_name FROM information_schema.tables WHERE table_catalog ="
                " current_database()"
            ).fetchall()
    except duckdb.Error as error:
        raise ConfigError(
            f"{output}: exists and is not a DuckDB file we can replace; choose another name"
        ) from error
    foreign = sorted({name for (name,) in names} - _OURS)
    if foreign:
        raise ConfigError(f"{output}: holds {foreign[0]}, which is not ours; choose another name")
