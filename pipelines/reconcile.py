"""The reconcile pipeline: one task a bucket, read, reconciled and written on its own.

Snapshots are bucketed alike, so nothing is shuffled: a task reads its row groups of every snapshot
involved, calls the kernel, and writes one part of each output. A task can be repeated without any
effect on the others; the part of `tally/` is written last and says that the task is done.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines import filesystem
from pipelines.execution import Engine, call_each
from pipelines.kits import with_kits
from pipelines.snapshots import Snapshot
from reconcilers.across import with_causes
from reconcilers.buckets import bucket_of
from reconcilers.kits import Kits
from reconcilers.pairs import Pair
from reconcilers.schemas import (
    breaks_schema,
    closed_schema,
    corrections_schema,
    events_schema,
    in_flight_schema,
    levels_schema,
    tally_schema,
)
from reconcilers.stock import Inputs, Reconciled, reconcile_bucket

SCHEMAS = {
    "levels": levels_schema,
    "breaks": breaks_schema,
    "closed": closed_schema,
    "in_flight": in_flight_schema,
    "corrections": corrections_schema,
    "tally": tally_schema,
}
OUTPUTS = tuple(SCHEMAS)

#: Columns that repeat values, but not all the same one.
_FEW_VALUES = ("location", "quantity_a", "quantity_b", "atp", "publish")

_STOCK = ["sku", "location", "quantity", "as_of", "as_of_hi", "price"]
_EVENTS = [name for name in events_schema().names if not name.startswith("source_")]


@dataclass(frozen=True)
class PairTask:
    """A pair with the snapshots that it is reconciled from.

    `previous` is the directory of the run before, whose breaks give this run's their age. `kits` are those
    that the target sells; `made` is the stock that their parts make, which the authority does not list.
    """

    pair: Pair
    stock_a: Snapshot
    stock_b: Snapshot
    events_a: tuple[Snapshot, ...] = ()
    events_b: tuple[Snapshot, ...] = ()
    previous: str | None = None
    kits: Kits | None = None
    made: pa.Table | None = None

    @property
    def buckets(self) -> int:
        """How many tasks: a bucket of the coarser snapshot is a union of the finer one's."""
        return min(self.stock_a.manifest.buckets, self.stock_b.manifest.buckets)

    @property
    def feeds(self) -> tuple[Snapshot, ...]:
        """Every snapshot of events."""
        return (*self.events_a, *self.events_b)


def reconcile_snapshots(
    tasks: Iterable[PairTask],
    run: str,
    destination: str,
    engine: Engine = (),
    progress: Callable[[int, int], None] = lambda done, of: None,
    counters: dict[str, int] | None = None,
) -> pa.Table:
    """Reconcile pairs from their snapshots and write every output below `destination`.

    While it runs, `progress` is told how many buckets are done, of how many. Buckets that an attempt
    before has finished are left as they are.

    Returns:
        The tallies of all buckets, with a column `pair`.

    Raises:
        Unreachable: a snapshot cannot be read, or an output cannot be written.
    """
    tasks = [with_kits(task) for task in tasks]
    for output in OUTPUTS:
        filesystem.makedirs(filesystem.join(destination, output))
    calls = [(task, bucket, run, destination) for task in tasks for bucket in range(task.buckets)]
    tallies = filesystem.join(destination, "tally")
    done = {path.rsplit("/", 1)[-1] for path in filesystem.list_files(tallies)}
    left = [call for call in calls if part_name(call[0].pair.name, call[1], call[0].buckets) not in done]
    watch = lambda: progress(len(filesystem.list_files(tallies)), len(calls))  # noqa: E731
    call_each(reconcile_part, left, engine, watch, counters)
    return read_tallies(destination)


def reconcile_part(task: PairTask, bucket: int, run: str, destination: str) -> dict[str, int]:
    """Read one bucket of a pair, reconcile it, and write its part of each output; returns what to count."""
    of = task.buckets
    inputs = Inputs(
        stock_a=task.stock_a.read_bucket(bucket, of, _STOCK),
        stock_b=_with_made(task.stock_b.read_bucket(bucket, of, _STOCK), task.made, bucket, of),
        events_a=_events(task.events_a, bucket, of, task.pair),
        events_b=_events(task.events_b, bucket, of, task.pair),
    )
    result = reconcile_bucket(inputs, task.pair, run, _previous(task, bucket, of), threads=1)
    write_part(result, task.pair, destination, part_name(task.pair.name, bucket, of))
    return {
        "buckets": 1,
        "keys": len(result.levels),
        "breaks": len(result.breaks),
        "documents_in_flight": len(result.in_flight),
        "corrections": len(result.corrections),
    }


def part_name(pair: str, bucket: int, of: int) -> str:
    """The file of one bucket of a pair, the same in every output."""
    return f"{pair}.part-{bucket:05d}-of-{of:05d}.parquet"


def write_part(result: Reconciled, pair: Pair, destination: str, name: str) -> None:
    """Write the outputs of one bucket, the tally last."""
    for output in OUTPUTS:
        _write(getattr(result, output), filesystem.join(destination, output, name))


def add_causes(destination: str, pair: str, found: pa.Table) -> None:
    """Write what `causes_across` found into the breaks of a pair that it is about."""
    for path in part_paths(destination, "breaks", pair) if len(found) else ():
        breaks = _read(path, None)
        if pc.any(pc.is_in(breaks["sku"], found["sku"].combine_chunks())).as_py():
            _write(with_causes(breaks, found), path)


def read_parts(
    destination: str, output: str, pair: str | None = None, columns: list[str] | None = None
) -> Iterator[pa.Table]:
    """The parts of one output of a run one by one, of all pairs or of one."""
    for path in part_paths(destination, output, pair):
        yield _read(path, columns)


def part_paths(destination: str, output: str, pair: str | None = None) -> list[str]:
    """The files of one output of a run in their order, of all pairs or of one."""
    files = filesystem.list_files(filesystem.join(destination, output))
    prefix = "" if pair is None else f"{pair}.part-"
    return sorted(path for path in files if path.endswith(".parquet") and path.rsplit("/", 1)[-1].startswith(prefix))


def read_output(destination: str, output: str, pair: str | None = None, columns: list[str] | None = None) -> pa.Table:
    """All parts of one output of a run as one table; empty where there is none."""
    empty = SCHEMAS[output]().empty_table()
    parts = list(read_parts(destination, output, pair, columns))
    return pa.concat_tables(parts) if parts else empty.select(columns or empty.column_names)


def read_tallies(destination: str) -> pa.Table:
    """The counts of every finished bucket of a run."""
    return read_output(destination, "tally")


def _with_made(stock: pa.Table, made: pa.Table | None, bucket: int, of: int) -> pa.Table:
    """The authority's stock, and that of the kits of this bucket."""
    if made is None or not len(made):
        return stock
    here = made.filter(pa.array(bucket_of(made["sku"], of) == bucket))
    return pa.concat_tables([stock, here.select(stock.column_names).cast(stock.schema)])


def _events(snapshots: tuple[Snapshot, ...], bucket: int, of: int, pair: Pair) -> pa.Table:
    tables = [snapshot.read_bucket(bucket, of, _EVENTS) for snapshot in snapshots]
    return pa.concat_tables(tables) if tables else events_schema(pair.scale).empty_table()


def _previous(task: PairTask, bucket: int, of: int) -> pa.Table | None:
    """The breaks of the run before that live in this bucket, open and closed."""
    if task.previous is None:
        return None
    names = closed_schema().names
    parts = []
    for output in ("breaks", "closed"):
        directory = filesystem.join(task.previous, output)
        same = filesystem.join(directory, part_name(task.pair.name, bucket, of))
        if filesystem.exists(same):
            parts.append(_read(same, names))
        else:
            table = read_output(task.previous, output, task.pair.name, names)
            inside = bucket_of(table.column("sku"), of) == bucket if len(table) else []
            parts.append(table.filter(pa.array(inside, pa.bool_())))
    return pa.concat_tables(parts)


def _write(table: pa.Table, path: str) -> None:
    buffer = io.BytesIO()
    # what has few values is written through a dictionary; zstd alone is faster for what is all but constant.
    # Statistics of decimals cost more than anything that reads these files would gain.
    pq.write_table(
        table,
        buffer,
        compression="zstd",
        compression_level=1,
        write_statistics=["sku"],
        use_dictionary=[name for name in _FEW_VALUES if name in table.column_names],
    )
    filesystem.write_atomic(path, buffer.getbuffer())


def _read(path: str, columns: list[str] | None) -> pa.Table:
    with filesystem.open_read(path) as file:
        return pq.read_table(file, columns=columns)
