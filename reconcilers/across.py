"""Causes that only a whole pair shows: their two halves are different SKUs, and so in different buckets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from reconcilers.aliases import Alias
from reconcilers.database import session
from reconcilers.kits import Kits
from reconcilers.schemas import TEXT

_SQL = Path(__file__).parent / "sql"
_ACROSS = (_SQL / "across.sql").read_text(encoding="utf-8")
_TOLD = (_SQL / "told_causes.sql").read_text(encoding="utf-8")


def causes_across(
    breaks: pa.Table, documents: pa.Table, aliases: Sequence[Alias] = (), kits: Kits | None = None
) -> pa.Table:
    """The causes that the breaks of all buckets of a pair show together: `sku, location, reason, quantity, evidence`.

    Args:
        breaks: `sku, location, class, quantity_a, quantity_b, unexplained` of `breaks_schema`.
        documents: `sku, location, class, quantity` of `in_flight_schema`; only kits need them.
        aliases: what `suggest_aliases` makes of the breaks.
        kits: those that the target sells.
    """
    with session() as con:
        con.register("broken", breaks)
        con.register("document", documents)
        con.register("alias", _aliases(aliases))
        con.register("kit", (kits or Kits({})).table())
        return con.sql(_ACROSS).to_arrow_table()


def with_causes(breaks: pa.Table, found: pa.Table) -> pa.Table:
    """Breaks with the causes of `causes_across` before those that they have; twice is as good as once."""
    with session(threads=1) as con:
        con.register("breaks", breaks)
        con.register("found", found)
        return con.sql(_TOLD).to_arrow_table().cast(breaks.schema)


def _aliases(aliases: Sequence[Alias]) -> pa.Table:
    columns = {name: [getattr(alias, name) for alias in aliases] for name in ("sku_a", "sku_b", "sure")}
    return pa.table(columns, schema=pa.schema([("sku_a", TEXT), ("sku_b", TEXT), ("sure", pa.bool_())]))
