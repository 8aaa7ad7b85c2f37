"""The sum of one key, line by line: how two numbers, and what is on its way, make a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from reconcilers.schemas import Class
from reports import words
from reports.model import causes
from reports.nouns import Nouns, nouns_of, reworded
from reports.orders import Finding
from reports.records import Cause, suspect
from reports.text import plain, printable, signed

_DOCUMENTS = {
    "HOLD": "hold {ref}",
    "RELEASE": "hold {ref} released",
    "PLACE": "order {ref} placed",
    "CANCEL": "order {ref} cancelled",
    "ALLOCATE": "order {ref} allocated",
    "DEALLOC": "order {ref} deallocated",
    "PICK": "order {ref} picked",
    "SHIP": "order {ref} shipped",
    "RETURN_ANNOUNCED": "return {ref} announced",
    "RETURN_RECV": "return {ref} received",
    "RESTOCK": "return {ref} restocked",
    "SCRAP": "return {ref} scrapped",
    "POS_SALE": "store sale {ref}",
    "POS_RETURN": "store return {ref}",
    "XFER_OUT": "transfer {ref} sent",
    "XFER_IN": "transfer {ref} received",
    "RECEIPT": "delivery {ref} received",
    "ADJUST": "adjustment {ref}",
    "COUNT": "count {ref}",
    "PUBLISH": "correction {ref}",
}

#: Columns of a level that an explanation has under the same name.
_SAME = (
    *("pair", "sku", "location", "quantity_a", "as_of_a", "quantity_b", "as_of_b", "raw_diff", "expected_diff"),
    *("unexplained", "unexplained_lo", "unexplained_hi", "reason", "atp", "publish"),
)


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

    `figure` says what it is about where that is no stock: its `name`, and the columns of its `key`.

    `expected_diff = Σ lines + shaped`, where `shaped` is what a number that never shows less than
    zero, or whole units only, leaves out. Quantities are None where a side has no number.
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
    words: str
    advice: str
    causes: tuple[Cause, ...]
    severity: str | None
    first_seen_run: str | None
    runs_seen: int
    atp: Decimal | None
    publish: Decimal | None
    snapshots: tuple[str, ...]
    figure: Mapping[str, Any] | None = None
    orders: tuple[Finding, ...] = ()

    @property
    def nouns(self) -> Nouns:
        """What to call it."""
        return nouns_of(self.figure)

    @property
    def references(self) -> tuple[str, ...]:
        """The documents that the sum or its causes name."""
        return tuple(dict.fromkeys([*(line.ref for line in self.lines), *(cause.evidence for cause in self.causes)]))

    @property
    def target(self) -> str:
        """The system whose number is checked."""
        return self.pair.partition("~")[0]

    @property
    def authority(self) -> str:
        """The system that is believed."""
        return self.pair.partition("~")[2]


def explain(
    level: Mapping[str, Any],
    documents: Sequence[Mapping[str, Any]],
    break_row: Mapping[str, Any] | None,
    snapshots: Iterable[Mapping[str, Any]],
    figure: Mapping[str, Any] | None = None,
) -> Explanation:
    """The explanation of one key.

    Args:
        level: its row of `levels_schema`.
        documents: its rows of `in_flight_schema`.
        break_row: its row of `breaks_schema`, None for a key that is MATCHED.
        snapshots: the run's snapshots, as `summary.json` has them.
        figure: what its pair is about where that is no stock, from the same place.
    """
    lines = tuple(
        Line(d["ref"], d["kind"], d["quantity"], d["posted_at"], d["clears_by"], d["class"], d["reason"])
        for d in sorted(documents, key=lambda d: (str(d["posted_at"]), d["ref"]))
    )
    expected = level["expected_diff"]
    summed = sum((line.quantity for line in lines), Decimal(0))
    systems = level["pair"].split("~")
    found = break_row or {}
    candidates = tuple(causes(found.get("causes", "[]")))
    suspected = suspect(level["reason"], candidates)
    return Explanation(
        lines=lines,
        shaped=Decimal(0) if expected is None else expected - summed,
        class_name=level["class"],
        words=words.name(level["class"], level["reason"]),
        advice=reworded(
            words.advice(level["class"], suspected.reason if suspected else level["reason"]), nouns_of(figure)
        ),
        figure=figure,
        causes=candidates,
        severity=found.get("severity"),
        first_seen_run=found.get("first_seen_run"),
        runs_seen=found.get("runs_seen", 0),
        snapshots=tuple(
            f"{s['system']}/{s['dataset']} {s['snapshot_id']}" for s in snapshots if s["system"] in systems
        ),
        **{name: level[name] for name in _SAME},
    )


def with_orders(explanation: Explanation, found: Iterable[Finding]) -> Explanation:
    """The explanation with what is wrong with the orders that it names."""
    return replace(explanation, orders=tuple(found))


def text(explanation: Explanation) -> str:
    """The explanation as a sum for a terminal."""
    e = explanation
    said = "" if e.class_name == Class.MATCHED else f" ({e.words})"
    blocks = [
        [f"{_key(e)}, {e.pair}: {e.class_name}{said}"],
        _aligned([*_numbers(e), *_sum(e)]),
        _doubts(e),
        _causes(e),
        [f"  order {printable(each.ref)}, {each.pair}: {each.class_name} ({each.words})" for each in e.orders],
        [_promise(e)],
    ]
    if e.class_name not in (Class.MATCHED, Class.IN_FLIGHT):
        blocks.append([f"  what to do: {e.advice}"])
    if e.runs_seen > 1:
        blocks.append([f"  seen in {e.runs_seen} runs, first in {e.first_seen_run}"])
    return "\n".join(line for block in blocks for line in block)


def _key(e: Explanation) -> str:
    """What is explained; of what is no stock, by the names of its key."""
    if e.nouns.is_stock:
        return f"{printable(e.sku)} at {printable(e.location)}"
    return f"{e.nouns.key} {printable(e.sku)}, {e.nouns.place} {printable(e.location)}"


Labelled = tuple[str, str, str]


def _aligned(rows: Sequence[Labelled]) -> list[str]:
    label = max(len(row[0]) for row in rows)
    number = max(len(row[1]) for row in rows)
    return [f"  {name.ljust(label)}  {value.rjust(number)}  {note}".rstrip() for name, value, note in rows]


def _numbers(e: Explanation) -> Iterable[Labelled]:
    for system, quantity, as_of in (
        (e.target, e.quantity_a, e.as_of_a),
        (e.authority, e.quantity_b, e.as_of_b),
    ):
        note = f"as of {plain(as_of)}" if as_of else ""
        yield f"{system} shows", plain(quantity) or "nothing", note


def _sum(e: Explanation) -> Iterable[Labelled]:
    if e.raw_diff is not None:
        yield "difference", _zero(e.raw_diff), ""
    for line in e.lines:
        yield f"  {_named(line, e.nouns)}", signed(line.quantity), _when(line)
    if e.shaped:
        yield "  never below zero, or whole units only", signed(e.shaped), ""
    if e.expected_diff is not None:
        yield "expected difference", _zero(e.expected_diff), ""
    if e.unexplained is not None:
        yield "unexplained", _zero(e.unexplained), _meaning(e)


def _zero(quantity: Decimal) -> str:
    return signed(quantity) or "0"


def _meaning(e: Explanation) -> str:
    if not e.unexplained or e.unexplained_lo != e.unexplained_hi:
        return ""
    return f"{e.target} shows too {'much' if e.unexplained > 0 else 'little'}"


def _doubts(e: Explanation) -> list[str]:
    if e.unexplained_lo is None or e.unexplained_lo == e.unexplained_hi:
        return []
    low, high = _zero(e.unexplained_lo), _zero(e.unexplained_hi or Decimal(0))
    return [f"  the numbers were read while stock moved: what is unexplained is between {low} and {high}"]


def _causes(e: Explanation) -> list[str]:
    """The candidates that say more than the verdict and its documents do."""
    told = {(line.ref, line.reason) for line in e.lines}
    return [
        f"  probable cause: {cause.words}, {signed(cause.quantity)} ({printable(cause.evidence)})"
        for cause in e.causes
        if (cause.evidence, cause.reason) not in told
    ]


def _promise(e: Explanation) -> str:
    if not e.nouns.is_stock:
        return _should_show(e)
    if e.atp is None:
        return "  nothing is published: what can be promised is not known"
    promised = plain(max(e.atp, Decimal(0)))
    if e.atp < 0:
        promised += f", {plain(-e.atp)} too few for what is promised already and the safety stock"
    else:
        promised += " (after orders and safety stock)"
    if e.publish is None:
        return f"  can be promised: {promised}; nothing is published, as it could not be judged"
    return f"  can be promised: {promised}; to publish: {plain(e.publish)}"


def _should_show(e: Explanation) -> str:
    if e.publish is not None:
        return f"  to publish: {plain(e.publish)}"
    if e.quantity_b is None or e.expected_diff is None:
        return f"  what {e.target} should show is not known"
    return f"  {e.target} should show {plain(e.quantity_b + e.expected_diff)}"


def _named(line: Line, of: Nouns) -> str:
    if not of.is_stock:
        return f"{line.kind} {printable(line.ref)}"
    return _DOCUMENTS.get(line.kind, line.kind + " {ref}").format(ref=printable(line.ref))


def _when(line: Line) -> str:
    parts = [f"{line.posted_at:%Y-%m-%d %H:%M} UTC"] if line.posted_at else []
    if line.clears_by:
        late = " (overdue)" if line.class_name == Class.LATE else ""
        parts.append(f"due {line.clears_by:%Y-%m-%d %H:%M} UTC{late}")
    elif line.class_name == Class.CONFLICT:
        parts.append(f"{words.name('', line.reason)}: never clears by itself")
    return ", ".join(parts)
