"""Where a run stands, read from what it has written; each output is there whole, or not at all.

plan.json       PLANNED     what was asked for
captured.json   CAPTURED    which snapshots it is about, and the instant at which it judges
validated.json  VALIDATED   what the expectations said
summary.json    RECONCILED  every output is there; `delivered.json`: and was sent where the configuration says
publish/        HELD, APPROVED, PUBLISHED and so on: `publish/state.json` says which
failed.json     FAILED      at which step, and why; goes when the run is resumed
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from jobs.ledger import Ledger
from jobs.ledger import runs as index
from jobs.workspace import Workspace

PLAN, CAPTURED, VALIDATED = "plan.json", "captured.json", "validated.json"
SUMMARY, DELIVERED, FAILED = "summary.json", "delivered.json", "failed.json"
PUBLISH = "publish/state.json"

#: The output of a step, the state that it stands for, and the step that comes next.
_REACHED = (
    (SUMMARY, "RECONCILED", None),
    (VALIDATED, "VALIDATED", "reconcile"),
    (CAPTURED, "CAPTURED", "validate"),
    (PLAN, "PLANNED", "capture"),
)

#: The classes that somebody has to act on.
FAULTS = ("BREAK", "CONFLICT", "LATE")

#: The classes of records that are alike, or about to be.
FINE = ("MATCHED", "IN_FLIGHT")

#: States in which publishing has come to its end.
_PUBLISHED = ("PUBLISHED", "REJECTED", "ROLLED_BACK")

#: States that the index need not look up again, unless publishing has begun.
_SETTLED = ("RECONCILED", *_PUBLISHED)


@dataclass(frozen=True)
class RunState:
    """A run as a row: `step` is what comes next or has failed, None where nothing is left to do."""

    run_id: str
    job: str | None
    state: str
    step: str | None
    error: str | None
    fire: datetime | None
    started_at: datetime
    finished_at: datetime | None
    verdict: str | None
    keys: int | None
    faults: int | None

    @property
    def finished(self) -> bool:
        """Whether it has concluded something."""
        return self.finished_at is not None

    def document(self) -> dict[str, Any]:
        """The row as data."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else value for name, value in self.__dict__.items()
        }


def read_state(workspace: Workspace, run_id: str) -> RunState | None:
    """Where a run stands; None where the directory is not of a run that was planned or has finished."""
    summary = workspace.read_json(run_id, SUMMARY)
    plan = workspace.read_json(run_id, PLAN) or summary
    if plan is None:
        return None
    state, step = _reached(workspace, run_id, summary)
    failed = workspace.read_json(run_id, FAILED) or (None if summary is None else _refused(summary))
    if failed is not None:
        state, step = "FAILED", failed["step"]
    return RunState(
        run_id=run_id,
        job=plan["job"],
        state=state,
        step=step,
        error=None if failed is None else failed["error"],
        fire=datetime.fromisoformat(plan["fire"]) if plan.get("fire") else None,
        started_at=datetime.fromisoformat(plan["started_at"]),
        finished_at=None if summary is None else datetime.fromisoformat(summary["finished_at"]),
        verdict=None if summary is None else summary["verdict"],
        keys=None if summary is None else _keys(summary),
        faults=None if summary is None else faults(summary),
    )


def faults(summary: dict[str, Any]) -> int:
    """How many keys of a run need somebody, and how many records are unlike."""
    found = (pair["classes"].get(name, {}) for pair in summary["pairs"].values() for name in FAULTS)
    compared = summary.get("records", {}).values()
    unlike = (number for pair in compared for name, number in pair["classes"].items() if name not in FINE)
    return int(sum(amounts.get("keys", 0) for amounts in found) + sum(unlike))


def _keys(summary: dict[str, Any]) -> int:
    keys = sum(pair["keys"] for pair in summary["pairs"].values())
    return int(keys + sum(pair["records"] for pair in summary.get("records", {}).values()))


def all_states(workspace: Workspace, ledger: Ledger) -> list[RunState]:
    """Every run, oldest first, and the ledger brought in line with their directories.

    Only what the ledger does not know, or what may have moved on, is read again.
    """
    known = ledger.act(lambda connection: {row["run_id"]: dict(row) for row in _indexed(connection)})
    there = set(workspace.run_ids())
    states = []
    for run_id in there:
        row = known.get(run_id)
        settled = row is not None and row["state"] in _SETTLED and not workspace.has(run_id, PUBLISH)
        state = RunState(**row) if row is not None and settled else read_state(workspace, run_id)
        if state is not None:
            states.append(state)
    fresh = [state for state in states if known.get(state.run_id) != state.__dict__]
    gone = known.keys() - {state.run_id for state in states}
    if fresh or gone:
        ledger.act(lambda connection: _write(connection, fresh, gone))
    return sorted(states, key=lambda state: (state.started_at, state.run_id))


def failed_for(workspace: Workspace, run_id: str, why: str) -> None:
    """Say why a run was interrupted."""
    failed = workspace.read_json(run_id, FAILED)
    if failed is not None:
        workspace.write_json(run_id, FAILED, {**failed, "error": why})


def note(ledger: Ledger, state: RunState) -> None:
    """Write where a run stands into the ledger."""
    ledger.act(lambda connection: _write(connection, [state], set()))


def forget(ledger: Ledger, run_id: str) -> None:
    """Take a run off the ledger."""
    ledger.act(lambda connection: _write(connection, [], {run_id}))


def _reached(workspace: Workspace, run_id: str, summary: dict[str, Any] | None) -> tuple[str, str | None]:
    published = workspace.read_json(run_id, PUBLISH) if summary is not None else None
    if published is not None and published["state"] != "NOTHING":
        return published["state"], None if published["state"] in _PUBLISHED else "publish"
    return next((state, step) for name, state, step in _REACHED if workspace.has(run_id, name) or name == PLAN)


def _refused(summary: dict[str, Any]) -> dict[str, str] | None:
    """A run that concluded nothing, for its snapshots failed their expectations."""
    critical = [message for result in summary["validation"] for message in result.get("critical", [])]
    return {"step": "validate", "error": critical[0]} if critical else None


def _indexed(connection: Connection) -> Any:
    return connection.execute(sa.select(index)).mappings()


def _write(connection: Connection, states: list[RunState], gone: set[str]) -> None:
    names = sorted({state.run_id for state in states} | gone)
    for first in range(0, len(names), 500):
        connection.execute(sa.delete(index).where(index.c.run_id.in_(names[first : first + 500])))
    if states:
        connection.execute(sa.insert(index), [state.__dict__ for state in states])
