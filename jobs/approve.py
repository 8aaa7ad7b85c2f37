"""Approving and rejecting corrections, and letting a tripped gate go: who, what, why."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

import pyarrow as pa

from jobs import publish_plan
from jobs.audit import AuditLog
from jobs.publication import Publication, State
from pipelines.queries import Queries
from reconcilers.approvals import Policy
from reconcilers.errors import ConfigError, Refused
from reconcilers.gates import GATES
from reconcilers.schemas import outgoing_schema

_IDS = pa.schema([("correction_id", pa.string())])


@dataclass(frozen=True)
class Decision:
    """One decision as it was taken, and how many corrections it is about."""

    decision: Literal["approve", "reject"]
    corrections: int
    gates: tuple[str, ...]


def decided(publication: Publication, ask: Queries, proposal: Mapping[str, Any] | None) -> frozenset[tuple[str, str]]:
    """Make the last word on each correction the table `decision`; returns the gates that were let go, with their pairs.

    Columns `correction_id`, `approves`. Approvals of the proposer do not count under four eyes.

    Args:
        publication: the run's.
        ask: where to make it.
        proposal: who proposed it; None: nobody yet.
    """
    policy = publication.rules.approval.rules()
    own = proposal["proposed_by"].casefold() if proposal is not None and policy.four_eyes else None
    counted = [
        (each, ids)
        for each, ids in publication.decisions()
        if each["decision"] == "reject" or each["by"].casefold() != own
    ]
    ask.show("decided", [ids for _, ids in counted], _IDS)
    approves = pa.array([each["decision"] == "approve" for each, _ in counted], pa.bool_())
    ask.con.register("taken", pa.table({"approves": approves, "number": pa.array(range(len(counted)), pa.int64())}))
    ask.con.execute(
        """
        create temp table decision as
        select correction_id, arg_max(approves, number) as approves
        from decided join taken on (place >> 40) = number
        group by correction_id
        """
    )
    return frozenset((pair, gate) for each, _ in counted for pair in each["pairs"] for gate in each["gates"])


def decide(
    publication: Publication,
    decision: Literal["approve", "reject"],
    by: str,
    note: str,
    only: Collection[str] = (),
    release: Collection[str] = (),
) -> Decision:
    """Approve or reject corrections of a run, and let gates go that tripped.

    Args:
        publication: the run's.
        decision: what is decided.
        by: who decides.
        note: why, for the record.
        only: correction ids, pairs, SKUs or `SKU@location`; everything that is not sent yet if empty.
        release: names of gates that may be open in spite of what they found; approving only.

    Raises:
        Refused: proposer and approver are the same person, and the policy wants two.
        ConfigError: nothing matches, there is no such gate, or an earlier decision cannot be read.
    """
    policy = publication.rules.approval.rules()
    _check(publication, policy, decision, by, release)
    at = datetime.now(UTC)
    with publication.fates() as ask, publish_plan.planned(publication, publication.now) as plan:
        ask.show("planned", [plan.path], outgoing_schema(publication.config.decimals))
        chosen = _choose(publication, ask, only)
        pairs = sorted(chosen)
        number = sum(chosen.values())
        record = {
            "decision": decision, "by": by, "at": at, "note": note, "only": list(only), "gates": list(release),
            "pairs": pairs, "policy": policy.version, "corrections": number,
        }  # fmt: skip
        ids = ask.pieces("select correction_id from chosen order by place", _IDS)
        publication.decide(f"{at:%Y%m%dT%H%M%S%fZ}-{uuid4().hex[:8]}", record, ids)
        evidence = {**record, "found": _found(publication, ask, pairs, release)}
        AuditLog(publication.workspace.root).append(decision, by, publication.run_id, evidence)
        _tell(publication, ask, decision, note)
    return Decision(decision, number, tuple(release))


def _check(
    publication: Publication, policy: Policy, decision: Literal["approve", "reject"], by: str, release: Collection[str]
) -> None:
    """Whether this person may decide so, before anything is written."""
    proposal = publication.proposal()
    publication.decisions()  # one that cannot be read is told before another is written
    if decision == "approve" and proposal is not None:
        policy.check_approver(proposal["proposed_by"], by)
    unknown = sorted(set(release) - set(GATES))
    if unknown:
        raise ConfigError(f"no gate {unknown[0]!r}; there are: {', '.join(GATES)}")


def _choose(publication: Publication, ask: Queries, only: Collection[str]) -> dict[str, int]:
    """Make the corrections that are meant the table `chosen`; returns how many of each pair.

    Each selector must mean something.
    """
    run = publication.run_id
    ask.con.execute(
        "create temp table unsent as "
        "select place, correction_id, pair, sku, location from planned anti join fate using (correction_id)"
    )
    if not ask.number("select count(*) from unsent"):
        raise Refused(f"run {run}: no correction is left to decide about")
    ask.con.register("selector", pa.table({"text": pa.array(list(only), pa.string()), "number": range(len(only))}))
    ask.con.execute(
        "create temp view named as "
        "select place, unnest([correction_id, pair, sku, sku || '@' || location]) as text from unsent"
    )
    nothing = ask.con.sql("select text from selector anti join named using (text) order by number limit 1").fetchall()
    if nothing:
        raise ConfigError(f"{nothing[0][0]!r} is no correction, pair or SKU of run {run} that is not sent")
    meant = "semi join (select place from named semi join selector using (text)) using (place)" if only else ""
    ask.con.execute(f"create temp table chosen as select place, correction_id, pair from unsent {meant}")
    return ask.counts("select pair, count(*) from chosen group by pair")


def _found(
    publication: Publication, ask: Queries, pairs: Iterable[str], release: Collection[str]
) -> list[dict[str, object]]:
    """What the gates that are let go had found, for the record."""
    if not release:
        return []
    verdicts = publish_plan.judge(publication, ask, publication.now)
    return [v.document() for v in verdicts if v.gate in release and v.pair in pairs and not v.passed]


def _tell(publication: Publication, ask: Queries, decision: str, note: str) -> None:
    """The state that a decision leads to: sent things stay as they are."""
    if publication.state() in (State.PUBLISHED, State.PUBLISHING, State.ROLLED_BACK):
        return
    decided(publication, ask, publication.proposal())
    left = "select count(*) from planned anti join (from decision where not approves) using (correction_id)"
    state = State.APPROVED if ask.number(left) else State.REJECTED
    if decision == "reject" and state is State.APPROVED:
        return
    publication.tell(state, {}, [note] if note else [])
