"""Approving and rejecting corrections, and letting a tripped gate go: who, what, why."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc

from jobs import publish_plan
from jobs.audit import AuditLog
from jobs.publication import Publication, State
from reconcilers.errors import ConfigError, Refused
from reconcilers.gates import GATES


@dataclass(frozen=True)
class Decided:
    """What people decided about a run: ids of corrections, and gates of pairs."""

    approved: frozenset[str]
    rejected: frozenset[str]
    released: frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Decision:
    """One decision as it was taken, and how many corrections it is about."""

    decision: Literal["approve", "reject"]
    corrections: int
    gates: tuple[str, ...]


def decided(publication: Publication, proposal: Mapping[str, Any] | None) -> Decided:
    """All decisions about a run folded, a later one wins; those of the proposer do not count under four eyes.

    Args:
        publication: the run's.
        proposal: who proposed it; None: nobody yet.
    """
    approved: set[str] = set()
    rejected: set[str] = set()
    released: set[tuple[str, str]] = set()
    policy = publication.rules.approval.rules()
    for each in publication.decisions():
        ids = set(each["corrections"])
        if each["decision"] == "reject":
            rejected |= ids
            approved -= ids
            continue
        if proposal is not None and policy.four_eyes and each["by"].casefold() == proposal["proposed_by"].casefold():
            continue
        approved |= ids
        rejected -= ids
        released |= {(pair, gate) for pair in each["pairs"] for gate in each["gates"]}
    return Decided(frozenset(approved), frozenset(rejected), frozenset(released))


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
        ConfigError: nothing matches, or there is no such gate.
    """
    policy = publication.rules.approval.rules()
    proposal = publication.proposal()
    if decision == "approve" and proposal is not None:
        policy.check_approver(proposal["proposed_by"], by)
    unknown = sorted(set(release) - set(GATES))
    if unknown:
        raise ConfigError(f"no gate {unknown[0]!r}; there are: {', '.join(GATES)}")
    planned = publication.planned()
    if planned is None:
        planned = publish_plan.plan(publication, publication.now).corrections
    chosen = _chosen(publication, planned, only)
    pairs = sorted(set(chosen["pair"].to_pylist()))
    ids = chosen["correction_id"].to_pylist()
    at = datetime.now(UTC)
    record = {
        "decision": decision, "by": by, "at": at, "note": note, "only": list(only), "gates": list(release),
        "pairs": pairs, "policy": policy.version, "corrections": ids,
    }  # fmt: skip
    publication.write(f"decisions/{at:%Y%m%dT%H%M%S%fZ}-{uuid4().hex[:8]}.json", record)
    evidence = {**record, "corrections": len(ids), "found": _found(publication, planned, pairs, release)}
    AuditLog(publication.workspace.root).append(decision, by, publication.run_id, evidence)
    _tell(publication, decision, planned, note)
    return Decision(decision, len(ids), tuple(release))


def _chosen(publication: Publication, planned: pa.Table, only: Collection[str]) -> pa.Table:
    """The corrections that are meant; each selector must mean something."""
    sent = publication.fates()["correction_id"]
    left = planned.filter(pc.invert(pc.is_in(planned["correction_id"], pc.unique(sent))))
    if not len(left):
        raise Refused(f"run {publication.run_id}: no correction is left to decide about")
    if not only:
        return left
    names = [left[name] for name in ("correction_id", "pair", "sku")]
    names.append(pc.binary_join_element_wise(left["sku"], left["location"], "@"))
    for selector in only:
        if not any(pc.any(pc.equal(column, selector)).as_py() for column in names):
            raise ConfigError(
                f"{selector!r} is no correction, pair or SKU of run {publication.run_id} that is not sent"
            )
    wanted = pa.array(list(only), pa.string())
    matches = [pc.is_in(column, wanted) for column in names]
    return left.filter(pc.or_(pc.or_(matches[0], matches[1]), pc.or_(matches[2], matches[3])))


def _found(
    publication: Publication, planned: pa.Table, pairs: Iterable[str], release: Collection[str]
) -> list[dict[str, object]]:
    """What the gates that are let go had found, for the record."""
    if not release:
        return []
    verdicts = publish_plan.judge(publication, planned, publication.now)
    return [v.document() for v in verdicts if v.gate in release and v.pair in pairs and not v.passed]


def _tell(publication: Publication, decision: str, planned: pa.Table, note: str) -> None:
    """The state that a decision leads to: sent things stay as they are."""
    if publication.state() in (State.PUBLISHED, State.PUBLISHING, State.ROLLED_BACK):
        return
    made = decided(publication, publication.proposal())
    everything = set(planned["correction_id"].to_pylist())
    state = State.REJECTED if everything <= made.rejected else State.APPROVED
    if decision == "reject" and state is State.APPROVED:
        return
    publication.tell(state, {}, [note] if note else [])
