"""Published corrections as facts: what became of each, and what the next run has to expect (DESIGN 9)."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from reconcilers.database import connect
from reconcilers.profiles import EffectProfile
from reconcilers.schemas import Kind, events_schema, quantity_type

_SQL = {
    step: (Path(__file__).parent / "sql" / f"{step}.sql").read_text(encoding="utf-8")
    for step in ("fates", "published", "settled")
}


def fates(outgoing: pa.Table, receipts: pa.Table) -> pa.Table:
    """One row a correction (`receipts_schema`): the last thing known of it.

    What was on its way out and has no receipt may have been applied: SENT.
    """
    with connect() as con:
        con.register("outgoing", outgoing)
        con.register("receipt", receipts)
        con.execute(_SQL["fates"])
        return con.sql("from fate").to_arrow_table().select(receipts.column_names).cast(receipts.schema)


def postings(fate: pa.Table, scale: int) -> pa.Table:
    """What published corrections did, whatever number shows it (`events_schema`).

    Two a correction: the fault (at the instant of the snapshot that showed it) and its correction (when
    the target took it).

    Args:
        fate: rows of `fates`, all of one target.
        scale: decimal places of a quantity.
    """
    schema = events_schema(scale)
    if not len(fate):
        return schema.empty_table()
    with connect() as con:
        con.register("fate", fate)
        con.execute(_SQL["published"])
        found = con.sql("from published_event order by ref, posted_at")
        return found.to_arrow_table().select(schema.names).cast(schema)


def summed(posted: pa.Table) -> pa.Table:
    """The same as one posting a key, for numbers that are younger than all of them (`events_schema`).

    It goes by the last of them. What adds up to nothing, as a correction does that left nothing on purpose,
    needs none.
    """
    with connect() as con:
        con.register("posted", posted)
        found = con.sql(
            """
            select
                arg_max(event_id, (posted_at, event_id)) as event_id, 'PUBLISH' as kind,
                arg_max(ref, (posted_at, event_id)) as ref, null as doc, sku, location,
                sum(quantity) as quantity, null as document_quantity, max(posted_at) as posted_at,
                'carried' as source_file, 0 as source_line
            from posted group by sku, location having sum(quantity) <> 0 order by sku, location
            """
        )
        return found.to_arrow_table().select(posted.column_names).cast(posted.schema)


def events(posted: pa.Table, profile: EffectProfile, scale: int) -> pa.Table:
    """Postings as the events of a number; one that does not move on PUBLISH has none."""
    sign = profile.coefficient(Kind.PUBLISH)
    if sign == 0 or not len(posted):
        return events_schema(scale).empty_table()
    at = posted.schema.get_field_index("quantity")
    moved = pc.multiply(posted["quantity"], sign).cast(posted.schema.field(at).type)
    return posted.set_column(at, posted.schema.field(at), moved)


def settled(fate: pa.Table, levels: pa.Table) -> pa.Table:
    """The corrections that a later run's numbers settle, as new rows of `receipts_schema`.

    VERIFIED: the number is what it should be by now. STALE: it was acknowledged, and is undone. EXPIRED: it
    was handed over, never arrived, and may not arrive any more. Of the others nothing can be said yet.

    Args:
        fate: rows of `fates` of one pair.
        levels: the pair's levels in a later run (`levels_schema`).
    """
    with connect() as con:
        con.register("fate", fate)
        con.register("level", levels)
        con.execute(_SQL["settled"])
        return con.sql("from settled").to_arrow_table().select(fate.column_names).cast(fate.schema)


def moved(keys: pa.Table, events: pa.Table, profile: EffectProfile, now: datetime, scale: int) -> pa.Table:
    """How far a number has moved by its own events since it was read, for each key.

    Args:
        keys: `sku, location, as_of`.
        events: the target's feed, as fresh as can be had.
        profile: says what each kind does to the number.
        now: later events have not happened yet.
        scale: decimal places of a quantity.

    Returns:
        `sku, location, moved`; 0 where nothing happened.
    """
    effects = pa.table(
        {
            "kind": pa.array([str(kind) for kind in profile.effects], pa.string()),
            "coefficient": pa.array(list(profile.effects.values()), pa.int32()),
        }
    )
    with connect() as con:
        for name, table in (("key", keys), ("event", events), ("effect", effects)):
            con.register(name, table)
        found = con.execute(
            f"""
            with once as (
                select * from event
                qualify event_id is null or row_number() over (partition by event_id order by posted_at desc) = 1
            )
            select
                k.sku, k.location,
                coalesce(sum(e.quantity * f.coefficient) filter (e.posted_at > k.as_of and e.posted_at <= $now), 0)
                    ::decimal(18, {scale}) as moved
            from key k
            left join once e using (sku, location)
            left join effect f on f.kind = e.kind
            group by k.sku, k.location
            """,
            {"now": now},
        )
        rows = found.fetchall()
    schema = pa.schema([("sku", pa.string()), ("location", pa.string()), ("moved", quantity_type(scale))])
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema)
