"""Keyed records and orders from their snapshots: one task a bucket, compared and written on its own."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines import filesystem
from pipelines.execution import Engine, call_each
from pipelines.reconcile import part_name, part_paths
from pipelines.snapshots import Snapshot
from reconcilers.buckets import bucket_of
from reconcilers.database import session
from reconcilers.errors import ConfigError, Unreachable
from reconcilers.findings import REMEMBERED, Bucket, Findings, total
from reconcilers.findings import compare_bucket as records_bucket
from reconcilers.keyed import BUCKET_KEY
from reconcilers.orders import Orders
from reconcilers.orders import compare_bucket as orders_bucket
from reconcilers.records import Comparison
from reconcilers.rules import key_family
from reconcilers.schemas import ORIGIN

#: What a run says about a bucket is written last, and says that the bucket is done.
FOUND = "comparisons"
DIFFERENCES = "differences"
#: Differences of earlier runs that are gone.
CLOSED = "closed_differences"

_OURS = (BUCKET_KEY, *(field.name for field in ORIGIN))


@dataclass(frozen=True)
class RecordsTask:
    """A pair of records with the snapshots that it is compared from.

    `previous` is the directory of the run before, whose differences give this run's their age.
    """

    comparison: Comparison | Orders
    a: Snapshot
    b: Snapshot
    previous: str | None = None

    @property
    def buckets(self) -> int:
        """How many tasks: a bucket of the coarser snapshot is a union of the finer one's."""
        return min(self.a.manifest.buckets, self.b.manifest.buckets)


def compare_snapshots(
    tasks: Iterable[RecordsTask],
    run: str,
    destination: str,
    engine: Engine = (),
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> dict[str, Findings]:
    """Compare pairs of records, and write `differences/` below `destination`.

    Returns:
        The findings of each pair, by its name.

    Raises:
        Unreachable: a snapshot cannot be read, or an output cannot be written.
        ConfigError: the columns of the snapshots do not fit the comparison.
    """
    tasks = list(tasks)
    for output in (DIFFERENCES, CLOSED, FOUND):
        filesystem.makedirs(filesystem.join(destination, output))
    for task in tasks:
        _check(task)
    calls = [(task, bucket, run, destination) for task in tasks for bucket in range(task.buckets)]
    done = filesystem.join(destination, FOUND)
    call_each(compare_part, calls, engine, lambda: progress(len(filesystem.list_files(done)), len(calls)))
    return {task.comparison.name: _found(task, destination) for task in tasks}


def compare_part(task: RecordsTask, bucket: int, run: str, destination: str) -> None:
    """Read one bucket of a pair, compare it, and write its differences and findings."""
    name = part_name(task.comparison.name, bucket, task.buckets)
    with session(threads=1) as con:
        con.register("records_a", _read(task.a, bucket, task.buckets))
        con.register("records_b", _read(task.b, bucket, task.buckets))
        compared = _compare(con, task.comparison, run, _previous(task, name))
    for output, table in ((DIFFERENCES, compared.differences), (CLOSED, compared.closed)):
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd", compression_level=1)
        filesystem.write_atomic(filesystem.join(destination, output, name), buffer.getbuffer())
    path = filesystem.join(destination, FOUND, name.removesuffix("parquet") + "json")
    filesystem.write_atomic(path, compared.found.to_json().encode())


def _compare(
    con: duckdb.DuckDBPyConnection, comparison: Comparison | Orders, run: str, previous: pa.Table | None
) -> Bucket:
    if isinstance(comparison, Orders):
        return orders_bucket(con, comparison, run, previous)
    return records_bucket(con, comparison, run, previous)


def _found(task: RecordsTask, destination: str) -> Findings:
    parts = []
    for bucket in range(task.buckets):
        name = part_name(task.comparison.name, bucket, task.buckets).removesuffix("parquet") + "json"
        with filesystem.open_read(filesystem.join(destination, FOUND, name)) as file:
            parts.append(Findings.from_json(file.read()))
    return total(parts)


def _read(snapshot: Snapshot, bucket: int, of: int) -> pa.Table:
    """The records of a bucket, without what is ours."""
    groups = list(range(bucket, snapshot.manifest.buckets, of))
    tables = []
    for part in snapshot.manifest.files:
        path = filesystem.join(snapshot.path, part.path)
        with filesystem.open_read(path) as file:
            try:
                tables.append(pq.ParquetFile(file).read_row_groups(groups, use_threads=False).drop_columns(list(_OURS)))
            except (pa.ArrowInvalid, OSError) as error:
                raise Unreachable(f"{path}: damaged: {' '.join(str(error).split())[:200]}") from error
    return pa.concat_tables(tables)


def rows_of(snapshot: Snapshot, column: str, key: str) -> pa.Table:
    """The records of a snapshot whose only key column, of text, is `key`."""
    of = snapshot.manifest.buckets
    rows = _read(snapshot, int(bucket_of(pa.array([key]), of)[0]), of)
    return rows.filter(pc.equal(rows[column], key))


def _previous(task: RecordsTask, name: str) -> pa.Table | None:
    """The differences of the run before that live in this bucket, and those that were gone by then.

    A run that had another number of buckets has its differences in other files: all of them are read.
    """
    if task.previous is None:
        return None
    tables = []
    for output in (DIFFERENCES, CLOSED):
        same = filesystem.join(task.previous, output, name)
        paths = [same] if filesystem.exists(same) else part_paths(task.previous, output, task.comparison.name)
        for path in paths:
            with filesystem.open_read(path) as file:
                tables.append(pq.read_table(file, columns=REMEMBERED.names))
    return pa.concat_tables(tables) if tables else None


def _check(task: RecordsTask) -> None:
    """Keys that are joined as equal live in one bucket: their columns must be of one family."""
    with session(threads=1) as con:
        kinds = []
        for snapshot in (task.a, task.b):
            con.register("sample", _read(snapshot, 0, snapshot.manifest.buckets).slice(0, 0))
            kinds.append({row[0]: row[1] for row in con.execute("describe from sample").fetchall()})
    for name in task.comparison.key:
        other = task.comparison.renamed.get(name, name)
        if name in kinds[0] and other in kinds[1] and key_family(kinds[0][name]) != key_family(kinds[1][other]):
            raise ConfigError(
                f"{task.comparison.name}: key {name!r} is {kinds[0][name]} on one side and {kinds[1][other]} on the "
                "other; state its type on both sides (types)"
            )
