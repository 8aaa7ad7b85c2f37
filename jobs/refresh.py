"""A second look at a target that moved between the read and the write: fresh orders, fresh numbers."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import chain
from typing import Any

import pyarrow as pa

from jobs import plan
from jobs.publication import Publication
from jobs.published import events_of
from pipelines.capture import capture
from pipelines.connectors import Sink
from pipelines.publish import Target
from pipelines.queries import Rows, kept, queries
from reconcilers import published
from reconcilers.corrections import Fresh, Status, key_of, recompute
from reconcilers.profiles import EffectProfile
from reconcilers.schemas import events_schema, outgoing_schema, quantity_type, receipts_schema

Key = tuple[str, str]


def recomputed(
    publication: Publication, target: Target, stale: Rows, beam_args: tuple[str, ...]
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """What to send instead of stale corrections, and those that are settled without, piece by piece.

    Orders are pulled first, the target's numbers are read last: what sells in between makes the two
    disagree, and is left to the next attempt instead of being guessed at (DOMAIN 2.4).

    Args:
        publication: the run's.
        target: where they were sent to.
        stale: their receipts (`receipts_schema`).
        beam_args: Beam's own options.

    Returns:
        Corrections of the next attempt, with new numbers and keys (`outgoing_schema`); receipts of those
        that the target shows already, and of those that nobody can recompute.
    """
    profile = publication.config.profile(target.name)
    moved = _moved(publication, target.name, profile, stale, beam_args)
    sink = target.open()
    try:
        for piece in moved.pieces(sink.batch_size):
            yield _recomputed(publication, sink, piece, profile)
    finally:
        sink.close()


def _recomputed(
    publication: Publication, sink: Sink, stale: pa.Table, profile: EffectProfile
) -> tuple[pa.Table, pa.Table]:
    """The same for as many as the target is asked about at once, whose receipts say how far they have `moved`."""
    rows = stale.to_pylist()
    shown = _observed(sink, rows)
    again, settled = [], []
    for row in rows:
        observed = shown.get((row["target_sku"], row["location"]))
        if observed is None:
            continue
        fresh = Fresh(observed, row["seen"], row["moved"])
        result = recompute(row["value"], row["change_from"], fresh, never_below_zero=profile.sellable)
        if result.value is not None:
            again.append(_next(row, observed, result.value))
        else:
            told = {"message": result.message, "observed": observed}
            if observed == row["value"]:
                settled.append({**row, **told, "status": Status.VERIFIED})
            else:
                settled.append({**row, **told, "answered_at": publication.now})
    scale = publication.config.decimals
    return (
        pa.Table.from_pylist(again, schema=outgoing_schema(scale)),
        pa.Table.from_pylist(settled, schema=receipts_schema(scale)),
    )


def _next(row: dict[str, Any], observed: Decimal, value: Decimal) -> dict[str, Any]:
    """The next attempt at a correction: another number, so another key."""
    attempt = row["attempt"] + 1
    return {
        **row,
        "status": str(Status.PROPOSED),
        "attempt": attempt,
        "value": value,
        "change_from": observed,
        "delta": value - observed,
        "idempotency_key": key_of(row["correction_id"], row["target"], attempt),
    }


def _moved(
    publication: Publication, system: str, profile: EffectProfile, stale: Rows, beam_args: tuple[str, ...]
) -> Rows:
    """The stale receipts with how far their numbers have `moved` by orders since they were read; null: no feed."""
    config = publication.config
    receipts, schema = receipts_schema(config.decimals), events_schema(config.decimals)
    feeds = [request for request in plan.captures(config, [system]) if request.dataset != "stock"]
    taken = capture(feeds, publication.workspace.root, publication.now, beam_args) if feeds else []
    names = [name for name in schema.names if not name.startswith("source_")]
    feed = pa.schema([schema.field(name) for name in names])
    result = receipts.append(pa.field("moved", quantity_type(config.decimals)))
    with queries() as ask:
        ask.hold("stale", stale.pieces(), receipts)
        if not feeds:
            return kept(ask.pieces("select *, null::decimal as moved from stale", result), result)
        ((first,),) = ask.con.sql("select min(as_of) from stale").fetchall()
        own = events_of(publication.workspace, system, profile, config.decimals, first)
        events = chain((table for snapshot in taken for table in snapshot.read(names)), own)
        ask.hold("event", (table.select(names).cast(feed) for table in events), feed)
        ask.con.execute("create temp view key as select sku, location, as_of from stale")
        published.moved(ask.con, profile, publication.now)
        found = "select s.*, m.moved from stale s join moved m using (sku, location)"
        return kept(ask.pieces(found, result), result)


def _observed(sink: Sink, rows: list[dict[str, Any]]) -> dict[Key, Decimal]:
    """What the target shows now; where it cannot be asked, what it answered."""
    shown = sink.observe([(row["target_sku"], row["location"]) for row in rows])
    if shown is None:
        return {(r["target_sku"], r["location"]): r["observed"] for r in rows if r["observed"] is not None}
    return dict(shown)
