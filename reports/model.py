"""A report as data: what a run found, the worst of it first. Text and HTML are functions of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from reconcilers.schemas import Class
from reports import words

#: Rows of a table in a report; a report says how many more there are.
SHOWN = 200

#: What a reader needs to tell apart, in the order of a bar: name, words, classes.
GROUPS: tuple[tuple[str, str, tuple[Class, ...]], ...] = (
    ("agree", "agree", (Class.MATCHED,)),
    ("in_flight", "on their way", (Class.IN_FLIGHT,)),
    ("late", "late", (Class.LATE,)),
    ("conflict", "contradictory", (Class.CONFLICT,)),
    ("break", "unexplained", (Class.BREAK,)),
    (
        "unjudged",
        "not judged",
        (Class.MISSING_IN_A, Class.MISSING_IN_B, Class.AMBIGUOUS, Class.EVENTS_INCOMPLETE, Class.UNKNOWN),
    ),
)
FAULTS = (Class.BREAK, Class.CONFLICT, Class.LATE)
SEVERITIES = ("critical", "high", "medium", "low")


@dataclass(frozen=True)
class Group:
    """Keys of a pair that mean the same to a reader: how many, how many units, and their value."""

    name: str
    words: str
    keys: int
    units: Decimal
    value: Decimal


@dataclass(frozen=True)
class Cause:
    """Something that may be behind a break: a reason, how much of it, and the document."""

    reason: str
    words: str
    quantity: Decimal
    evidence: str


@dataclass(frozen=True)
class Fault:
    """One key that somebody has to look after."""

    sku: str
    location: str
    class_name: str
    reason: str | None
    severity: str
    quantity_a: Decimal | None
    quantity_b: Decimal | None
    expected_diff: Decimal | None
    unexplained: Decimal | None
    value: Decimal | None
    runs_seen: int
    causes: tuple[Cause, ...]

    @property
    def rank(self) -> int:
        """The severity as a number, 0 for the worst."""
        return SEVERITIES.index(self.severity)

    @property
    def words(self) -> str:
        """What it is."""
        return words.of_reason(self.reason) or words.of_class(self.class_name)

    @property
    def advice(self) -> str:
        """What to do about it."""
        return words.advice(self.reason, self.class_name)


@dataclass(frozen=True)
class Document:
    """An order or movement that explains a part of a difference."""

    sku: str
    location: str
    ref: str
    kind: str
    quantity: Decimal
    posted_at: datetime | None
    clears_by: datetime | None
    class_name: str
    words: str


@dataclass(frozen=True)
class Correction:
    """What a target should be told."""

    sku: str
    location: str
    change_from: Decimal
    value: Decimal
    delta: Decimal
    words: str


@dataclass(frozen=True)
class Unjudged:
    """Keys of a pair that nothing can be said about, and why."""

    class_name: str
    words: str
    advice: str
    keys: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class PairReport:
    """What is known about one pair."""

    name: str
    target: str
    authority: str
    keys: int
    groups: tuple[Group, ...]
    price_known: float
    faults: tuple[Fault, ...]
    all_faults: int
    documents: tuple[Document, ...]
    all_documents: int
    corrections: tuple[Correction, ...]
    all_corrections: int
    unjudged: tuple[Unjudged, ...]
    lines_cut_off: int
    reasons: tuple[tuple[str, int], ...]

    def group(self, name: str) -> Group:
        """One of the groups."""
        return next(group for group in self.groups if group.name == name)


@dataclass(frozen=True)
class Quality:
    """One snapshot, and how it fared with its expectations."""

    system: str
    dataset: str
    as_of: str
    rows: int
    rejected: int
    reject_reasons: tuple[tuple[str, int], ...]
    evaluated: int
    failed: int
    critical: int
    messages: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """A run, ready to be shown."""

    run_id: str
    job: str
    now: str
    finished_at: str
    tool_version: str
    pairs: tuple[PairReport, ...]
    quality: tuple[Quality, ...]
    gates: tuple[Mapping[str, Any], ...]
    timings: tuple[tuple[str, float], ...]

    @property
    def refused(self) -> tuple[Quality, ...]:
        """Snapshots that failed a critical expectation: nothing was concluded from them."""
        return tuple(each for each in self.quality if each.critical)

    @property
    def status(self) -> str:
        """`refused`, `attention` or `good`."""
        if self.refused:
            return "refused"
        return "attention" if any(pair.all_faults for pair in self.pairs) else "good"

    @property
    def verdict(self) -> str:
        """What a shop manager has to know, in a sentence or two."""
        if self.refused:
            first = self.refused[0]
            failed = _count(first.critical, "critical expectation")
            more = f", and {_count(len(self.refused) - 1, 'more snapshot')} did too" if len(self.refused) > 1 else ""
            return f"Nothing can be concluded: {first.system}/{first.dataset} failed {failed}{more}."
        return " ".join(_verdict(self.pairs))


def build(
    summary: Mapping[str, Any],
    breaks: pa.Table,
    corrections: pa.Table,
    in_flight: pa.Table,
    validation: Iterable[Mapping[str, Any]],
) -> Report:
    """The report of a run from its summary (fresh, or read back from `summary.json`) and data sets."""
    judged = {(row["system"], row["dataset"]): row for row in validation}
    return Report(
        run_id=summary["run_id"],
        job=summary["job"] or "",
        now=summary["now"],
        finished_at=summary["finished_at"],
        tool_version=summary["tool_version"],
        pairs=tuple(
            _pair(name, pair, *(_of_pair(table, name) for table in (breaks, corrections, in_flight)))
            for name, pair in summary["pairs"].items()
        ),
        quality=tuple(_quality(s, judged.get((s["system"], s["dataset"]), {})) for s in summary["snapshots"]),
        gates=tuple(summary["gates"]),
        timings=tuple(summary["timings"].items()),
    )


def _pair(
    name: str, summary: Mapping[str, Any], breaks: pa.Table, corrections: pa.Table, in_flight: pa.Table
) -> PairReport:
    faults = breaks.filter(pc.is_in(breaks["class"], pa.array([str(c) for c in FAULTS])))
    reasons = {
        reason: amounts["keys"]
        for class_name in FAULTS
        for reason, amounts in summary["reasons"].get(str(class_name), {}).items()
    }
    return PairReport(
        name=name,
        target=summary["target"],
        authority=summary["authority"],
        keys=summary["keys"],
        groups=tuple(_group(group, summary["classes"]) for group in GROUPS),
        price_known=float(summary["price_known"]),
        faults=tuple(_fault(row) for row in _worst(faults)),
        all_faults=len(faults),
        documents=tuple(_document(row) for row in _soonest(in_flight)),
        all_documents=len(in_flight),
        corrections=tuple(_correction(row) for row in _largest(corrections)),
        all_corrections=len(corrections),
        unjudged=tuple(_unjudged(breaks, summary["classes"])),
        lines_cut_off=summary["lines_cut_off"],
        reasons=tuple(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
    )


def _group(group: tuple[str, str, tuple[Class, ...]], classes: Mapping[str, Any]) -> Group:
    name, said, members = group
    amounts = [classes[str(member)] for member in members if str(member) in classes]
    return Group(
        name,
        said,
        sum(amount["keys"] for amount in amounts),
        sum((Decimal(amount["units"]) for amount in amounts), Decimal(0)),
        sum((Decimal(amount["value"]) for amount in amounts), Decimal(0)),
    )


def _of_pair(table: pa.Table, name: str) -> pa.Table:
    return table.filter(pc.equal(table["pair"], name))


def _worst(faults: pa.Table) -> list[dict[str, Any]]:
    """Most severe first, then the most valuable, then the largest."""
    keys = pa.table(
        {
            "rank": pc.index_in(faults["severity"], pa.array(SEVERITIES)),
            "value": pc.negate(pc.fill_null(faults["value"], Decimal(0))),
            "size": pc.negate(pc.abs(pc.coalesce(faults["unexplained"], faults["raw_diff"]))),
            "sku": faults["sku"],
            "location": faults["location"],
        }
    )
    return _first(faults, keys)


def _soonest(in_flight: pa.Table) -> list[dict[str, Any]]:
    """Late and contradictory documents first, then those due next."""
    keys = pa.table(
        {
            "late": pc.index_in(in_flight["class"], pa.array(["CONFLICT", "LATE", "IN_FLIGHT"])),
            "clears_by": in_flight["clears_by"],
            "sku": in_flight["sku"],
            "ref": in_flight["ref"],
        }
    )
    return _first(in_flight, keys)


def _largest(corrections: pa.Table) -> list[dict[str, Any]]:
    keys = pa.table(
        {
            "size": pc.negate(pc.abs(corrections["delta"])),
            "sku": corrections["sku"],
            "location": corrections["location"],
        }
    )
    return _first(corrections, keys)


def _first(table: pa.Table, keys: pa.Table) -> list[dict[str, Any]]:
    order = pc.sort_indices(keys, [(name, "ascending") for name in keys.column_names])
    rows: list[dict[str, Any]] = table.take(order[:SHOWN]).to_pylist()
    return rows


def _fault(row: Mapping[str, Any]) -> Fault:
    return Fault(
        sku=row["sku"],
        location=row["location"],
        class_name=row["class"],
        reason=row["reason"],
        severity=row["severity"],
        quantity_a=row["quantity_a"],
        quantity_b=row["quantity_b"],
        expected_diff=row["expected_diff"],
        unexplained=row["unexplained"],
        value=row["value"],
        runs_seen=row["runs_seen"],
        causes=tuple(causes(row["causes"])),
    )


def causes(text: str) -> Iterable[Cause]:
    """The cause candidates of a break, most probable first."""
    for cause in json.loads(text):
        yield Cause(cause["reason"], words.of_reason(cause["reason"]), Decimal(cause["quantity"]), cause["evidence"])


def _document(row: Mapping[str, Any]) -> Document:
    return Document(
        sku=row["sku"],
        location=row["location"],
        ref=row["ref"],
        kind=row["kind"],
        quantity=row["quantity"],
        posted_at=row["posted_at"],
        clears_by=row["clears_by"],
        class_name=row["class"],
        words=words.of_reason(row["reason"]),
    )


def _correction(row: Mapping[str, Any]) -> Correction:
    return Correction(
        sku=row["sku"],
        location=row["location"],
        change_from=row["change_from"],
        value=row["value"],
        delta=row["delta"],
        words=words.of_reason(row["reason"]),
    )


def _unjudged(breaks: pa.Table, classes: Mapping[str, Any]) -> Iterable[Unjudged]:
    for member in GROUPS[-1][2]:
        if str(member) in classes:
            rows = breaks.filter(pc.equal(breaks["class"], str(member))).slice(0, 5).to_pylist()
            said = words.CLASSES[member]
            examples = tuple(f"{row['sku']} at {row['location']}" for row in rows)
            yield Unjudged(str(member), said.short, said.advice, classes[str(member)]["keys"], examples)


def _quality(snapshot: Mapping[str, Any], judged: Mapping[str, Any]) -> Quality:
    return Quality(
        system=snapshot["system"],
        dataset=snapshot["dataset"],
        as_of=snapshot["as_of"],
        rows=snapshot["rows"],
        rejected=snapshot["rejected"],
        reject_reasons=tuple(snapshot["reject_reasons"].items()),
        evaluated=judged.get("evaluated", 0),
        failed=judged.get("failed", 0),
        critical=len(judged.get("critical", ())),
        messages=tuple(judged.get("messages", ())),
    )


def _verdict(pairs: Iterable[PairReport]) -> Iterable[str]:
    pairs = list(pairs)
    keys = sum(pair.keys for pair in pairs)
    faults = sum(pair.all_faults for pair in pairs)
    moving = sum(pair.group("in_flight").keys for pair in pairs)
    unjudged = sum(pair.group("unjudged").keys for pair in pairs)
    if faults:
        groups = [group for pair in pairs for group in pair.groups if group.name in ("late", "conflict", "break")]
        value = sum((group.value for group in groups), Decimal(0))
        needs = "needs" if faults == 1 else "need"
        worth = f"; together worth {value:,.2f}" if value else ""
        yield f"{faults:,} of {_count(keys, 'stock number')} {needs} somebody: {_kinds(pairs)}{worth}."
    else:
        yield f"None of {_count(keys, 'stock number')} needs anybody."
    if moving:
        yield f"{moving:,} {'differs' if moving == 1 else 'differ'} only by orders and movements on their way."
    if unjudged:
        yield f"{unjudged:,} could not be judged."
    yield "Everything else agrees." if faults or moving or unjudged else "Everything agrees."


def _kinds(pairs: Iterable[PairReport]) -> str:
    """The faults by reason, the most frequent first."""
    counts: dict[str, int] = {}
    for pair in pairs:
        for reason, keys in pair.reasons:
            counts[words.of_reason(reason)] = counts.get(words.of_reason(reason), 0) + keys
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{said} ({count:,})" for said, count in ordered)


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
