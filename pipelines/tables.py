"""Rows that can be validated: a snapshot, the outputs of a run, or a file that somebody has."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from pipelines import filesystem
from pipelines.snapshots import SKU, Snapshot
from reconcilers.errors import ConfigError, Unreachable
from reconcilers.keyed import BUCKET_KEY

#: Rows of a part of a file that is validated on its own.
PART_ROWS = 500_000


class Rows(Protocol):
    """Rows in parts that fit into memory."""

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        ...

    @property
    def buckets(self) -> int:
        """How many parts."""
        ...

    @property
    def bucketed_by(self) -> str | None:
        """The column all of whose equal values are in one part; None if there is none."""
        ...

    def read(self, bucket: int, columns: list[str]) -> pa.Table:
        """One part. Raises `Unreachable` where it cannot be read."""
        ...


@dataclass(frozen=True)
class SnapshotRows:
    """The rows of a snapshot, bucket by bucket."""

    snapshot: Snapshot

    @property
    def schema(self) -> pa.Schema:
        """The columns of the dataset, without what says which bucket a record is in."""
        schema = self.snapshot.schema
        ours = schema.get_field_index(BUCKET_KEY)
        return schema if ours < 0 else schema.remove(ours)

    @property
    def buckets(self) -> int:
        """Those of the snapshot."""
        return self.snapshot.manifest.buckets

    @property
    def bucketed_by(self) -> str | None:
        """Stock and events are bucketed by SKU, records by all of their key."""
        by = self.snapshot.manifest.bucketed_by
        return by if by == SKU else None

    def read(self, bucket: int, columns: list[str]) -> pa.Table:
        """One bucket."""
        return self.snapshot.read_bucket(bucket, self.buckets, columns)


@dataclass(frozen=True)
class PartRows:
    """Rows in Parquet files, each of which fits into memory."""

    paths: tuple[str, ...]
    schema: pa.Schema
    bucketed_by: str | None = None

    @property
    def buckets(self) -> int:
        """One a file; none is one without rows."""
        return max(1, len(self.paths))

    def read(self, bucket: int, columns: list[str]) -> pa.Table:
        """One file."""
        if not self.paths:
            return self.schema.empty_table().select(columns)
        with filesystem.open_read(self.paths[bucket]) as file:
            return pq.read_table(file, columns=columns, use_threads=False)


def in_parts(path: str, directory: str) -> PartRows:
    """A CSV or Parquet file as parts below `directory`, each row with its file and line.

    The line of a CSV file counts its header; of a Parquet file, it is the number of the row from one.

    Raises:
        Unreachable: the file cannot be read.
        ConfigError: it is neither CSV nor Parquet.
    """
    name = Path(path).name
    first = 1 if name.endswith(".parquet") else 2
    paths, schema = [], pa.schema([])
    try:
        for number, batch in enumerate(_batches(path)):
            lines = pa.array(range(first, first + len(batch)), pa.int64())
            first += len(batch)
            table = pa.Table.from_batches([batch])
            if "source_line" not in table.column_names:
                table = table.append_column("source_file", pa.array([name] * len(table), pa.string()))
                table = table.append_column("source_line", lines)
            schema = table.schema
            if len(table):
                paths.append(filesystem.join(directory, f"part-{number:05d}.parquet"))
                buffer = io.BytesIO()
                pq.write_table(table, buffer, compression="zstd")
                filesystem.write_atomic(paths[-1], buffer.getbuffer())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError) as error:
        raise Unreachable(f"{path}: cannot be read: {' '.join(str(error).split())[:200]}") from error
    return PartRows(tuple(paths), schema)


def _batches(path: str) -> Iterator[pa.RecordBatch]:
    """The file in batches; one that is empty has one without rows, so that its columns are known."""
    with filesystem.open_read(path) as file:
        if path.endswith(".parquet"):
            whole = pq.ParquetFile(file)
            empty = True
            for batch in whole.iter_batches(batch_size=PART_ROWS):
                empty = False
                yield batch
            if empty:
                yield pa.RecordBatch.from_pylist([], schema=whole.schema_arrow)
        elif path.endswith((".csv", ".tsv", ".txt")):
            parse = pyarrow.csv.ParseOptions(delimiter="\t" if path.endswith(".tsv") else ",")
            nulls = pyarrow.csv.ConvertOptions(strings_can_be_null=True, null_values=[""])
            blocks = pyarrow.csv.ReadOptions(block_size=32 << 20)
            yield from pyarrow.csv.open_csv(file, blocks, parse, nulls)
        else:
            raise ConfigError(f"{path}: neither .csv, .tsv nor .parquet")
