"""Kits of a pair: what the target sells as one SKU, and the authority keeps as parts.

Parts and kit live in different buckets, so the stock of kits is made before the buckets are reconciled, from
the verdicts on the parts alone. Only a pair whose target has kits pays for it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.snapshots import Snapshot
from reconcilers.kits import Kits
from reconcilers.schemas import TEXT
from reconcilers.stock import Inputs, reconcile_bucket

if TYPE_CHECKING:
    from pipelines.reconcile import PairTask


def with_kits(task: PairTask) -> PairTask:
    """The task with the stock of the kits that its target shows and its authority does not keep as such."""
    kits = task.kits
    if kits is None:
        return task
    names = pa.array(list(kits.parts), TEXT)
    shown, kept = (_rows(stock, names)["sku"] for stock in (task.stock_a, task.stock_b))
    wanted = pc.and_(pc.is_in(names, shown.combine_chunks()), pc.invert(pc.is_in(names, kept.combine_chunks())))
    sold = Kits({name: kits.parts[name] for name in names.filter(wanted).to_pylist()})
    return replace(task, made=_made(task, sold)) if sold.parts else task


def _made(task: PairTask, kits: Kits) -> pa.Table:
    """Rows of the authority's stock (`stock_schema`), at a place of the authority."""
    parts = kits.components()
    stock_a, stock_b = _rows(task.stock_a, parts), _rows(task.stock_b, parts)
    events = [
        pa.concat_tables([_rows(snapshot, parts) for snapshot in side]) if side else None
        for side in (task.events_a, task.events_b)
    ]
    given = {name: table for name, table in zip(("events_a", "events_b"), events, strict=True) if table is not None}
    made = kits.assemble(reconcile_bucket(Inputs(stock_a, stock_b, **given), task.pair).levels)
    if not task.pair.locations:
        return made
    pools = task.pair.locations
    place = pc.index_in(made["location"], value_set=pa.array(list(pools), TEXT))
    firsts = pa.array([places[0] for places in pools.values()], TEXT)
    return made.set_column(made.schema.get_field_index("location"), made.schema.field("location"), firsts.take(place))


def _rows(snapshot: Snapshot, skus: pa.Array) -> pa.Table:
    """The rows of some SKUs, read bucket by bucket."""
    return pa.concat_tables([table.filter(pc.is_in(table["sku"], skus)) for table in snapshot.read()])
