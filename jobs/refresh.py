"""A second look at a target that moved between the read and the write: fresh orders, fresh numbers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs import plan
from jobs.publication import Publication
from jobs.published import events_of
from pipelines.capture import capture
from pipelines.connectors import Sink
from pipelines.publish import Target
from reconcilers import published
from reconcilers.corrections import Fresh, Status, key_of, recompute
from reconcilers.profiles import EffectProfile
from reconcilers.schemas import events_schema, outgoing_schema

Key = tuple[str, str]


def recomputed(
    publication: Publication, target: Target, stale: pa.Table, beam_args: tuple[str, ...]
) -> tuple[pa.Table, pa.Table]:
    """What to send instead of stale corrections, and those that are settled without.

    Orders are pulled first, the target's number is read last: what sells in between makes the two
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
    rows = stale.to_pylist()
    sink = target.open()
    try:
        shown = _observed(sink, rows)
    finally:
        sink.close()
    again, settled = [], []
    for row in rows:
        observed = shown.get((row["target_sku"], row["location"]))
        if observed is None:
            continue
        fresh = Fresh(observed, row["seen"], moved.get((row["sku"], row["location"])) if moved is not None else None)
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
        pa.Table.from_pylist(settled, schema=stale.schema),
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
    publication: Publication, system: str, profile: EffectProfile, stale: pa.Table, beam_args: tuple[str, ...]
) -> dict[Key, Decimal] | None:
    """How far the stale keys have moved by orders since they were read; None without a feed."""
    config = publication.config
    feeds = [request for request in plan.captures(config, [system]) if request.dataset != "stock"]
    if not feeds:
        return None
    taken = capture(feeds, publication.workspace.root, publication.now, beam_args)
    schema = events_schema(config.decimals)
    names = [name for name in schema.names if not name.startswith("source_")]
    feed = pa.schema([schema.field(name) for name in names])
    tables = [table.cast(feed) for snapshot in taken for table in snapshot.read(names)]
    own = events_of(publication.workspace, system, profile, config.decimals, pc.min(stale["as_of"]).as_py())
    events = pa.concat_tables([*tables, own.select(names)])
    keys = stale.select(["sku", "location", "as_of"])
    found = published.moved(keys, events, profile, publication.now, config.decimals)
    return {(row["sku"], row["location"]): row["moved"] for row in found.to_pylist()}


def _observed(sink: Sink, rows: list[dict[str, Any]]) -> dict[Key, Decimal]:
    """What the target shows now; where it cannot be asked, what it answered."""
    found: dict[Key, Decimal] = {}
    keys = [(row["target_sku"], row["location"]) for row in rows]
    for start in range(0, len(keys), sink.batch_size):
        shown = sink.observe(keys[start : start + sink.batch_size])
        if shown is None:
            return {(r["target_sku"], r["location"]): r["observed"] for r in rows if r["observed"] is not None}
        found |= shown
    return found
