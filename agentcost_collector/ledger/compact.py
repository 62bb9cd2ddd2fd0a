"""Small data files of one partition become one, with the same rows.

In: live data files, and the time. Out: what to merge; then a new data file that holds exactly the
rows of the old ones, sorted as any data file is. Nothing here changes the log: a file that was
written and is not committed is swept up later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import PurePath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.ledger.config import Config
from agentcost_collector.ledger.index import HOUR_NS
from agentcost_collector.ledger.layout import Kind, merged_name, origin_of, stored
from agentcost_collector.ledger.log import DataFile, Log, Written
from agentcost_collector.ledger.rows import day_of, partition_of, parts, read_pieces
from agentcost_collector.model.errors import CorruptionError
from agentcost_collector.model.schemas import SIGNED
from agentcost_collector.model.tables import concat

_FILES_MIN = 4  # small files of a closed day that are worth a merge
_CROWD = 100  # files of a day that is still written to that are worth a merge
_FILES_MAX = 256  # of one merge: opening them takes about 3 ms each
_BYTES_MAX = 32 * 1024 * 1024

Sums = dict[str, Decimal | None]


@dataclass(frozen=True)
class Merge:
    """Data files of one partition and one journal that become one, in the order of commits."""

    files: tuple[DataFile, ...]

    @property
    def partition(self) -> str:
        """As in the paths of its files."""
        return str(PurePath(self.files[0].path).parent)

    @property
    def rows(self) -> int:
        """Rows of all of them."""
        return sum(file.rows for file in self.files)

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(file.size for file in self.files)


def plan(
    files: Iterable[DataFile],
    settled: Mapping[str, int],
    config: Config,
    now_ns: int,
    before: date | None = None,
) -> list[Merge]:
    """What to merge now; the result of a merge may be merged again.

    `settled` is the last batch of each journal that is in both tables: a later one is counted by
    its name after a crash. A day is closed that has had no commit for `Config.compact_quiet_h`, or
    lies before `before`, to which all is limited where it is given. Of other days only files that
    were never merged are, and only when there are many.
    """
    groups: dict[tuple[PurePath, str], list[DataFile]] = {}
    for file in files:
        origin = origin_of(file.path)
        if origin is None or origin.batch_seq > settled.get(origin.journal, 0):
            continue
        if before is None or day_of(file.path) < before:
            groups.setdefault((PurePath(file.path).parent, origin.journal), []).append(file)
    merges: list[Merge] = []
    for _, mine in sorted(groups.items()):
        newest_ns = max(file.at_ns for file in mine)
        closed = before is not None or newest_ns <= now_ns - config.compact_quiet_h * HOUR_NS
        small = [file for file in mine if _is_small(file, config, closed)]
        if len(small) >= (_FILES_MIN if closed else _CROWD):
            merges += _merges(sorted(small, key=_commit), config)
    return merges


def merge(log: Log, wanted: Merge, config: Config) -> Written:
    """Write the rows of these files as one file, durable; it is not committed.

    CorruptionError where a file cannot be read, or what was read back differs from what was there.
    Memory: about three times the rows.
    """
    pieces = [
        piece for file in wanted.files for piece in read_pieces(log.directory / file.path, log.kind)
    ]
    before = sum_up(pieces, log.kind)
    partition = partition_of(wanted.files[0].path)
    rows = concat(pieces, log.kind.rows)
    environment = pa.array([partition["environment"]]).take(pa.array(np.zeros(len(rows), np.int8)))
    day = pa.array([day_of(wanted.files[0].path)]).take(pa.array(np.zeros(len(rows), np.int8)))
    (part,) = parts(rows, environment, day, log.kind)
    last = origin_of(wanted.files[-1].path)
    assert last
    newest_ns = max(file.at_ns for file in wanted.files)
    name = merged_name(last.journal, last.batch_seq, [file.path for file in wanted.files])
    written = log.write_file(part, name, newest_ns, config, data_change=False)
    path = log.directory / written.add.path
    again = list(read_pieces(path, log.kind))
    same = (
        len(rows) == wanted.rows
        and sum_up(again, log.kind) == before
        and _plain(concat(again, stored(log.kind))).equals(_plain(part.rows))
        and _names(concat(again, log.kind.rows), log.kind).equals(_names(rows, log.kind))
    )
    if not same:
        path.unlink()
        raise CorruptionError(
            f"{log.directory / wanted.partition}: the {len(wanted.files)} files from"
            f" {PurePath(wanted.files[0].path).name} on would not keep their {wanted.rows} rows and"
            " sums when merged; nothing was changed, restore these files from a backup"
        )
    return written


def sum_up(pieces: Iterable[pa.Table], kind: Kind) -> Sums:
    """Rows, and the sum of every column of money and quantities, exact."""
    names = [name for name in SIGNED if name in kind.rows.names]
    sums: Sums = {"rows": Decimal(0), **dict.fromkeys(names)}
    for piece in pieces:
        sums["rows"] = (sums["rows"] or 0) + Decimal(piece.num_rows)
        for name in names:
            wide = pa.decimal256(76, getattr(piece[name].type, "scale", 0))
            more = pc.sum(piece[name].cast(wide)).as_py()
            if more is not None:
                sums[name] = (sums[name] or 0) + more
    return sums


def _is_small(file: DataFile, config: Config, closed: bool) -> bool:
    """Whether a file should be part of a larger one."""
    origin = origin_of(file.path)
    assert origin
    is_large = file.rows * 2 > config.compact_rows or file.size * 2 > _BYTES_MAX
    return not is_large and (closed or not origin.is_merged)


def _commit(file: DataFile) -> tuple[int, int, str]:
    origin = origin_of(file.path)
    assert origin
    return origin.batch_seq, file.at_ns, file.path


def _merges(files: Sequence[DataFile], config: Config) -> Iterator[Merge]:
    """Cuts a row of files into merges of bounded size; a single one left over stays."""
    start, rows, size = 0, 0, 0
    for at, file in enumerate(files):
        rows, size = rows + file.rows, size + file.size
        full = rows > config.compact_rows or size > _BYTES_MAX or at - start == _FILES_MAX
        if full and at - start > 1:
            yield Merge(tuple(files[start:at]))
        if full:
            start, rows, size = at, file.rows, file.size
    if len(files) - start > 1:
        yield Merge(tuple(files[start:]))


def _plain(rows: pa.Table) -> pa.Table:
    """Coded text as text: equal rows may be coded differently."""
    fields = [
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in rows.schema
    ]
    return rows.cast(pa.schema(fields)).combine_chunks()


def _names(rows: pa.Table, kind: Kind) -> pa.Table:
    """What names each row, sorted."""
    names = rows.select(list(kind.identity))
    return names.sort_by([(name, "ascending") for name in kind.identity]).combine_chunks()
