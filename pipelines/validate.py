"""The validation pipeline: the metrics of expectations, bucket by bucket, merged exactly.

Workers compute aggregates with DuckDB and never import Great Expectations, which decides afterwards
(`expectations.judge`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from expectations.metrics import Metric, Values, from_json, measure, merge_all, to_json
from pipelines import filesystem
from pipelines.execution import Engine, call_each
from pipelines.snapshots import Snapshot


@dataclass(frozen=True)
class Measurement:
    """A snapshot and what is to be known about its rows."""

    snapshot: Snapshot
    metrics: tuple[Metric, ...]

    @property
    def name(self) -> str:
        """The dataset, as a file name."""
        return f"{self.snapshot.manifest.system}.{self.snapshot.manifest.dataset}"

    @property
    def columns(self) -> list[str]:
        """The columns that have to be read."""
        named = {column for metric in self.metrics for column in metric.columns}
        return [name for name in self.snapshot.schema.names if name in named | {"sku", "source_line"}]


def measure_snapshots(measurements: Iterable[Measurement], destination: str, engine: Engine = ()) -> list[Values]:
    """The values of all metrics of each snapshot; `destination` keeps those of each bucket.

    Raises:
        Unreachable: a snapshot cannot be read.
    """
    asked = list(measurements)
    filesystem.makedirs(destination)
    calls = [(each, bucket, destination) for each in asked for bucket in range(each.snapshot.manifest.buckets)]
    call_each(measure_bucket, calls, engine)
    return [_merged(each, destination) for each in asked]


def measure_bucket(measurement: Measurement, bucket: int, destination: str) -> None:
    """Measure one bucket of a snapshot and write its values."""
    of = measurement.snapshot.manifest.buckets
    rows = measurement.snapshot.read_bucket(bucket, of, measurement.columns)
    values = measure(rows, measurement.metrics)
    filesystem.write_atomic(_path(measurement, bucket, destination), to_json(values).encode())


def _merged(measurement: Measurement, destination: str) -> Values:
    buckets = range(measurement.snapshot.manifest.buckets)
    return merge_all((_read(_path(measurement, b, destination)) for b in buckets), measurement.metrics)


def _read(path: str) -> Values:
    with filesystem.open_read(path) as file:
        return from_json(file.read())


def _path(measurement: Measurement, bucket: int, destination: str) -> str:
    return filesystem.join(destination, f"{measurement.name}.bucket-{bucket:05d}.json")
