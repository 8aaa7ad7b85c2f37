"""SQL over Parquet files that are larger than memory, and rows that are written and read piece by piece."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO
from uuid import uuid4

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import filesystem
from reconcilers.database import connect
from reconcilers.rules import literal

#: What a query may hold in memory before it goes on on disk; that many threads get along with it.
MEMORY = "200MB"
THREADS = 1

#: Rows of a piece.
PIECE = 5_000


@dataclass(frozen=True)
class Rows:
    """Rows in a file without a name, which is gone when nobody holds it any more."""

    file: IO[bytes] = field(repr=False)

    def __len__(self) -> int:
        return int(pq.read_metadata(self.file).num_rows)

    def pieces(self, size: int = PIECE) -> Iterator[pa.Table]:
        """The rows in tables of at most `size`; none is empty."""
        yield from _pieces(self.file, size)

    def head(self, number: int) -> pa.Table:
        """The first rows: `number`, or all there are."""
        empty = pq.read_schema(self.file).empty_table()
        return pa.concat_tables([empty, next(self.pieces(max(1, number)), empty)]).slice(0, number)


def kept(tables: Iterable[pa.Table], schema: pa.Schema) -> Rows:
    """Tables out of memory."""
    file = tempfile.TemporaryFile(prefix="recon-")  # noqa: SIM115  whoever holds the rows holds it
    _write(file, chain([schema.empty_table()], tables))
    return Rows(file)


@dataclass(frozen=True)
class Queries:
    """A DuckDB connection of bounded memory, and the directory where it goes on when that is not enough."""

    con: duckdb.DuckDBPyConnection
    scratch: str
    files: dict[str, list[str]] = field(default_factory=dict)

    def show(self, name: str, paths: Sequence[str], schema: pa.Schema) -> None:
        """Make the rows of Parquet files the view `name`, their order in its column `place`.

        Objects of a bucket are copied into scratch first. Where there is no file, `schema` says the columns.
        """
        self.con.execute(f"drop view if exists {name}")
        self.files[name] = []
        if not paths:
            empty = schema.append(pa.field("place", pa.int64())).empty_table()
            self.con.register(f"no_{name}", empty)
            self.con.execute(f"create temp view {name} as from no_{name}")
            return
        self.files[name] = [self._local(path) for path in paths]
        local = ", ".join(map(literal, self.files[name]))
        self.con.execute(
            f"create temp view {name} as "
            "select * exclude (file_row_number), ((file_index::bigint << 40) + file_row_number)::bigint as place "
            f"from read_parquet([{local}], file_row_number = true)"
        )

    def hold(self, name: str, tables: Iterable[pa.Table], schema: pa.Schema) -> None:
        """Make tables of `schema` the table `name` as they come."""
        batches = (batch for table in tables for batch in table.to_batches())
        self.con.register("incoming", pa.RecordBatchReader.from_batches(schema, batches))
        self.con.execute(f"create temp table {name} as from incoming")
        self.con.unregister("incoming")

    def pieces(self, sql: str, schema: pa.Schema) -> Iterator[pa.Table]:
        """What a query finds, in tables of at most `PIECE` rows of `schema`; none is empty.

        Until the last of it is taken, nothing else can be asked.
        """
        for batch in self.con.sql(sql).to_arrow_reader(PIECE):
            if len(batch):
                yield pa.Table.from_batches([batch]).select(schema.names).cast(schema)

    def at(self, name: str, places: str) -> Iterator[pa.Table]:
        """The rows of files that are shown as `name`, in their order, whose `place` a query finds.

        Whole rows are neither joined nor sorted, which takes more memory the more there are of them.
        """
        marks = self.pieces(
            f"select m.place is not null as is_meant from {name} left join ({places}) m using (place) order by place",
            pa.schema([("is_meant", pa.bool_())]),
        )
        rows = (table for path in self.files[name] for table in _pieces(path))
        for table, mark in zip(of_size(rows, PIECE), of_size(marks, PIECE), strict=True):
            yield table.filter(mark["is_meant"])

    def counts(self, sql: str) -> dict[str, int]:
        """What a query of two columns finds: a text, and a number."""
        return {str(text): int(number) for text, number in self.con.sql(sql).fetchall()}

    def number(self, sql: str) -> int:
        """The one number that a query finds."""
        ((found,),) = self.con.sql(sql).fetchall()
        return int(found)

    def _local(self, path: str) -> str:
        if not filesystem.is_remote(path):
            return path
        copy = str(Path(self.scratch) / f"{uuid4().hex}.parquet")
        filesystem.copy(path, copy)
        return copy


@contextmanager
def queries() -> Iterator[Queries]:
    """Queries that go to disk where memory is not enough."""
    with tempfile.TemporaryDirectory(prefix="recon-queries-") as scratch, connect(THREADS) as con:
        con.execute(f"set memory_limit = '{MEMORY}'")
        con.execute("set enable_external_file_cache = false")
        con.execute(f"set temp_directory = {literal(str(Path(scratch) / 'spill'))}")
        yield Queries(con, scratch)


def write_rows(path: str, tables: Iterable[pa.Table], told: Mapping[str, str] | None = None) -> int:
    """Write tables into a Parquet file as they come, a row group each; it appears whole or not at all.

    No table, no file. `told` is kept with the schema. Returns the number of rows.
    """
    pieces = iter(tables)
    first = next(pieces, None)
    if first is None:
        return 0
    with filesystem.create(path) as file:
        return _write(file, chain([first], pieces), told)


def _pieces(source: str | IO[bytes], size: int = PIECE) -> Iterator[pa.Table]:
    """The rows of a Parquet file in tables of at most `size`; none is empty."""
    with pq.ParquetFile(source) as file:
        for batch in file.iter_batches(size, use_threads=False):
            if len(batch):
                yield pa.Table.from_batches([batch])


def _write(file: IO[bytes], tables: Iterable[pa.Table], told: Mapping[str, str] | None = None) -> int:
    pieces = iter(tables)
    first = next(pieces).replace_schema_metadata(told)
    rows = 0
    with pq.ParquetWriter(file, first.schema, compression="zstd", write_statistics=False) as writer:
        for table in chain([first], pieces):
            writer.write_table(table.replace_schema_metadata(told), row_group_size=max(1, len(table)))
            rows += len(table)
    return rows


def of_size(tables: Iterable[pa.Table], size: int) -> Iterator[pa.Table]:
    """The same rows in tables of `size`; the last may have fewer."""
    held: list[pa.Table] = []
    rows = 0
    for table in tables:
        left = table
        while rows + len(left) >= size:
            cut = size - rows
            yield pa.concat_tables([*held, left.slice(0, cut)]).combine_chunks()
            left, held, rows = left.slice(cut), [], 0
        if len(left):
            held.append(left)
            rows += len(left)
    if rows:
        yield pa.concat_tables(held).combine_chunks()
