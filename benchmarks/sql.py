"""`python -m benchmarks.sql`: the connector `sql` beside pandas.read_sql, COPY, and a bare batched update.

Needs a PostgreSQL that may be filled: `--url postgresql://user@host/database`, or one on this machine that is
started for it, as the tests do.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import sqlalchemy as sa

from benchmarks.measure import Measured, measured
from pipelines.capture import CaptureRequest
from pipelines.capture import capture as taken
from pipelines.connectors import Context, open_sink, open_source
from pipelines.connectors.sql_sink import Sink
from reconcilers.corrections import Correction, Mode, Status
from reconcilers.mapping import Mapping

QUERY = "select item_no, whse, qty_oh, changed_at from item_stock"
FILL = """
drop table if exists item_stock;
create table item_stock as
select 'SKU-' || n % 1000000 as item_no, 'W' || n / 1000000 as whse,
    (n::bigint * 7919 % 100000)::numeric(14, 3) / 8 as qty_oh,
    timestamptz '2026-01-01Z' + n * interval '1 second' as changed_at
from generate_series(1, {rows}) n;
create unique index on item_stock (item_no, whse);
vacuum analyze item_stock;
"""


def capture(url: str, directory: str, splits: int) -> int:
    """A snapshot, bucketed and written: everything that `recon snapshot` does."""
    options: dict[str, Any] = {"url": url, "table": "item_stock"}
    if splits > 1:
        options["partition"] = {"column": "ctid", "splits": splits}
    mapping = Mapping("stock", columns={"sku": "item_no", "location": "whse", "quantity": "qty_oh"})
    request = CaptureRequest("erp", "stock", "sql", options, Context("/", "UTC", "stock"), mapping)
    (snapshot,) = taken([request], directory, datetime.now(UTC))
    return snapshot.manifest.rows


def read(url: str) -> int:
    """The batches of the source alone, to nowhere."""
    source = open_source("sql", {"url": url, "query": QUERY}, Context("/", "UTC", "stock"))
    return sum(len(batch.rows) for split in source.plan(datetime.now(UTC)).splits for batch in source.read(split))


def pandas_read(url: str) -> int:
    """The plain alternative."""
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    return len(pd.read_sql(QUERY, engine))


def copy(url: str, path: str) -> int:
    """The ceiling: what the server itself writes, to a file."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor, Path(path).open("wb") as file:
        with cursor.copy(f"copy ({QUERY}) to stdout with (format binary)") as rows:
            for data in rows:
                file.write(data)
        return cursor.rowcount


def _keys(rows: int) -> list[tuple[str, str]]:
    return [(f"SKU-{n % 1000000}", f"W{n // 1000000}") for n in range(1, rows + 1)]


def _batches(rows: int) -> Iterator[list[Correction]]:
    """Deltas of one unit, with keys of their own each time; a batch at a time, as the publisher reads them."""
    now, keys = datetime.now(UTC), _keys(rows)
    for start in range(0, rows, Sink.batch_size):
        yield [
            Correction(
                "c", "r", "shop~erp", "shop", sku, location, "on_hand", Mode.DELTA, Decimal(0), None, Decimal(1),
                "UNEXPLAINED", "r", f"{now.timestamp()}-{sku}-{location}", now,
            )
            for sku, location in keys[start : start + Sink.batch_size]
        ]  # fmt: skip


def correct(url: str, rows: int) -> int:
    """Corrections through the sink: each row locked, compared, read back, and its key noted."""
    columns = {"sku": "item_no", "location": "whse", "quantity": "qty_oh"}
    sink = open_sink("sql", {"url": url, "table": "item_stock", "columns": columns}, Context("/", "UTC", "stock"))
    return sum(receipt.status is Status.APPLIED for batch in _batches(rows) for receipt in sink.send(batch))


def bare_update(url: str, rows: int, note: bool = False) -> int:
    """The same updates in batches of the same size, and nothing else; with `note`, each key goes into a table."""
    update = "update item_stock set qty_oh = qty_oh + %s where item_no = %s and whse = %s"
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("create table if not exists noted (key text primary key)")
        for batch in _batches(rows):
            cursor.executemany(update, [(each.delta, each.sku, each.location) for each in batch])
            if note:
                cursor.executemany("insert into noted values (%s)", [(each.idempotency_key,) for each in batch])
            connection.commit()
    return rows


@contextmanager
def server(url: str | None) -> Iterator[str]:
    """The URL that is given, or that of a server of its own."""
    if url is not None:
        yield url
        return
    sys.path.append(str(Path(__file__).parent.parent / "tests" / "servers"))
    import databases

    with databases.postgresql() as started:
        yield started.url


def main() -> None:
    """Fill a table, run each contender in a process of its own, and print ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--corrections", type=int, default=20_000)
    parser.add_argument("--repeat", type=int, default=3, help="the best of so many runs counts")
    parser.add_argument("--url", default=None)
    given = parser.parse_args()

    with server(given.url) as url, tempfile.TemporaryDirectory(prefix="recon-bench-") as scratch:
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in FILL.format(rows=given.rows).split(";"):
                connection.execute(statement.encode())
        print(f"{given.rows:,} rows of PostgreSQL; rows a second, and times the seconds of a COPY")
        ceiling = measured(copy, url, f"{scratch}/copy", repeat=given.repeat)
        show("COPY to a file", ceiling, ceiling)
        show("pandas.read_sql", measured(pandas_read, url, repeat=given.repeat), ceiling)
        show("source, to nowhere", measured(read, url, repeat=given.repeat), ceiling)
        for splits in (1, 2):
            show(f"capture, {splits} split(s)", measured(capture, url, scratch, splits, repeat=given.repeat), ceiling)
        print(f"{given.corrections:,} corrections; times the seconds of bare updates")
        bare = measured(bare_update, url, given.corrections, repeat=given.repeat)
        show("bare updates", bare, bare)
        show("and keys noted", measured(bare_update, url, given.corrections, True, repeat=given.repeat), bare)
        show("sink", measured(correct, url, given.corrections, repeat=given.repeat), bare)


def show(name: str, run: Measured, baseline: Measured) -> None:
    """One line: rows a second, times the baseline, and the peak memory of its process."""
    speed = run.result / run.seconds
    print(
        f"{name:<20} {speed:12,.0f} /s {run.seconds / baseline.seconds:6.2f} x {run.peak_mib:7.0f} MiB peak", flush=True
    )


if __name__ == "__main__":
    main()
