"""The validation pipelines: the metrics of expectations bucket by bucket, and all rows that fail.

Workers compute aggregates with DuckDB and never import Great Expectations, which decides afterwards
(`expectations.judge`). A first pipeline measures every bucket. Values that are compared across buckets
are counted in it, spread over partitions by their hash; a second one answers partition by partition.
A third one reads again the buckets in which something failed, and lists those rows.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.parquet as pq

from expectations import counts, listing
from expectations.counts import Counting
from expectations.listing import KEY, ORIGIN, Failing, Samples
from expectations.measure import measure
from expectations.metrics import Metric, Values, failing, from_json, merge_all, to_json
from pipelines import filesystem
from pipelines.execution import Engine, call_each
from pipelines.snapshots import Snapshot
from pipelines.tables import Rows

#: Partitions of counted values; those of very many buckets would be very many small pieces.
MAX_PARTITIONS = 64

#: So many calls or fewer of what follows the measuring are made in process: a job of a service of their own
#: would take minutes to start, and they take seconds.
FEW = 16


@dataclass(frozen=True)
class Measurement:
    """Rows, and what is to be known about them.

    Args:
        name: of the files in which intermediate values are kept.
        rows: what is measured.
        metrics: what is asked.
        others: snapshots that metrics compare with, by the name that a suite has for them.
    """

    name: str
    rows: Rows
    metrics: tuple[Metric, ...]
    others: Mapping[str, Snapshot] = field(default_factory=dict)

    @property
    def countings(self) -> list[tuple[Counting, list[Metric]]]:
        """What is counted over all buckets."""
        return counts.countings(self.metrics, self.rows.schema, self.rows.bucketed_by)

    @property
    def partitions(self) -> int:
        """How many partitions counted values are spread over."""
        return min(self.rows.buckets, MAX_PARTITIONS)

    def read(self, bucket: int, more: Iterable[str] = ()) -> pa.Table:
        """The columns of a bucket that the metrics need, and `more` where there are such."""
        named = {*more, *(column for metric in self.metrics for column in metric.columns)}
        if any(metric.where or metric.name.startswith("lines.") for metric in self.metrics):
            named |= set(self.rows.schema.names)
        names = [name for name in self.rows.schema.names if name in named]
        return self.rows.read(bucket, names or self.rows.schema.names[:1])

    def read_others(self, bucket: int) -> dict[str, pa.Table]:
        """The same bucket of the snapshots that metrics compare with."""
        needed: dict[str, set[str]] = {}
        for metric in self.metrics:
            if metric.arguments.get("other") in self.others:
                needed.setdefault(metric.arguments["other"], set()).update(metric.columns)
        return {
            name: self.others[name].read_bucket(bucket, self.rows.buckets, sorted(columns))
            for name, columns in needed.items()
        }


def measure_rows(
    measurements: Iterable[Measurement], work: str, engine: Engine = (), counters: dict[str, int] | None = None
) -> list[Values]:
    """The values of all metrics of each measurement; `work` is a directory for what is in between.

    Raises:
        Unreachable: rows cannot be read.
    """
    asked = list(measurements)
    filesystem.makedirs(work)
    buckets = [(each, bucket, work) for each in asked for bucket in range(each.rows.buckets)]
    call_each(measure_bucket, buckets, engine, counters=counters)
    spread = [
        (each, number, partition, work)
        for each in asked
        for number, (counting, _) in enumerate(each.countings)
        for partition in range(1 if counting.whole else each.partitions)
    ]
    if spread:
        call_each(answer_partition, spread, near(len(spread), engine))
    return [_merged(each, work) for each in asked]


def near(calls: int, engine: Engine) -> Engine:
    """In process for few calls, else where the other pipelines run."""
    return engine if calls > FEW else ()


def measure_bucket(measurement: Measurement, bucket: int, work: str) -> dict[str, int]:
    """Measure one bucket and write its values, and the counts of what is compared across buckets.

    Returns:
        What to count.
    """
    rows = measurement.read(bucket)
    by = measurement.rows.bucketed_by
    values = measure(rows, measurement.metrics, measurement.read_others(bucket), by)
    asked = [counting for counting, _ in measurement.countings]
    for number, tables in enumerate(counts.count_values(rows, asked, measurement.partitions) if asked else ()):
        _write_groups(_path(work, measurement, f"counts-{number}", bucket, "parquet"), tables)
    filesystem.write_atomic(_path(work, measurement, "values", bucket), to_json(values).encode())
    return {"buckets": 1, "rows": len(rows)}


def answer_partition(measurement: Measurement, number: int, partition: int, work: str) -> None:
    """Answer the metrics of one counting for the values of one partition."""
    _, metrics = measurement.countings[number]
    groups = _read_group(measurement, number, partition, work)
    first = next(groups)

    def batches() -> Iterator[pa.RecordBatch]:
        yield from first.to_batches()
        for table in groups:
            yield from table.to_batches()

    reader = pa.RecordBatchReader.from_batches(first.schema, batches())
    values, repeated = counts.answer(reader, metrics, measurement.rows.schema)
    if repeated is not None and len(repeated):
        _write_groups(_path(work, measurement, f"repeated-{number}", partition, "parquet"), [repeated])
    filesystem.write_atomic(_path(work, measurement, f"answers-{number}", partition), to_json(values).encode())


def list_failing(
    measurements: Iterable[tuple[Measurement, list[Failing], str]], work: str, engine: Engine = ()
) -> list[Samples]:
    """Write all failing rows of each measurement, a part a bucket, below its directory.

    Returns:
        Of each measurement the first failing rows by `Metric.key`.
    """
    asked = list(measurements)
    calls = [
        (measurement, tuple(found), directory, bucket, work)
        for measurement, all_, directory in asked
        for bucket in range(measurement.rows.buckets)
        if (found := _failing_in(measurement, all_, bucket, work))
    ]
    if calls:
        call_each(list_bucket, calls, near(len(calls), engine))
    return [_samples(measurement, work) for measurement, _, _ in asked]


def list_bucket(measurement: Measurement, found: tuple[Failing, ...], directory: str, bucket: int, work: str) -> None:
    """Write the failing rows of one bucket, and the first of each metric."""
    rows = measurement.read(bucket, (*KEY, *ORIGIN))
    found = tuple(replace(each, repeated=_repeated(measurement, each.metric, rows, work)) for each in found)
    by = measurement.rows.bucketed_by
    listed, samples = listing.list_failing(rows, found, measurement.read_others(bucket), by)
    _write_groups(filesystem.join(directory, f"part-{bucket:05d}.parquet"), [listed])
    filesystem.write_atomic(_path(work, measurement, "samples", bucket), to_json(samples).encode())


def _failing_in(measurement: Measurement, found: list[Failing], bucket: int, work: str) -> list[Failing]:
    """Those of the failing metrics that have rows in this bucket, or may have."""
    if not found:
        return []
    values = _read(_path(work, measurement, "values", bucket))
    return [each for each in found if each.metric.key not in values or failing(each.metric, values[each.metric.key])]


def _repeated(measurement: Measurement, metric: Metric, rows: pa.Table, work: str) -> pa.Table | None:
    """Of the values that repeat anywhere, those that are in these rows."""
    for number, (_, metrics) in enumerate(measurement.countings):
        if any(metric.key == each.key for each in metrics):
            paths = (
                _path(work, measurement, f"repeated-{number}", n, "parquet") for n in range(measurement.partitions)
            )
            return listing.repeated_here(rows, metric, (_table(p) for p in paths if filesystem.exists(p)))
    return None


def _merged(measurement: Measurement, work: str) -> Values:
    paths = [_path(work, measurement, "values", bucket) for bucket in range(measurement.rows.buckets)]
    values = merge_all(map(_read, paths), measurement.metrics)
    for number, (counting, metrics) in enumerate(measurement.countings):
        of = 1 if counting.whole else measurement.partitions
        values |= merge_all((_read(_path(work, measurement, f"answers-{number}", n)) for n in range(of)), metrics)
    return values


def _samples(measurement: Measurement, work: str) -> Samples:
    merged: Samples = {}
    for bucket in range(measurement.rows.buckets):
        path = _path(work, measurement, "samples", bucket)
        if filesystem.exists(path):
            merged = listing.merge_samples(merged, _read(path))
    return merged


def _read_group(measurement: Measurement, number: int, partition: int, work: str) -> Iterator[pa.Table]:
    for bucket in range(measurement.rows.buckets):
        with filesystem.open_read(_path(work, measurement, f"counts-{number}", bucket, "parquet")) as file:
            yield pq.ParquetFile(file).read_row_group(partition, use_threads=False)


def _write_groups(path: str, tables: list[pa.Table]) -> None:
    """A Parquet file with a row group for each table, empty ones too."""
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, tables[0].schema, compression="zstd", compression_level=1) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=max(1, len(table)))
    filesystem.write_atomic(path, buffer.getbuffer())


def _table(path: str) -> pa.Table:
    with filesystem.open_read(path) as file:
        return pq.read_table(file, use_threads=False)


def _read(path: str) -> Values:
    with filesystem.open_read(path) as file:
        return from_json(file.read())


def _path(work: str, measurement: Measurement, what: str, number: int, suffix: str = "json") -> str:
    return filesystem.join(work, f"{measurement.name}.{what}.{number:05d}.{suffix}")
