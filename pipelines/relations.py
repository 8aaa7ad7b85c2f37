"""Files and URLs as relations that DuckDB reads again and again: for comparisons without a configuration.

Local Parquet files are read where they are. Anything else (CSV, JSON Lines, objects, databases) goes
once through its connector into Parquet files in a scratch directory: text stays text, numbers of a
database stay what they are, and a query is asked once.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import filesystem
from pipelines.connectors import Batch, Context, Held, files, open_source
from reconcilers.errors import ConfigError, Unreachable
from reconcilers.rules import literal
from reconcilers.schemas import ORIGIN

#: What may separate the columns of a CSV file.
DELIMITERS = (",", ";", "\t", "|")


@dataclass(frozen=True)
class Relation:
    """What stands behind `from`, what it is made of, and how many rows of it could not be read.

    `delimiter` is what was found to separate the columns of CSV.
    """

    sql: str
    sources: tuple[str, ...]
    rejected: int = 0
    first_reject: str | None = None
    delimiter: str | None = None


def relation(place: str, base: str, scratch: Path) -> Relation:
    """The relation of a path, a glob or a URL.

    A URL names a table, or a query, behind a `#`: `postgresql://user@host/shop#public.prices`,
    `bigquery://project?location=EU#shop.prices`.

    Raises:
        ConfigError: nothing says how to read it.
        Unreachable: it cannot be read.
    """
    if is_database(place):
        return _spooled(*database(place), base, scratch)
    pattern = place if filesystem.is_remote(place) else filesystem.absolute(base, place)
    found = filesystem.glob(pattern)
    if not found:
        raise Unreachable(f"{place}: no such file")
    kinds = {_kind(path) for path in found}
    if len(kinds) > 1:
        raise ConfigError(f"{place}: files of several kinds: {', '.join(sorted(kinds))}")
    if kinds == {"parquet"} and not filesystem.is_remote(pattern):
        return Relation(_parquet(found), tuple(found))
    options: dict[str, Any] = {"path": tuple(found), "as_of": {"from": "mtime"}}
    if kinds == {"csv"}:
        options["delimiter"] = _delimiter(found[0])
    return _spooled("files", options, base, scratch)


def _kind(path: str) -> str:
    name = path.rsplit("/", 1)[-1].lower().split(".")
    extension = name[-2] if name[-1] in files.COMPRESSIONS and len(name) > 2 else name[-1]
    if extension not in files.FORMATS:
        raise ConfigError(f"{path}: not a name of CSV, JSON Lines or Parquet, such as prices.csv or prices.jsonl.gz")
    return files.FORMATS[extension]


def _parquet(paths: list[str]) -> str:
    for path in paths:
        try:
            pq.read_metadata(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise Unreachable(f"{path}: not a whole Parquet file: {' '.join(str(error).split())[:200]}") from error
    return f"read_parquet([{', '.join(map(literal, paths))}], union_by_name = {len(paths) > 1})"


def _delimiter(path: str) -> str:
    """What separates the names in the first line of a CSV file: what makes most of them."""
    with filesystem.open_unpacked(path, files.COMPRESSIONS.get(path.rsplit(".", 1)[-1].lower())) as stream:
        try:
            head = stream.read(1 << 16).decode("utf-8", "ignore").removeprefix("\ufeff")
        except (OSError, EOFError) as error:
            raise Unreachable(f"{path}: cut off or damaged: {' '.join(str(error).split())[:200]}") from error
    lines = head.splitlines()[:1]
    return max(DELIMITERS, key=lambda each: len(next(csv.reader(lines, delimiter=each), [])))


def is_database(place: str) -> bool:
    """Whether it is the URL of a database, not a file or an object."""
    return "://" in place and not place.startswith("gs://")


def database(place: str) -> tuple[str, dict[str, Any]]:
    """The connector of a database URL, and its options; those of BigQuery are in the URL's own query.

    Raises:
        ConfigError: no table is named.
    """
    url, sign, what = place.partition("#")
    scheme = url.partition("://")[0]
    if not sign or not what:
        raise ConfigError(f"{scheme}://…: name a table or a query behind a #, such as {scheme}://…#prices")
    asked = {"query": what} if re.search(r"\s", what) else {"table": what}
    if scheme == "bigquery":
        parts = urlsplit(url)
        return scheme, {"project": parts.netloc, **dict(parse_qsl(parts.query)), **asked}
    return "sql", {"url": url, **asked}


def _spooled(connector: str, options: dict[str, Any], base: str, scratch: Path) -> Relation:
    """Read a source once into Parquet files; those of several shapes are read by the names of their columns."""
    now = datetime.now(UTC)
    scratch.mkdir(parents=True, exist_ok=True)
    counts = _Rejects()
    try:
        with Held() as held:
            source = open_source(connector, options, Context(base, "UTC", "records", held))
            plan = source.plan(now)
            batches = (batch for split in plan.splits for batch in source.read(split))
            written = _write(counts.watched(batches), scratch)
    except ValueError as error:
        raise ConfigError(_told(error)) from error
    if not written:
        raise Unreachable(f"{', '.join(plan.sources)}: empty")
    return Relation(_parquet(written), plan.sources, counts.rejected, counts.first, options.get("delimiter"))


def _told(error: ValueError) -> str:
    """What a connector's model thinks of its options, without the values, which may be secret."""
    lines = str(error).splitlines()
    return " ".join((lines[2] if len(lines) > 2 else lines[0]).split())


class _Rejects:
    """Counts the rows that could not be read, and remembers the first."""

    def __init__(self) -> None:
        self.rejected = 0
        self.first: str | None = None

    def watched(self, batches: Iterator[Batch]) -> Iterator[pa.Table]:
        for batch in batches:
            if batch.rejects is not None and len(batch.rejects):
                self.rejected += len(batch.rejects)
                (row,) = batch.rejects.slice(0, 1).to_pylist()
                self.first = self.first or f"{row['source_file']}:{row['source_line']}: {row['reason']}"
            yield batch.rows


def _write(tables: Iterator[pa.Table], scratch: Path) -> list[str]:
    """One file for each run of batches of one shape; batches without rows only tell the columns."""
    written: list[str] = []
    writer: pq.ParquetWriter | None = None
    for table in tables:
        plain = table.drop_columns([field.name for field in ORIGIN if field.name in table.column_names])
        plain = pa.table({name: _stored(plain.column(name)) for name in plain.column_names})
        if writer is None or not writer.schema.equals(plain.schema):
            if writer is not None:
                writer.close()
            written.append(str(scratch / f"part-{len(written):05d}.parquet"))
            writer = pq.ParquetWriter(written[-1], plain.schema, compression="snappy")
        writer.write_table(plain)
    if writer is not None:
        writer.close()
    return written


def _stored(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column that is null throughout has no type of its own."""
    return column.cast(pa.string()) if pa.types.is_null(column.type) else column
