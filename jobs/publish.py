"""Publishing the corrections of a run: plan, gates, approvals, waves, receipts.

Everything that was decided is on disk before it is acted on, so that a process that is killed anywhere can
be run again: what has a receipt is not sent again, what may have been sent carries the same key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs import publish_plan
from jobs.approve import decided
from jobs.audit import AuditLog
from jobs.publication import Publication, State, counts_of
from jobs.publish_plan import Planned
from jobs.published import remember
from jobs.refresh import recomputed
from jobs.rollback import mark_undone
from pipelines import filesystem, lock
from pipelines.publish import Target, Wave, add_receipts, last_wave, send, write_wave
from pipelines.queries import Queries, Rows, kept, of_size
from reconcilers.gates import Verdict
from reconcilers.published import standing
from reconcilers.rules import literal
from reconcilers.schemas import outgoing_schema, receipts_schema

#: Numbers computed for one correction before it is left to the next run.
ATTEMPTS = 3

Progress = Callable[..., None]


@dataclass(frozen=True)
class Outcome:
    """What a publish did, or would do.

    `corrections` are those that would be sent next (`outgoing_schema`), `verdicts` what every gate says,
    `held` the pairs that a gate holds, `waiting` corrections that somebody has to approve, `rejected`
    how many somebody rejected, `left_out` why others cannot be sent and how many, `counts` what has
    become of the corrections that were sent, `refused` those of them that did not take effect
    (`pair, sku, location, status, message`: the target's), `trouble` targets that do not answer.
    """

    run_id: str
    applied: bool
    corrections: Rows
    verdicts: list[Verdict]
    released: frozenset[tuple[str, str]]
    held: tuple[str, ...]
    waiting: Rows
    rejected: int
    left_out: Mapping[str, int]
    refused: Rows
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
    with publish_plan.planned(publication, now) as plan:
        return _judged(publication, plan, now)


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
        with publication.fates() as ask:
            counts, refused = counts_of(ask), _refused(ask)
        told = {"applied": True, "counts": counts, "refused": refused, "trouble": tuple(trouble)}
        done = Outcome(**{**vars(outcome), **told})
        audit.append("published", by, publication.run_id, {"counts": counts, "trouble": trouble})
        publication.tell(done.state, counts, [*_reasons(done), *trouble])
        return done


def verify(publication: Publication) -> Mapping[str, int]:
    """Read back what was acknowledged, where the target can be asked; returns what has become of everything.

    A number that has moved on since is left to the target's next snapshot, which knows of its orders.
    """
    schema = receipts_schema(publication.config.decimals)
    for pair in _pairs(publication):
        with publication.fates() as ask:
            asked = ask.pieces(f"from fate where pair = {literal(pair)} and status in ('APPLIED', 'SENT')", schema)
            first = next(asked, None)
            if first is not None:
                target = publish_plan.target_of(publication, pair.split("~")[0])
                add_receipts(publication.place, f"{pair}.verified", _read_back(target, chain([first], asked)))
    return publication.counts()


def _proposed(publication: Publication, by: str, now: datetime) -> Planned:
    """The plan, made and kept the first time: keys, instants and proposer never change afterwards."""
    if filesystem.exists(publication.plan) and publication.proposal() is not None:
        return Planned(publication.plan)
    made = publish_plan.plan(publication, now, publication.plan)
    policy = publication.rules.approval.rules().version
    document = {"proposed_by": by, "at": now, "policy": policy, "corrections": made.number}
    publication.write("plan.json", document)
    return made


def _judged(publication: Publication, plan: Planned, now: datetime) -> Outcome:
    """What of the plan may go out now, and why the rest may not."""
    schema = outgoing_schema(publication.config.decimals)
    with publication.fates() as ask:
        ask.show("planned", [plan.path], schema)
        released = decided(publication, ask, publication.proposal())
        verdicts = publish_plan.judge(publication, ask, now)
        tripped = [v for v in verdicts if not v.passed and (v.pair, v.gate) not in released]
        held = tuple(dict.fromkeys(v.pair for v in tripped))
        ask.con.register("held", pa.table({"pair": pa.array(held, pa.string())}))
        standing(ask.con)
        return Outcome(
            run_id=publication.run_id,
            applied=False,
            corrections=kept(ask.at("planned", "select place from standing where is_free and not is_held"), schema),
            verdicts=verdicts,
            released=released,
            held=held,
            waiting=kept(ask.at("planned", "select place from standing where not is_free"), schema),
            rejected=ask.number("select count(*) from decision where not approves"),
            left_out=plan.left_out,
            refused=_refused(ask),
            counts=counts_of(ask),
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
        mine = (rows.filter(pc.equal(rows["pair"], pair)) for rows in outcome.corrections.pieces())
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


def _begin(publication: Publication, target: Target, pair: str, corrections: Iterable[pa.Table]) -> int:
    """Write a wave down, in batches that the sink takes and the rate allows; returns how many corrections it has."""
    some = (rows for rows in corrections if len(rows))
    first = next(some, None)
    if first is None:
        return 0
    sink = target.open()
    try:
        size = sink.batch_size
    finally:
        sink.close()
    if target.rate is not None:
        size = max(1, min(size, target.rate))
    # those of a plan expire together
    remember(publication.workspace, target.name, publication.run_id, first["expires_at"][0].as_py())
    number = last_wave(publication.place, pair) + 1
    return write_wave(Wave(target, pair, number, publication.place), chain([first], some), size)


def _again(
    publication: Publication, targets: Mapping[str, Target], pairs: list[str], beam_args: tuple[str, ...]
) -> bool:
    """Recompute what was stale, from a fresh look at target and orders; whether there is anything to send."""
    schema = receipts_schema(publication.config.decimals)
    number = 0
    for pair in pairs:
        with publication.fates() as ask:
            found = f"from fate where pair = {literal(pair)} and status = 'STALE' and attempt < {ATTEMPTS}"
            stale = kept(ask.pieces(found, schema), schema)
        if len(stale):
            number += _begin(
                publication, targets[pair], pair, _looked_again(publication, targets[pair], pair, stale, beam_args)
            )
    return number > 0


def _looked_again(
    publication: Publication, target: Target, pair: str, stale: Rows, beam_args: tuple[str, ...]
) -> Iterator[pa.Table]:
    """What to send instead of stale corrections; those that are settled without get their receipts."""
    for again, settled in recomputed(publication, target, stale, beam_args):
        if len(settled):
            add_receipts(publication.place, f"{pair}.looked-again", [settled])
        yield again


def _read_back(target: Target, fate: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The corrections whose number the target shows, as VERIFIED receipts."""
    sink = target.open()
    try:
        for rows in of_size(fate, sink.batch_size):
            keys = list(zip(rows["target_sku"].to_pylist(), rows["location"].to_pylist(), strict=True))
            shown = sink.observe(keys)
            if shown is None:
                return
            observed = pa.array([shown.get(key) for key in keys], rows.schema.field("observed").type)
            same = pc.fill_null(pc.equal(observed, rows["value"]), False)
            told = {"observed": observed}
            told |= {n: pa.array([v] * len(rows)) for n, v in (("status", "VERIFIED"), ("message", "read back"))}
            found = pa.table([told.get(name, rows[name]) for name in rows.schema.names], schema=rows.schema)
            if pc.any(same).as_py():
                yield found.filter(same)
    finally:
        sink.close()


def _refused(ask: Queries) -> Rows:
    """The corrections that were sent and did not take effect, by pair and key."""
    schema = pa.schema([(name, pa.string()) for name in ("pair", "sku", "location", "status", "message")])
    without = "status in ('REJECTED', 'STALE', 'EXPIRED')"
    return kept(ask.pieces(f"from fate where {without} order by pair, sku, location", schema), schema)


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
