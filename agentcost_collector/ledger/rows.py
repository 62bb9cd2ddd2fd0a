"""Rows of one table, to and from its data files."""

from __future__ import annotations

import contextlib
import json
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from agentcost_collector.ledger.config import Config
from agentcost_collector.ledger.layout import Kind, stored
from agentcost_collector.model.errors import CorruptionError
from agentcost_collector.model.partition import PARTITION, closed_date, closed_environment
from agentcost_collector.model.schemas import SPANS
from agentcost_collector.model.tables import codes, concat, conform

ENVIRONMENT_KEYS = ("deployment.environment.name", "deployment.environment")


class Part(NamedTuple):
    """Rows of one partition, as they are stored."""

    environment: str
    date: date
    rows: pa.Table

    @property
    def path(self) -> str:
        """Its directory below that of the table."""
        return f"environment={self.environment}/date={self.date.isoformat()}"


def span_partitions(spans: pa.Table, now_ns: int, config: Config) -> tuple[pa.Array, pa.Array]:
    """Environment of each span's resource and UTC day of its end, both closed."""
    resource = codes(spans["resource"])
    # a loop per distinct resource
    named = [_environment(text) for text in resource.dictionary.to_pylist()]
    by_code = pa.array([*named, None], pa.string())
    code = pc.fill_null(resource.indices, len(named))
    names = by_code.take(code)
    ends = spans["end_ns"].to_numpy()
    return (
        closed_environment(names, config.environments),
        closed_date(ends, config.date_min, now_ns),
    )


def parts(rows: pa.Table, environment: pa.Array, day: pa.Array, kind: Kind) -> Iterator[Part]:
    """Rows split by partition, each part sorted by trace_id and otherwise in the order given."""
    rows = conform(rows.select(stored(kind).names), stored(kind))
    trace_ids = rows["trace_id"].combine_chunks()
    environments, days = codes(environment), codes(day)
    width = len(days.dictionary)
    code = environments.indices.to_numpy().astype(np.int64) * width + days.indices.to_numpy()
    ordered = rows.num_rows < 2 or pc.all(pc.less_equal(trace_ids[:-1], trace_ids[1:])).as_py()
    for value in np.unique(code).tolist():
        at = np.flatnonzero(code == value)
        if not ordered:
            at = at[pc.sort_indices(trace_ids.take(pa.array(at))).to_numpy()]
        whole = ordered and len(at) == rows.num_rows
        yield Part(
            environments.dictionary[value // width].as_py(),
            days.dictionary[value % width].as_py(),
            rows if whole else rows.take(pa.array(at)),
        )


def by_trace(rows: pa.Table) -> pa.Table:
    """`rows` in the order of their trace ids, otherwise as given."""
    ids = rows["trace_id"].combine_chunks()
    if len(ids) < 2 or pc.all(pc.less_equal(ids[:-1], ids[1:])).as_py():
        return rows
    return rows.take(pc.sort_indices(ids)).combine_chunks()


def statistics(part: Part) -> str:
    """Delta statistics of a data file."""
    ids = part.rows["trace_id"]
    return json.dumps(
        {
            "numRecords": part.rows.num_rows,
            "minValues": {"trace_id": ids[0].as_py()},
            "maxValues": {"trace_id": ids[-1].as_py()},
            "nullCount": {"trace_id": 0},
        }
    )


def read_rows(table: Path, paths: Iterable[str], trace_ids: Sequence[str], kind: Kind) -> pa.Table:
    """All rows of the given traces in the given data files (paths relative to `table`)."""
    wanted = sorted(trace_ids)
    return concat((_of_file(table / path, wanted, kind) for path in paths), kind.rows)


def read_pieces(path: Path, kind: Kind) -> Iterator[pa.Table]:
    """All rows of a data file, one row group at a time."""
    with _opened(path) as file:
        for group in range(file.num_row_groups):
            yield _filed(file.read_row_group(group), path, kind)


def read_coded(path: Path, kind: Kind, rows_min: int) -> Iterator[pa.Table]:
    """All rows of a data file in the stored columns, coded text as dictionaries, some row groups
    of together at least `rows_min` rows at a time."""
    coded = [name for name in kind.coded if name in kind.rows.names]
    coded = [name for name in coded if pa.types.is_string(kind.rows.field(name).type)]
    schema = pa.schema(
        field.with_type(pa.dictionary(pa.int32(), field.type)) if field.name in coded else field
        for field in stored(kind)
    )
    with _opened(path, coded) as file:
        groups, rows = list[int](), 0
        for group in range(file.num_row_groups):
            groups.append(group)
            rows += file.metadata.row_group(group).num_rows
            if rows >= rows_min or group == file.num_row_groups - 1:
                yield conform(file.read_row_groups(groups).unify_dictionaries(), schema)
                groups, rows = [], 0


def read_columns(path: Path, names: list[str]) -> pa.Table:
    """Some columns of a data file."""
    with _opened(path) as file:
        return file.read(names)


def read_linking(table: Path, paths: Iterable[str], trace_ids: pa.Array) -> pa.Table:
    """trace_id, start_ns and end_ns of the spans in these data files that link to `trace_ids`."""
    names = ["trace_id", "start_ns", "end_ns"]
    found = [pa.schema([SPANS.field(name) for name in names]).empty_table()]
    for path in paths:
        rows = read_columns(table / path, [*names, "links"])
        links = rows["links"].combine_chunks()
        hit = pc.is_in(links.flatten().field("trace_id"), value_set=trace_ids)
        at = pc.unique(pc.list_parent_indices(links).filter(hit))
        found.append(rows.select(names).take(at))
    return pa.concat_tables(found)


def trace_runs(path: Path, begin: str) -> tuple[pa.Array, np.ndarray, np.ndarray, np.ndarray]:
    """Of a data file, for each run of rows of one trace: its id, its first row, its rows, and the
    least time in column `begin`, in ns. Cost: about 0.3 us a row."""
    with _opened(path, ["trace_id"]) as file:
        columns = file.read(["trace_id", begin])
    ids = codes(columns["trace_id"])
    code = ids.indices.to_numpy()
    first = np.flatnonzero(np.append(True, code[1:] != code[:-1])[: len(code)])
    times = columns[begin]
    to_ns = 1 if pa.types.is_integer(times.type) else 1000
    times_ns = pc.fill_null(times.cast(pa.int64()), 0).to_numpy() * to_ns
    begins_ns = np.minimum.reduceat(times_ns, first) if len(first) else times_ns
    trace_ids = ids.dictionary.take(pa.array(code[first]))
    return trace_ids, first, np.diff(np.append(first, len(code))), begins_ns


def read_at(path: Path, at: np.ndarray, kind: Kind) -> pa.Table:
    """Rows number `at` (rising) of a data file; reads the row groups that hold them."""
    with _opened(path) as file:
        groups = range(file.num_row_groups)
        counts = np.array([file.metadata.row_group(g).num_rows for g in groups], np.int64)
        group = np.searchsorted(np.cumsum(counts), at, "right")
        rows = file.read_row_groups(np.unique(group).tolist())
    counts[group] = 0
    at = at - np.cumsum(counts)[group]  # less the rows of groups that were left out
    if len(at) and at[-1] - at[0] == len(at) - 1:  # as they mostly are: nothing to copy
        return _filed(rows.slice(at[0], len(at)), path, kind)
    return _filed(rows.take(pa.array(at)), path, kind)


def day_of(path: str) -> date:
    """Date partition of a data file, from its relative path."""
    return date.fromisoformat(_partition(path)[1])


def _of_file(path: Path, wanted: list[str], kind: Kind) -> pa.Table:
    with _opened(path) as file:
        groups = [g for g in range(file.num_row_groups) if _may_hold(file, g, wanted)]
        rows = file.read_row_groups(groups)
    rows = rows.filter(pc.is_in(rows["trace_id"], value_set=pa.array(wanted, pa.string())))
    return _filed(rows, path, kind)


def _filed(rows: pa.Table, path: Path, kind: Kind) -> pa.Table:
    """`rows` of a data file with the columns that only its path holds."""
    environment, day = _partition(str(path))
    return whole(Part(environment, date.fromisoformat(day), rows), kind)


def whole(part: Part, kind: Kind) -> pa.Table:
    """Rows of a partition with the columns that only its name holds."""
    rows = part.rows
    filed = {"environment": part.environment, "date": part.date}
    for name in (name for name in filed if name in kind.rows.names):
        constant = pa.repeat(pa.scalar(filed[name], kind.rows.field(name).type), rows.num_rows)
        rows = rows.append_column(name, constant)
    return conform(rows, kind.rows)


@contextlib.contextmanager
def _opened(path: Path, coded: Sequence[str] = ()) -> Iterator[pq.ParquetFile]:
    """A data file; columns `coded` come as dictionaries."""
    try:
        with pq.ParquetFile(
            path, page_checksum_verification=True, read_dictionary=list(coded)
        ) as file:
            yield file
    except (OSError, pa.ArrowException) as error:
        raise CorruptionError(f"{path} cannot be read: {error}") from error


def _may_hold(file: pq.ParquetFile, group: int, wanted: list[str]) -> bool:
    """Whether a trace of `wanted` (sorted) lies between the group's first and last trace."""
    found = file.metadata.row_group(group).column(0).statistics
    if found is None or not found.has_min_max:
        return True
    at = bisect_left(wanted, found.min)
    return at < len(wanted) and wanted[at] <= found.max


def partition_of(path: str) -> dict[str, str]:
    """Partition values of a data file, from its path."""
    return dict(zip(PARTITION, _partition(path), strict=True))


def _partition(path: str) -> tuple[str, str]:
    environment, day = Path(path).parts[-3:-1]
    return environment.partition("=")[2], day.partition("=")[2]


def _environment(resource: str | None) -> str | None:
    try:
        attributes = json.loads(resource or "{}")
    except ValueError:
        return None
    if not isinstance(attributes, dict):
        return None
    named = [v for key in ENVIRONMENT_KEYS if isinstance(v := attributes.get(key), str) and v]
    return named[0] if named else None
