"""Undoing what a run published: the inverse of every correction, as corrections of their own.

A rollback is a directory of `runs/` with `corrections/` and `rollback.json` instead of a summary, so it is
published, gated, approved and rolled back like any run, and never mistaken for a reconciliation.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from jobs.audit import AuditLog
from jobs.publication import ORIGIN, Publication, State, open_publication
from pipelines import filesystem
from pipelines.publish import show_fates
from pipelines.queries import write_rows
from pipelines.reconcile import part_name
from reconcilers.corrections import Status
from reconcilers.errors import Refused
from reconcilers.published import inverse
from reconcilers.rules import literal
from reconcilers.schemas import corrections_schema, receipts_schema


def propose_rollback(publication: Publication, by: str) -> Publication:
    """The rollback of what a run published; one that is not published yet is taken up again.

    Raises:
        Refused: nothing of the run took effect, or all of it is rolled back already.
    """
    run_id, known = _name(publication)
    if known:
        return open_publication(publication.config, run_id)
    pairs = _write_inverse(publication, run_id)
    if not pairs:
        raise Refused(f"run {publication.run_id}: nothing took effect that is not rolled back already")
    origin = {
        "rollback_of": publication.run_id,
        "job": publication.origin["job"],
        "started_at": datetime.now(UTC).isoformat(),
        "by": by,
        "pairs": pairs,
    }
    number = sum(pair["corrections"] for pair in pairs.values())
    AuditLog(publication.workspace.root).append("rollback", by, run_id, {**origin, "corrections": number})
    publication.workspace.write_json(run_id, ORIGIN, origin)
    return open_publication(publication.config, run_id)


def mark_undone(rollback: Publication) -> None:
    """Note with the corrections that were rolled back that they were."""
    original = open_publication(rollback.config, rollback.origin["rollback_of"])
    schema = receipts_schema(rollback.config.decimals)
    with rollback.fates() as ask:
        effective = "select undoes from fate where status in ('APPLIED', 'VERIFIED', 'SENT')"
        ask.con.execute(f"create temp table taken_back as {effective}")
        show_fates(ask, original.place, rollback.config.decimals)
        undone = (
            "select * replace ('ROLLED_BACK' as status) from fate "
            "semi join taken_back on fate.correction_id = taken_back.undoes"
        )
        path = filesystem.join(original.place, "receipts", f"rolled-back-by-{rollback.run_id}.parquet")
        if not write_rows(path, ask.pieces(undone, schema)):
            return
    told = original.counts()
    if set(told) <= {str(Status.ROLLED_BACK), str(Status.REJECTED), str(Status.STALE), str(Status.EXPIRED)}:
        original.tell(State.ROLLED_BACK, told, [f"by {rollback.run_id}"])


def _name(publication: Publication) -> tuple[str, bool]:
    """The id of the rollback, and whether it is there already and not published yet."""
    stem = f"{publication.run_id}-rollback"
    number = 1
    while True:
        run_id = stem if number == 1 else f"{stem}-{number}"
        path = filesystem.join(publication.workspace.run_directory(run_id), ORIGIN)
        if not filesystem.exists(path):
            return run_id, False
        if open_publication(publication.config, run_id).state() is not State.PUBLISHED:
            return run_id, True
        number += 1


def _write_inverse(publication: Publication, run_id: str) -> dict[str, Any]:
    """Write the inverse of what took effect as the corrections of a run; returns what there is of each pair."""
    schema = corrections_schema(publication.config.decimals)
    place = filesystem.join(publication.workspace.run_directory(run_id), "corrections")
    pairs: dict[str, Any] = {}
    with publication.fates() as ask:
        inverse(ask.con, run_id)
        for pair, known in publication.origin["pairs"].items():
            found = ask.pieces(f"from inverse where pair = {literal(pair)}", schema)
            number = write_rows(filesystem.join(place, part_name(pair, 0, 1)), found)
            if number:
                pairs[pair] = {"target": known["target"], "keys": known["keys"], "corrections": number}
    return pairs
