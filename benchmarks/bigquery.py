"""`python -m benchmarks.bigquery`: the connector `bigquery` beside the client's own frames, and a bare Storage read.

On the emulator of the tests, which is the same for all: only ratios mean something.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import Measured, measured
from pipelines.capture import CaptureRequest
from pipelines.capture import capture as taken
from pipelines.connectors import Context, open_source
from pipelines.connectors.bigquery_client import Place, Warehouse
from reconcilers.mapping import Mapping

FILL = """
create table shop.stock as
select concat('SKU-', a, '-', b) as sku, concat('W', mod(b, 3)) as location, cast(a as numeric) / 8 as quantity,
    timestamp_add(timestamp '2026-01-01', interval b second) as changed_at
from unnest(generate_array(1, {thousands})) a, unnest(generate_array(1, 1000)) b
"""

CONTEXT = Context("/", "UTC", "stock")


def storage_read(endpoint: dict[str, str]) -> int:
    """The ceiling: every message of one stream, to nowhere."""
    warehouse = Warehouse(Place(**endpoint))
    table = f"projects/{endpoint['project']}/datasets/shop/tables/stock"
    session = warehouse.reader.create_read_session(
        parent=f"projects/{endpoint['project']}",
        read_session={"table": table, "data_format": "ARROW"},
        max_stream_count=1,
    )
    (stream,) = session.streams
    return sum(message.row_count for message in warehouse.reader.read_rows(stream.name))


def to_dataframe(endpoint: dict[str, str]) -> int:
    """The plain alternative, by the same Storage API: what the client's `to_dataframe` does."""
    warehouse = Warehouse(Place(**endpoint))
    rows = warehouse.client.list_rows(warehouse.client.get_table("shop.stock"))
    return len(rows.to_arrow(bqstorage_client=warehouse.reader).to_pandas())


def read(endpoint: dict[str, str]) -> int:
    """The batches of the source alone, to nowhere."""
    source = open_source("bigquery", {**endpoint, "table": "shop.stock", "streams": 1}, CONTEXT)
    return sum(len(batch.rows) for split in source.plan(datetime.now(UTC)).splits for batch in source.read(split))


def capture(endpoint: dict[str, str], directory: str, streams: int) -> int:
    """A snapshot, bucketed and written: everything that `recon snapshot` does."""
    options: dict[str, Any] = {**endpoint, "table": "shop.stock", "streams": streams}
    request = CaptureRequest("erp", "stock", "bigquery", options, CONTEXT, Mapping("stock"))
    (snapshot,) = taken([request], directory, datetime.now(UTC))
    return snapshot.manifest.rows


@contextmanager
def filled(rows: int) -> Iterator[dict[str, str]]:
    """An emulator with a table of so many rows, and the options that lead there."""
    sys.path.append(str(Path(__file__).parent.parent / "tests" / "servers"))
    import bigquery

    with bigquery.emulator() as emulator:
        emulator.client.create_dataset("shop", timeout=30)
        emulator.run(FILL.format(thousands=max(1, rows // 1000)))
        yield emulator.endpoint


def main() -> None:
    """Run each contender in a process of its own, and print ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3, help="the best of so many runs counts")
    given = parser.parse_args()
    with filled(given.rows) as endpoint, tempfile.TemporaryDirectory(prefix="recon-bench-") as scratch:
        print(f"{given.rows:,} rows of an emulator of BigQuery; rows a second, and times the seconds of to_dataframe")
        plain = measured(to_dataframe, endpoint, repeat=given.repeat)
        show("to_dataframe", plain, plain)
        show("Storage read, to nowhere", measured(storage_read, endpoint, repeat=given.repeat), plain)
        show("source, to nowhere", measured(read, endpoint, repeat=given.repeat), plain)
        for streams in (1, 4):
            run = measured(capture, endpoint, scratch, streams, repeat=given.repeat)
            show(f"capture, {streams} stream(s)", run, plain)


def show(name: str, run: Measured, baseline: Measured) -> None:
    """One line: rows a second, times the baseline, and the peak memory of its process."""
    speed, ratio = run.result / run.seconds, run.seconds / baseline.seconds
    print(f"{name:<25} {speed:12,.0f} /s {ratio:6.2f} x {run.peak_mib:7.0f} MiB peak", flush=True)


if __name__ == "__main__":
    main()
