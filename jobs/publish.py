"""Publishing the corrections of a run: plan, gates, approvals, waves, receipts.

Everything that was decided is on disk before it is acted on, so that a process that is killed anywhere can
be run again: what has a receipt is not sent again, what may have been sent carries the same key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs import publish_plan
from jobs.approve import decided
from jobs.audit import AuditLog
from jobs.publication import Publication, State
from jobs.publish_plan import Planned
from jobs.published import remember
from jobs.refresh import recomputed
from jobs.rollback import mark_undone
from pipelines import filesystem, lock
from pipelines.publish import Target, Wave, last_wave, send, write_receipts, write_wave
from reconcilers.corrections import Status
from reconcilers.gates import Verdict

#: Numbers computed for one correction before it is left to the next run.
ATTEMPTS = 3

Progress = Callable[..., None]


@dataclass(frozen=True)
class Outcome:
    """What a publish did, or would do.

    `corrections` are those that would be sent next (`outgoing_schema`), `verdicts` what every gate says,
    `held` the pairs that a gate holds, `waiting` corrections that somebody has to approve, `rejected`
    those that somebody rejected, `left_out` why others cannot be sent and how many, `counts` what has
    become of the corrections that were sent, `refused` those of them that did not take effect
    (`receipts_schema`, with the target's message), `trouble` targets that do not answer.
    """

    run_id: str
    applied: bool
    corrections: pa.Table
    verdicts: list[Verdict]
    released: frozenset[tuple[str, str]]
    held: tuple[str, ...]
    waiting: pa.Table
    rejected: int
    left_out: Mapping[str, int]
    refused: pa.Table
    counts: Mapping[str, int] = field(default_factory=dict)
    trouble: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0: all of it is, or would be, out. 4: a target does not answer. 5: held, or waiting for approval."""
        if self.trouble:
            return 4
        return 5 if self.held or len(self.waiting) else 0

    @property
    def state(self) -> State:
        """How far the publishing has come, in a word."""
        if self.trouble:
            return State.PUBLISHING
        if self.held:
            return State.HELD
        if len(self.waiting):
            return State.WAITING
        if self.counts:
            return State.PUBLISHED
        return State.REJECTED if self.rejected else State.NOTHING


def preview(publication: Publication) -> Outcome:
    """What `apply` would send now, and what it would hold; writes nothing and sends nothing."""
    now = publication.now
    planned = publication.planned()
    made = publish_plan.plan(publication, now) if planned is None else Planned(planned)
    return _judged(publication, made, now)


def apply(publication: Publication, by: str, progress: Progress, beam_args: tuple[str, ...] = ()) -> Outcome:
    """Send every correction that no gate holds and nobody has to approve any more.

    Raises:
        Refused: another process is publishing this run.
        Unreachable: the workspace cannot be written, or a sink cannot be opened.
    """
    with lock.locked(publication.lock, by, f"publishing {publication.run_id}") as token:
        now = publication.now
        outcome = _judged(publication, _proposed(publication, by, now), now)
        audit = AuditLog(publication.workspace.root)
        audit.append("publish", by, publication.run_id, _evidence(publication, outcome))
        open_pairs = [name for name in _pairs(publication) if name not in outcome.held]
        trouble = _send(publication, outcome, open_pairs, token, progress, beam_args)
        if publication.is_rollback:
            mark_undone(publication)
        fate = publication.fates()
        counts = _counts(fate)
        told = {"applied": True, "counts": counts, "refused": _refused(fate), "trouble": tuple(trouble)}
        done = Outcome(**{**vars(outcome), **told})
        audit.append("published", by, publication.run_id, {"counts": counts, "trouble": trouble})
        publication.tell(done.state, counts, [*_reasons(done), *trouble])
        return done


def verify(publication: Publication) -> Mapping[str, int]:
    """Read back what was acknowledged, where the target can be asked; returns what has become of everything.

    A number that has moved on since is left to the target's next snapshot, which knows of its orders.
    """
    fate = publication.fates()
    asked = fate.filter(pc.is_in(fate["status"], pa.array([Status.APPLIED, Status.SENT], pa.string())))
    for pair in pc.unique(asked["pair"]).to_pylist():
        mine = asked.filter(pc.equal(asked["pair"], pair))
        target = publish_plan.target_of(publication, pair.split("~")[0])
        found = _read_back(target, mine)
        if len(found):
            name = f"{pair}.verified-{publication.now:%Y%m%dT%H%M%S%fZ}.parquet"
            write_receipts(filesystem.join(publication.place, "receipts", name), found)
    return _counts(publication.fates())


def _proposed(publication: Publication, by: str, now: datetime) -> Planned:
    """The plan, made and kept the first time: keys, instants and proposer never change afterwards."""
    planned = publication.planned()
    if planned is not None and publication.proposal() is not None:
        return Planned(planned)
    made = publish_plan.plan(publication, now)
    path = filesystem.join(publication.place, "plan.parquet")
    write_receipts(path, made.corrections)
    policy = publication.rules.approval.rules().version
    document = {"proposed_by": by, "at": now, "policy": policy, "corrections": len(made.corrections)}
    publication.write("plan.json", document)
    return made


def _judged(publication: Publication, plan: Planned, now: datetime) -> Outcome:
    """What of the plan may go out now, and why the rest may not."""
    planned = plan.corrections
    made = decided(publication, publication.proposal())
    verdicts = publish_plan.judge(publication, planned, now)
    tripped = [v for v in verdicts if not v.passed and (v.pair, v.gate) not in made.released]
    held = tuple(dict.fromkeys(v.pair for v in tripped))
    fate = publication.fates()
    rejected = pa.array(sorted(made.rejected), pa.string())
    ids = planned["correction_id"]
    left = pc.invert(pc.or_(pc.is_in(ids, pc.unique(fate["correction_id"])), pc.is_in(ids, rejected)))
    free = pc.or_(pc.equal(planned["approval"], ""), pc.is_in(ids, pa.array(sorted(made.approved), pa.string())))
    standing = pc.is_in(planned["pair"], pa.array(held, pa.string()))
    return Outcome(
        run_id=publication.run_id,
        applied=False,
        corrections=planned.filter(pc.and_(pc.and_(left, free), pc.invert(standing))),
        verdicts=verdicts,
        released=frozenset(made.released),
        held=held,
        waiting=planned.filter(pc.and_(left, pc.invert(free))),
        rejected=len(made.rejected),
        left_out=plan.left_out,
        refused=_refused(fate),
        counts=_counts(fate),
    )


def _send(
    publication: Publication,
    outcome: Outcome,
    pairs: list[str],
    token: str,
    progress: Progress,
    beam_args: tuple[str, ...],
) -> list[str]:
    """Send what is left of earlier waves, then the new corrections, then what had to be recomputed."""
    targets = publish_plan.targets(publication)
    for pair in pairs:
        mine = outcome.corrections.filter(pc.equal(outcome.corrections["pair"], pair))
        if len(mine):
            _begin(publication, targets[pair], pair, mine)

    def said(done: int, of: int) -> None:
        progress(f"publish: {done} of {of} batches", done / of)

    trouble: list[str] = []
    for _ in range(ATTEMPTS):
        waves = [
            Wave(targets[pair], pair, number, publication.place)
            for pair in pairs
            for number in range(1, last_wave(publication.place, pair) + 1)
        ]
        if any(wave.unanswered() for wave in waves):
            publication.tell(State.PUBLISHING, outcome.counts, [])
        trouble = send(waves, publication.lock, token, publication.config.now, beam_args, said)
        if trouble or not _again(publication, targets, pairs, beam_args):
            break
    return trouble


def _begin(publication: Publication, target: Target, pair: str, corrections: pa.Table) -> None:
    """Write a wave down, in batches that the sink takes and the rate allows."""
    sink = target.open()
    try:
        size = sink.batch_size
    finally:
        sink.close()
    if target.rate is not None:
        size = max(1, min(size, target.rate))
    until = pc.max(corrections["expires_at"]).as_py()
    remember(publication.workspace, target.name, publication.run_id, until)
    number = last_wave(publication.place, pair) + 1
    write_wave(Wave(target, pair, number, publication.place), corrections, size)


def _again(
    publication: Publication, targets: Mapping[str, Target], pairs: list[str], beam_args: tuple[str, ...]
) -> bool:
    """Recompute what was stale, from a fresh look at target and orders; whether there is anything to send."""
    fate = publication.fates()
    stale = fate.filter(pc.and_(pc.equal(fate["status"], Status.STALE), pc.less(fate["attempt"], ATTEMPTS)))
    found = False
    for pair in pairs:
        mine = stale.filter(pc.equal(stale["pair"], pair))
        if len(mine):
            again, settled = recomputed(publication, targets[pair], mine, beam_args)
            if len(settled):
                name = f"{pair}.looked-again-{last_wave(publication.place, pair):03d}.parquet"
                write_receipts(filesystem.join(publication.place, "receipts", name), settled)
            if len(again):
                _begin(publication, targets[pair], pair, again)
                found = True
    return found


def _read_back(target: Target, fate: pa.Table) -> pa.Table:
    """The corrections whose number the target shows, as VERIFIED receipts."""
    found = []
    sink = target.open()
    try:
        for rows in fate.to_batches(max_chunksize=sink.batch_size):
            keys = list(zip(rows["target_sku"].to_pylist(), rows["location"].to_pylist(), strict=True))
            shown = sink.observe(keys)
            if shown is None:
                return fate.slice(0, 0)
            observed = pa.array([shown.get(key) for key in keys], rows.schema.field("observed").type)
            same = pc.fill_null(pc.equal(observed, rows["value"]), False)
            told = {"observed": observed}
            told |= {n: pa.array([v] * len(rows)) for n, v in (("status", "VERIFIED"), ("message", "read back"))}
            columns = [told.get(name, rows[name]) for name in rows.schema.names]
            found.append(pa.RecordBatch.from_arrays(columns, schema=rows.schema).filter(same))
    finally:
        sink.close()
    return pa.Table.from_batches(found, fate.schema)


def _counts(fate: pa.Table) -> dict[str, int]:
    """How many corrections have come how far."""
    return dict(sorted((each["values"], each["counts"]) for each in fate["status"].value_counts().to_pylist()))


def _refused(fate: pa.Table) -> pa.Table:
    """The corrections that were sent and did not take effect, by pair and key."""
    without = pa.array([Status.REJECTED, Status.STALE, Status.EXPIRED], pa.string())
    found = fate.filter(pc.is_in(fate["status"], without))
    return found.sort_by([(name, "ascending") for name in ("pair", "sku", "location")])


def _pairs(publication: Publication) -> Iterable[str]:
    return [name for name, pair in publication.origin["pairs"].items() if pair["corrections"]]


def _evidence(publication: Publication, outcome: Outcome) -> dict[str, Any]:
    """What a publish rests on, for the audit log."""
    proposal = publication.proposal() or {}
    return {
        "proposed_by": proposal.get("proposed_by"),
        "policy": publication.rules.approval.rules().version,
        "config_hash": publication.config.config_hash,
        "sending": len(outcome.corrections),
        "waiting": len(outcome.waiting),
        "rejected": outcome.rejected,
        "held": _reasons(outcome),
        "released": [f"{pair} {gate}" for pair, gate in sorted(outcome.released)],
        "rollback_of": publication.origin.get("rollback_of"),
    }


def _reasons(outcome: Outcome) -> list[str]:
    """Why pairs are held, a sentence each."""
    return [
        f"{v.pair}: {v.reason} (gate {v.gate}, bound {v.document()['bound']})"
        for v in outcome.verdicts
        if not v.passed and (v.pair, v.gate) not in outcome.released
    ]
