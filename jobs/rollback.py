"""Undoing what a run published: the inverse of every correction, as corrections of their own.

A rollback is a directory of `runs/` with `corrections/` and `rollback.json` instead of a summary, so it is
published, gated, approved and rolled back like any run, and never mistaken for a reconciliation.
"""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import md5
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.audit import AuditLog
from jobs.publication import ORIGIN, Publication, State, open_publication
from pipelines import filesystem
from pipelines.publish import write_receipts
from pipelines.reconcile import part_name
from reconcilers.corrections import Mode, Status, key_of
from reconcilers.errors import Refused
from reconcilers.schemas import corrections_schema


def propose_rollback(publication: Publication, by: str) -> Publication:
    """The rollback of what a run published; one that is not published yet is taken up again.

    Raises:
        Refused: nothing of the run took effect, or all of it is rolled back already.
    """
    run_id, known = _name(publication)
    if known:
        return open_publication(publication.config, run_id)
    undone = _inverse(publication, run_id)
    if not len(undone):
        raise Refused(f"run {publication.run_id}: nothing took effect that is not rolled back already")
    directory = publication.workspace.run_directory(run_id)
    pairs: dict[str, Any] = {}
    for pair in pc.unique(undone["pair"]).to_pylist():
        mine = undone.filter(pc.equal(undone["pair"], pair))
        write_receipts(filesystem.join(directory, "corrections", part_name(pair, 0, 1)), mine)
        known_of = publication.origin["pairs"][pair]
        pairs[pair] = {"target": known_of["target"], "keys": known_of["keys"], "corrections": len(mine)}
    origin = {
        "rollback_of": publication.run_id,
        "job": publication.origin["job"],
        "started_at": datetime.now(UTC).isoformat(),
        "by": by,
        "pairs": pairs,
    }
    AuditLog(publication.workspace.root).append("rollback", by, run_id, {**origin, "corrections": len(undone)})
    publication.workspace.write_json(run_id, ORIGIN, origin)
    return open_publication(publication.config, run_id)


def mark_undone(rollback: Publication) -> None:
    """Note with the corrections that were rolled back that they were."""
    fate = rollback.fates()
    effective = fate.filter(pc.is_in(fate["status"], pa.array([Status.APPLIED, Status.VERIFIED, Status.SENT])))
    original = open_publication(rollback.config, rollback.origin["rollback_of"])
    theirs = original.fates()
    undone = theirs.filter(pc.is_in(theirs["correction_id"], pc.unique(effective["undoes"])))
    if not len(undone):
        return
    index = undone.column_names.index("status")
    undone = undone.set_column(index, "status", pa.array([str(Status.ROLLED_BACK)] * len(undone)))
    path = filesystem.join(original.place, "receipts", f"rolled-back-by-{rollback.run_id}.parquet")
    write_receipts(path, undone)
    counts = original.fates()["status"].value_counts().to_pylist()
    told = {each["values"]: each["counts"] for each in counts}
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


def _inverse(publication: Publication, run_id: str) -> pa.Table:
    """The inverse of what took effect (`corrections_schema`).

    A delta that was handed over but not seen yet is left out: taking back what may never come would be
    a fault of its own.
    """
    rows = []
    for row in publication.fates().to_pylist():
        seen = row["status"] in (Status.APPLIED, Status.VERIFIED)
        if not seen and not (row["status"] == Status.SENT and row["mode"] == Mode.SET):
            continue
        correction_id = md5(f"{row['correction_id']}\x1f{run_id}".encode(), usedforsecurity=False).hexdigest()
        rows.append(
            {
                **row,
                "correction_id": correction_id,
                "value": row["value"] - row["delta"],
                "change_from": row["value"],
                "delta": -row["delta"],
                "unexplained": -row["unexplained"],
                "seen": row["value"],
                "as_of": row["answered_at"],
                "reason": row["why"],
                "idempotency_key": key_of(correction_id, row["target"], 1),
                "status": "PROPOSED",
                "undoes": row["correction_id"],
            }
        )
    return pa.Table.from_pylist(rows, schema=corrections_schema(publication.config.decimals))
