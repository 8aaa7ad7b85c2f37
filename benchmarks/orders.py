"""Orders, beside the raw DuckDB statement: `python -m benchmarks.orders --lines 300000`.

One bucket of order lines a side, three lines an order: one order in a thousand has another price, one was
never imported, one was imported twice. The raw statement adds up each line, joins both sides and keeps what
differs; it knows no SLA, no second document and no substitution. One thread each, the best of several.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from reconcilers.database import connect
from reconcilers.orders import Orders, compare_bucket

READ_AT = datetime(2026, 11, 23, 2, tzinfo=UTC)

_SHOP = """
select 'order ' || (i // 3)::varchar as ref, 'sku ' || (i * 7 % 5000)::varchar as sku,
    (1 + i % 5)::decimal(18, 4) as quantity, ((1 + i % 100) * 0.01)::decimal(18, 4) as price, 'open' as status,
    timestamptz '2026-11-20 00:00:00+00' as placed_at
from range(?) lines(i)"""

_ERP = """
select ref, 'A ' || ref as doc, sku, quantity, if(hash(ref) % 1000 = 0, price + 1, price) as price, status, placed_at
from shop where hash(ref) % 1000 <> 1
union all
select ref, 'B ' || ref, sku, quantity, price, status, placed_at + interval 1 hour
from shop where hash(ref) % 1000 = 2"""

_ADDED = "select ref, sku, sum(quantity) as quantity, max(price) as price, max(status) as status from {} group by all"
_RAW = f"""
create table found as
select coalesce(a.ref, b.ref) as ref, a.quantity, b.quantity, a.price, b.price, a.status, b.status
from ({_ADDED.format("records_a")}) a
full join ({_ADDED.format("records_b")}) b using (ref, sku)
where (a.quantity, a.price, a.status) is distinct from (b.quantity, b.price, b.status)"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=300_000)
    parser.add_argument("--repeat", type=int, default=5)
    given = parser.parse_args()
    sides = lines(given.lines)
    ours = best(given.repeat, sides, lambda con: compare_bucket(con, Orders(READ_AT, READ_AT), "run", None))
    raw = best(given.repeat, sides, lambda con: con.execute(_RAW))
    print(f"{given.lines:,} lines a side: orders {ours:.2f} s, raw statement {raw:.2f} s, ratio {ours / raw:.1f}")


def lines(count: int) -> tuple[pa.Table, pa.Table]:
    """The order lines of both sides."""
    with connect() as con:
        con.execute(f"create table shop as {_SHOP}", [count])
        return con.sql("from shop").to_arrow_table(), con.sql(_ERP).to_arrow_table()


def best(repeat: int, sides: tuple[pa.Table, pa.Table], work: Callable[[Any], object]) -> float:
    """Seconds of processor time of the best of several runs."""
    seconds = []
    for _ in range(repeat):
        with connect(threads=1) as con:
            con.register("records_a", sides[0])
            con.register("records_b", sides[1])
            began = time.process_time()
            work(con)
            seconds.append(time.process_time() - began)
    return min(seconds)


if __name__ == "__main__":
    main()
