"""Stock and order lines of any size as Parquet exports, made by DuckDB: no Python per row.

A fifth as many order lines as stock rows, one line in five still open at the as-of; one stock row in
five hundred has a number that nothing explains, one in a thousand is missing on a side.
"""

from __future__ import annotations

from pathlib import Path

from reconcilers.database import connect

AS_OF = "2026-11-23T02:00:00Z"

_STOCK = """
copy (
    select
        'SKU-' || lpad(i::varchar, 9, '0') as sku,
        'web' as location,
        -- what is there, less (for the storefront) what is ordered and not shipped
        (20 + hash(i) % 80 - coalesce(o.open, 0) + if(hash(i, {seed}) % 1000 = 7, 1, 0))::decimal(18, 4) as quantity,
        (1 + hash(i, 5) % 5000 / 100)::decimal(18, 4) as price
    from range({rows}) t(i)
    left join {open} o on o.item = t.i
    where hash(i, {seed}) % 1000 <> 0
    order by hash(i, {seed})
) to '{path}' (format parquet, compression zstd, row_group_size 122880)"""

_LINES = """
create temp table line as
select
    'WEB-' || i::varchar as ref,
    hash(i) % {rows} as item,
    (1 + hash(i, 3) % 3)::decimal(18, 4) as quantity,
    timestamptz '2026-11-20 00:00:00+00' + to_seconds((hash(i, 7) % 200000)::int) as placed_at,
    case when hash(i, 9) % 10 < 8
        then timestamptz '2026-11-22 12:00:00+00' + to_seconds((hash(i, 8) % 20000)::int)
    end as shipped_at
from range({lines}) t(i)"""

_FEED = """
copy (
    select '{kind}' as kind, ref, 'SKU-' || lpad(item::varchar, 9, '0') as sku, 'web' as location,
        quantity, {at} as posted_at
    from line where {at} is not null
) to '{path}' (format parquet, compression zstd, row_group_size 122880)"""


def generate(directory: Path, rows: int) -> dict[str, Path]:
    """Write the four exports, unless they are there; returns their paths by name."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = {name: directory / f"{name}.parquet" for name in ("stock_a", "stock_b", "events_a", "events_b")}
    if all(path.exists() for path in paths.values()):
        return paths
    with connect() as con:
        con.execute(_LINES.format(rows=rows, lines=rows // 5))
        con.execute(
            "create temp table open_item as "
            "select item, sum(quantity) as open from line where shipped_at is null group by item"
        )
        con.execute("create temp table nothing as select 0::ubigint as item, 0 as open limit 0")
        for side, open_, seed in (("a", "open_item", 11), ("b", "nothing", 12)):
            con.execute(_STOCK.format(rows=rows, seed=seed, open=open_, path=paths[f"stock_{side}"]))
        con.execute(_FEED.format(kind="PLACE", at="placed_at", path=paths["events_a"]))
        con.execute(_FEED.format(kind="SHIP", at="shipped_at", path=paths["events_b"]))
    return paths
