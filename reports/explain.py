"""The sum of one key, line by line: how two numbers, and what is on its way, make a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from reconcilers.schemas import Class
from reports import words
from reports.model import Cause, causes
from reports.text import plain, signed

_KINDS = {
    "PLACE": "order {ref} placed",
    "CANCEL": "order {ref} cancelled",
    "ALLOCATE": "order {ref} allocated",
    "SHIP": "order {ref} shipped",
    "RETURN_RECV": "return {ref} received",
    "RESTOCK": "return {ref} restocked",
    "SCRAP": "{ref} scrapped",
    "POS_SALE": "store sale {ref}",
    "POS_RETURN": "store return {ref}",
    "HOLD": "hold {ref}",
    "XFER_OUT": "transfer {ref} sent",
    "XFER_IN": "transfer {ref} received",
    "RECEIPT": "delivery {ref} received",
    "ADJUST": "adjustment {ref}",
    "PUBLISH": "correction {ref}",
}


@dataclass(frozen=True)
class Line:
    """A document that explains a part of the difference."""

    ref: str
    kind: str
    quantity: Decimal
    posted_at: datetime | None
    clears_by: datetime | None
    class_name: str
    reason: str


@dataclass(frozen=True)
class Explanation:
    """The sum of one key: `raw_diff = expected_diff + unexplained`, and what makes it up.

    `expected_diff = Σ lines + shaped`, where `shaped` is what a number that never shows less than
    zero, or whole units only, leaves out.
    """

    pair: str
    sku: str
    location: str
    quantity_a: Decimal | None
    as_of_a: datetime | None
    quantity_b: Decimal | None
    as_of_b: datetime | None
    raw_diff: Decimal | None
    lines: tuple[Line, ...]
    shaped: Decimal
    expected_diff: Decimal | None
    unexplained: Decimal | None
    unexplained_lo: Decimal | None
    unexplained_hi: Decimal | None
    class_name: str
    reason: str | None
    causes: tuple[Cause, ...]
    first_seen_run: str | None
    runs_seen: int
    atp: Decimal | None
    publish: Decimal | None
    snapshots: tuple[str, ...]

    @property
    def target(self) -> str:
        """The system whose number is checked."""
        return self.pair.split("~")[0]

    @property
    def authority(self) -> str:
        """The system that is believed."""
        return self.pair.split("~")[1]


def explain(
    level: Mapping[str, Any],
    documents: Sequence[Mapping[str, Any]],
    break_row: Mapping[str, Any] | None,
    snapshots: Iterable[Mapping[str, Any]],
) -> Explanation:
    """The explanation of a level (`levels_schema`) from its documents (`in_flight_schema`) and break."""
    lines = tuple(
        Line(d["ref"], d["kind"], d["quantity"], d["posted_at"], d["clears_by"], d["class"], d["reason"])
        for d in documents
    )
    expected = level["expected_diff"]
    summed = sum((line.quantity for line in lines), Decimal(0))
    systems = level["pair"].split("~")
    return Explanation(
        lines=lines,
        shaped=Decimal(0) if expected is None else expected - summed,
        class_name=level["class"],
        causes=tuple(causes(break_row["causes"])) if break_row else (),
        first_seen_run=break_row["first_seen_run"] if break_row else None,
        runs_seen=break_row["runs_seen"] if break_row else 0,
        snapshots=tuple(f"{s['system']}/{s['dataset']} {s['snapshot_id']}" for s in snapshots if s["system"] in systems),
        **{
            name: level[name]
            for name in (
                "pair", "sku", "location", "quantity_a", "as_of_a", "quantity_b", "as_of_b", "raw_diff",
                "expected_diff", "unexplained", "unexplained_lo", "unexplained_hi", "reason", "atp", "publish",
            )
        },
    )  # fmt: skip


def text(explanation: Explanation) -> str:
    """The explanation as a sum for a terminal."""
    e = explanation
    said = words.of_reason(e.reason) or words.CLASSES[Class(e.class_name)].advice.rstrip(".")
    rows: list[tuple[str, str, str]] = [
        (f"{e.target} shows", plain(e.quantity_a), _as_of(e.quantity_a, e.as_of_a)),
        (f"{e.authority} shows", plain(e.quantity_b), _as_of(e.quantity_b, e.as_of_b)),
    ]
    if e.raw_diff is not None:
        rows.append(("difference", signed(e.raw_diff) or "0", ""))
        rows += [(f"  {_named(line)}", signed(line.quantity), _when(line)) for line in e.lines]
        if e.shaped:
            rows.append(("  never below zero, or whole units only", signed(e.shaped), ""))
        rows.append(("expected difference", signed(e.expected_diff) or "0", ""))
        rows.append(("unexplained", signed(e.unexplained) or "0", _bounds(e)))
    width = max(len(label) for label, _, _ in rows)
    number = max(len(value) for _, value, _ in rows)
    lines = [f"{e.sku} at {e.location}, {e.pair}: {e.class_name} ({said})"]
    lines += [f"  {label.ljust(width)}  {value.rjust(number)}  {note}".rstrip() for label, value, note in rows]
    lines += [f"  probably: {c.words}, {signed(c.quantity)} ({c.evidence})" for c in e.causes]
    if e.publish is None:
        lines.append("  nothing is published for this key")
    else:
        lines.append(f"  can be promised: {plain(e.atp)}; {e.target} should show: {plain(e.publish)}")
    if e.runs_seen > 1:
        lines.append(f"  seen in {e.runs_seen} runs, first in {e.first_seen_run}")
    return "\n".join(lines)


def _named(line: Line) -> str:
    return _KINDS.get(line.kind, "{ref} " + line.kind).format(ref=line.ref)


def _as_of(quantity: Decimal | None, as_of: datetime | None) -> str:
    return "does not know this key" if quantity is None else f"as of {plain(as_of)}"


def _when(line: Line) -> str:
    posted = f"{line.posted_at:%Y-%m-%d %H:%M} UTC" if line.posted_at else ""
    if line.class_name == "CONFLICT":
        return f"{posted}, {words.of_reason(line.reason)}: never clears by itself"
    if line.clears_by is None:
        return posted
    late = " (overdue)" if line.class_name == "LATE" else ""
    return f"{posted}, due {line.clears_by:%Y-%m-%d %H:%M} UTC{late}"


def _bounds(e: Explanation) -> str:
    if e.unexplained_lo == e.unexplained_hi:
        return ""
    return f"somewhere from {plain(e.unexplained_lo)} to {plain(e.unexplained_hi)}: it was read while it moved"
