"""A report out of what a run wrote: its summary and data sets, the worst first."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from reconcilers.schemas import Class
from reports import comparison, orders, sentence, words, worst
from reports.nouns import Nouns, nouns_of, reworded
from reports.records import (
    FAULTS,
    Alias,
    Cause,
    Correction,
    Document,
    Fault,
    Flow,
    Gate,
    Group,
    Listing,
    PairReport,
    Quality,
    Report,
    Unjudged,
)

__all__ = ["Report", "build", "causes"]

#: Nothing can be said about keys of these classes.
UNJUDGED = (Class.MISSING_IN_A, Class.MISSING_IN_B, Class.AMBIGUOUS, Class.EVENTS_INCOMPLETE, Class.UNKNOWN)

#: What a reader needs to tell apart, in the order of a bar: name, words, meaning, classes.
GROUPS: tuple[tuple[str, str, str, tuple[Class, ...]], ...] = (
    ("agree", "agree", words.CLASSES[Class.MATCHED].advice, (Class.MATCHED,)),
    ("in_flight", "on their way", words.CLASSES[Class.IN_FLIGHT].advice, (Class.IN_FLIGHT,)),
    ("late", "late", words.CLASSES[Class.LATE].advice, (Class.LATE,)),
    ("conflict", "contradictory", words.CLASSES[Class.CONFLICT].advice, (Class.CONFLICT,)),
    ("break", "unexplained", words.CLASSES[Class.BREAK].advice, (Class.BREAK,)),
    ("unjudged", "not judged", "What is needed for a judgement is missing; why is said below.", UNJUDGED),
)

#: How many keys that could not be judged are named.
EXAMPLES = 5


def build(
    summary: Mapping[str, Any],
    breaks: pa.Table,
    corrections: pa.Table,
    in_flight: pa.Table,
    validation: Iterable[Mapping[str, Any]],
    differences: Mapping[str, pa.Table] = MappingProxyType({}),
) -> Report:
    """The report of a run.

    Args:
        summary: fresh, with quantities as `Decimal`, or read back from `summary.json` as text.
        breaks: rows of `breaks_schema`, of any number of pairs.
        corrections: rows of `corrections_schema`.
        in_flight: rows of `in_flight_schema`.
        validation: one result a snapshot: system, dataset, success, evaluated, failed, critical, messages.
        differences: those of each pair of orders.
    """
    pairs = tuple(_pair(name, pair, breaks, corrections, in_flight) for name, pair in summary["pairs"].items())
    quality = tuple(_qualities(summary["snapshots"], validation))
    compared = summary.get("records", {})
    comparisons = tuple(
        comparison.summed_up(name, pair) for name, pair in compared.items() if pair["kind"] == "records"
    )
    ordered = tuple(
        orders.summed_up(name, compared[name], found, (breaks, in_flight)) for name, found in differences.items()
    )
    status, lead, rest = _headline(pairs, quality, comparisons, ordered)
    return Report(
        run_id=summary["run_id"],
        job=summary["job"] or "",
        now=datetime.fromisoformat(summary["now"]),
        finished_at=datetime.fromisoformat(summary["finished_at"]),
        tool_version=summary["tool_version"],
        status=status,
        lead=lead,
        rest=rest,
        pairs=pairs,
        quality=quality,
        gates=tuple(_gate(gate) for gate in summary["gates"]),
        timings=tuple(summary["timings"].items()),
        comparisons=comparisons,
        orders=ordered,
    )


def _headline(
    pairs: Sequence[PairReport],
    quality: Sequence[Quality],
    comparisons: Sequence[comparison.ComparisonReport],
    ordered: Sequence[orders.OrdersReport],
) -> tuple[str, str, str]:
    """How the run stands, and the sentence about it in two parts."""
    lead, rest = sentence.verdict(pairs, quality)
    status = sentence.status(pairs, quality)
    if not (comparisons or ordered) or status == "refused":
        return status, lead, rest
    said = _said(comparisons, ordered)
    lead, rest = (lead, f"{rest.rstrip('.')}; {said}.") if pairs else (said, ".")
    if any(each.faulty for each in ordered):
        return "attention", lead, rest
    return comparison.status(status if pairs else "good", comparisons), lead, rest


def _said(comparisons: Iterable[comparison.ComparisonReport], ordered: Iterable[orders.OrdersReport]) -> str:
    """What the sentence says of records and orders."""
    leads = [(each.name, each.lead) for each in comparisons] + [(each.name, each.brief) for each in ordered]
    return "; ".join(f"{name}: {told.rstrip('.')}" for name, told in leads)


def causes(text: str) -> Iterable[Cause]:
    """The cause candidates of a break, most probable first, from the JSON of its row."""
    for cause in json.loads(text):
        yield Cause(cause["reason"], _exact(cause["quantity"]), cause["evidence"] or "")


def _pair(
    name: str, summary: Mapping[str, Any], breaks: pa.Table, corrections: pa.Table, in_flight: pa.Table
) -> PairReport:
    classes, nouns = summary["classes"], nouns_of(summary.get("figure"))
    stuck, moving = (Class.CONFLICT, Class.LATE), (Class.IN_FLIGHT,)
    return PairReport(
        name=name,
        target=summary["target"],
        authority=summary["authority"],
        keys=summary["keys"],
        groups=tuple(
            _group(name, said, reworded(meaning, nouns), members, classes) for name, said, meaning, members in GROUPS
        ),
        reasons=tuple(_reasons(summary)),
        price_known=float(summary["price_known"]),
        units_a=_exact(summary["units_a"]),
        units_b=_exact(summary["units_b"]),
        faults=Listing(tuple(_fault(row, nouns) for row in worst.faults(breaks, name)), _keys(classes, FAULTS)),
        overdue=_documents(in_flight, name, stuck),
        flows=tuple(map(_flow, worst.flows(in_flight, name))),
        moving=_documents(in_flight, name, moving),
        corrections=Listing(
            tuple(map(_correction, worst.corrections(corrections, name))), worst.count(corrections, name)
        ),
        unjudged=tuple(_unjudged(breaks, name, classes, nouns)),
        aliases=tuple(Alias(a["sku_a"], a["sku_b"], Decimal(a["units"])) for a in summary.get("aliases", ())),
        lines_cut_off=summary["lines_cut_off"],
        nouns=nouns,
    )


def _group(name: str, said: str, meaning: str, members: Iterable[Class], classes: Mapping[str, Any]) -> Group:
    amounts = [classes[member] for member in members if member in classes]
    return Group(
        name,
        said,
        meaning,
        sum(amount["keys"] for amount in amounts),
        sum((_exact(amount["units"]) for amount in amounts), Decimal(0)),
        sum((_exact(amount["value"]) for amount in amounts), Decimal(0)),
    )


def _reasons(summary: Mapping[str, Any]) -> Iterable[tuple[str, str, int]]:
    for class_name, reasons in summary["reasons"].items():
        for reason, amounts in reasons.items():
            yield class_name, reason, amounts["keys"]


def _keys(classes: Mapping[str, Any], members: Iterable[Class]) -> int:
    return sum(classes[member]["keys"] for member in members if member in classes)


def _fault(row: Mapping[str, Any], nouns: Nouns) -> Fault:
    return Fault(
        sku=row["sku"],
        location=row["location"],
        class_name=row["class"],
        reason=row["reason"],
        severity=row["severity"],
        status=row["status"],
        quantity_a=row["quantity_a"],
        quantity_b=row["quantity_b"],
        expected_diff=row["expected_diff"],
        unexplained=row["unexplained"],
        value=row["value"],
        first_seen_run=row["first_seen_run"],
        runs_seen=row["runs_seen"],
        causes=tuple(causes(row["causes"])),
        nouns=nouns,
    )


def _documents(in_flight: pa.Table, pair: str, classes: Sequence[Class]) -> Listing[Document]:
    rows = worst.documents(in_flight, pair, classes)
    return Listing(tuple(map(_document, rows)), worst.count(in_flight, pair, classes))


def _document(row: Mapping[str, Any]) -> Document:
    return Document(
        ref=row["ref"],
        kind=row["kind"],
        sku=row["sku"],
        location=row["location"],
        quantity=row["quantity"],
        posted_at=row["posted_at"],
        clears_by=row["clears_by"],
        class_name=row["class"],
        reason=row["reason"],
    )


def _flow(row: Mapping[str, Any]) -> Flow:
    return Flow(row["reason"], row["count_all"], row["units_sum"], row["clears_by_min"], row["clears_by_max"])


def _correction(row: Mapping[str, Any]) -> Correction:
    return Correction(
        sku=row["sku"],
        location=row["location"],
        change_from=row["change_from"],
        value=row["value"],
        delta=row["delta"],
        reason=row["reason"],
        status=row["status"],
    )


def _unjudged(breaks: pa.Table, pair: str, classes: Mapping[str, Any], nouns: Nouns) -> Iterable[Unjudged]:
    for member in UNJUDGED:
        if member in classes:
            rows = worst.examples(breaks, pair, member, EXAMPLES)
            advice = reworded(words.CLASSES[member].advice, nouns)
            examples = tuple(f"{row['sku']} at {row['location']}" for row in rows)
            yield Unjudged(str(member), words.CLASSES[member].short, advice, classes[member]["keys"], examples)


def _qualities(snapshots: Iterable[Mapping[str, Any]], validation: Iterable[Mapping[str, Any]]) -> Iterable[Quality]:
    """A row a snapshot, and one for each result whose snapshot the summary does not know."""
    judged = {(result["system"], result["dataset"]): result for result in validation}
    for snapshot in snapshots:
        yield _quality(snapshot, judged.pop((snapshot["system"], snapshot["dataset"]), {}))
    for result in judged.values():
        yield _quality({}, result)


def _quality(snapshot: Mapping[str, Any], result: Mapping[str, Any]) -> Quality:
    either = {**result, **snapshot}
    as_of = snapshot.get("as_of")
    name = f"{either['system']}/{either['dataset']}"
    return Quality(
        system=either["system"],
        dataset=either["dataset"],
        snapshot_id=snapshot.get("snapshot_id", ""),
        as_of=datetime.fromisoformat(as_of) if as_of else None,
        rows=snapshot.get("rows"),
        rejected=snapshot.get("rejected", 0),
        reject_reasons=tuple(snapshot.get("reject_reasons", {}).items()),
        evaluated=result.get("evaluated", 0),
        failed=result.get("failed", 0),
        critical=tuple(message.removeprefix(f"{name}: ") for message in result.get("critical", ())),
        messages=tuple(result.get("messages", ())),
    )


def _gate(gate: Mapping[str, Any]) -> Gate:
    return Gate(gate["pair"], gate["gate"], _exact(gate["value"]), _exact(gate["bound"]), bool(gate["passed"]))


def _exact(value: object) -> Decimal:
    """A quantity that is a `Decimal` in a fresh summary, text in one that was read back."""
    return value if isinstance(value, Decimal) else Decimal(str(value))
