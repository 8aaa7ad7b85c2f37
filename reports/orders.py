"""Pairs of orders in a report: what is wrong with which order, and which stock numbers the same order explains."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from reconcilers.database import session
from reconcilers.schemas import Class
from reports import words
from reports.comparison import SideReport
from reports.records import SEVERITIES, Listing
from reports.sentence import count
from reports.text import money, plain, printable, short, table

#: Findings of a pair that a report shows, and those that a terminal does.
SHOWN, IN_TERMINAL = 200, 10

#: Orders by verdict, in the order of a table: the class, what it is called, what it means.
VERDICTS: tuple[tuple[Class, str, str], ...] = (
    (Class.MATCHED, "agree", "Both systems say the same."),
    (Class.IN_FLIGHT, "on their way", "One side could not have it yet; it clears by itself."),
    (Class.LATE, "late", "What should have arrived by now has not: somebody has to look after it."),
    (Class.CONFLICT, "contradictory", "The systems say what cannot both be true."),
    (Class.BREAK, "different", "Imported twice, or not as it was ordered."),
    (Class.MISSING_IN_A, "only in {b}", "{a} knows nothing of it."),
    (Class.MISSING_IN_B, "only in {a}", "{b} has not got it, and nobody knows since when."),
)

#: Of these classes nobody has to look after an order.
FINE = (Class.MATCHED, Class.IN_FLIGHT)


@dataclass(frozen=True)
class StockLink:
    """A stock number that a document of the order explains."""

    pair: str
    sku: str
    location: str
    class_name: str
    reason: str | None

    @property
    def words(self) -> str:
        """What its verdict is."""
        return words.name(self.class_name, self.reason)


@dataclass(frozen=True)
class Finding:
    """One fault of an order: a row of the differences."""

    pair: str
    ref: str
    line: str | None
    sku: str | None
    column: str | None
    value_a: str | None
    value_b: str | None
    class_name: str
    reason: str | None
    doc: str | None
    lines: tuple[str, ...]
    value: Decimal | None
    currency: str | None
    clears_by: datetime | None
    severity: str
    status: str
    age: int
    first_seen_run: str
    stock: tuple[StockLink, ...] = ()

    @property
    def rank(self) -> int:
        """The severity as a number, 0 for the worst."""
        return SEVERITIES.index(self.severity)

    @property
    def words(self) -> str:
        """What it is."""
        if self.reason is None:
            return {"MISSING_IN_A": "only in the authority"}.get(self.class_name, "only in the target")
        return words.name(self.class_name, self.reason)

    @property
    def advice(self) -> str:
        """What to do about it."""
        if self.reason is None:
            return "See where the order comes from, and whether the other system should have it."
        return words.advice(self.class_name, self.reason)

    @property
    def where(self) -> str:
        """The line and article, or the document, that it is about."""
        if self.line is None:
            return self.doc or ""
        return self.line if self.sku in (None, self.line) else f"{self.line} ({self.sku})"

    @property
    def change(self) -> str:
        """What both sides say, where it is about one column."""
        if self.column is None:
            return ""
        sides = (said(self.column, value) for value in (self.value_a, self.value_b))
        return f"{self.column}: {' / '.join(sides)}"


@dataclass(frozen=True)
class OrdersReport:
    """A pair of orders; `counts` are (words, meaning, orders) by verdict, `reasons` (class, reason, orders).

    `classes` counts the orders by class.
    """

    name: str
    a: SideReport
    b: SideReport
    orders: int
    faulty: int
    counts: tuple[tuple[str, str, int], ...]
    reasons: tuple[tuple[str, str, int], ...]
    value: Decimal
    findings: Listing[Finding]
    moving: int
    classes: Mapping[str, int]

    @property
    def brief(self) -> str:
        """How many orders need somebody."""
        if not self.faulty:
            waiting = f"; {self.moving:,} on their way" if self.moving else ""
            return f"none of {count(self.orders, 'order')} needs anybody{waiting}"
        return f"{self.faulty:,} of {count(self.orders, 'order')} {'needs' if self.faulty == 1 else 'need'} somebody"

    @property
    def lead(self) -> str:
        """The same, for which reasons, and how much money depends on it."""
        named = ", ".join(f"{orders:,} {words.counted(name, reason)}" for name, reason, orders in self.reasons[:5])
        worth = f", {money(self.value)} at risk" if self.value else ""
        listed = f": {named}" if named else ""
        return f"{self.brief[:1].upper()}{self.brief[1:]}{listed}{worth}."


def summed_up(name: str, summary: Mapping[str, Any], found: pa.Table, stock: Sequence[pa.Table]) -> OrdersReport:
    """The report of a pair of orders.

    Args:
        name: the pair.
        summary: its part of `summary.json`.
        found: its differences.
        stock: the breaks and the documents in flight of the run's stock pairs.
    """
    a, b = (
        SideReport(summary[side], rows["read"], rows["rejected"])
        for side, rows in (("target", summary["a"]), ("authority", summary["b"]))
    )
    classes = summary["classes"]
    faults = [each for each in summary["reasons"].items() if each[0] not in FINE]
    reasons = [(class_name, reason, orders) for class_name, of in faults for reason, orders in of.items()]
    at_risk = (of for each, of in summary["findings"].items() if each not in FINE)
    return OrdersReport(
        name=name,
        a=a,
        b=b,
        orders=summary["records"],
        faulty=sum(orders for each, orders in classes.items() if each not in FINE),
        counts=tuple(
            (said.format(a=a.name, b=b.name), meaning.format(a=a.name, b=b.name), classes[each])
            for each, said, meaning in VERDICTS
            if each in classes
        ),
        reasons=tuple(sorted(reasons, key=lambda each: (-each[2], each[1]))),
        value=sum((Decimal(str(each["value"])) for of in at_risk for each in of.values()), Decimal(0)),
        findings=_worst(found, stock),
        moving=classes.get(Class.IN_FLIGHT, 0),
        classes=classes,
    )


def _worst(found: pa.Table, stock: Sequence[pa.Table]) -> Listing[Finding]:
    """The findings that somebody has to look after, those first that most depends on, with their stock."""
    if not len(found):
        return Listing((), 0)
    faults = found.filter(pc.not_equal(found["class"], Class.IN_FLIGHT))
    ranked = faults.append_column("rank", pc.index_in(faults["severity"], pa.array(SEVERITIES)))
    order = [("rank", "ascending"), ("value", "descending"), ("ref", "ascending"), ("line", "ascending")]
    worst = ranked.take(pc.sort_indices(ranked, order)[:SHOWN])
    return Listing(tuple(linked(map(finding, worst.to_pylist()), *stock)), len(faults))


def finding(row: Mapping[str, Any]) -> Finding:
    """A row of the differences of a pair of orders."""
    names = set(Finding.__dataclass_fields__) - {"class_name", "lines", "stock"}
    own = {name: row[name] for name in names}
    return Finding(class_name=row["class"], lines=tuple(json.loads(row["lines"])), **own)


def linked(found: Iterable[Finding], breaks: pa.Table, in_flight: pa.Table) -> list[Finding]:
    """Findings with the stock numbers that a document of the same order, or line of it, explains.

    Args:
        found: findings, of any number of pairs.
        breaks: rows of `breaks_schema`: what has the reference among its causes.
        in_flight: rows of `in_flight_schema`.
    """
    found = list(found)
    refs = [(n, ref) for n, each in enumerate(found) for ref in dict.fromkeys((each.ref, *each.lines))]
    wanted = pa.table(
        {"n": pa.array([n for n, _ in refs], pa.int64()), "ref": pa.array([r for _, r in refs], pa.string())}
    )
    links: dict[int, list[StockLink]] = {}
    with session(threads=1) as con:
        for name, given in (("wanted", wanted), ("breaks", breaks), ("in_flight", in_flight)):
            con.register(name, given)
        rows = con.execute(
            """
            with known as (
                select ref, pair, sku, location from in_flight semi join wanted using (ref)
                union
                select cause.evidence, pair, sku, location
                from (
                    select pair, sku, location,
                        unnest(from_json(causes, '[{"evidence": "VARCHAR"}]')) as cause
                    from breaks where class = 'BREAK' and causes <> '[]'
                )
                where cause.evidence in (select ref from wanted)
            )
            select distinct n, pair, sku, location, b.class, b.reason
            from wanted join known using (ref) join breaks b using (pair, sku, location)
            order by n, pair, sku, location"""
        ).fetchall()
    for n, *link in rows:
        links.setdefault(n, []).append(StockLink(*link))
    return [_with_stock(each, links.get(n, [])) for n, each in enumerate(found)]


def _with_stock(found: Finding, stock: list[StockLink]) -> Finding:
    return Finding(**{**found.__dict__, "stock": tuple(stock)})


def said(column: str, value: str | None) -> str:
    """A value as people write it: amounts without needless zeros."""
    if value is None:
        return "nothing"
    try:
        return plain(Decimal(value)) if column not in ("sku", "status", "currency") else printable(value)
    except ArithmeticError:
        return printable(value)


def text(report: OrdersReport) -> str:
    """The report for a terminal."""
    rows = [{"": said, "orders": orders} for said, _, orders in report.counts]
    blocks = [f"{report.name}: {count(report.orders, 'order')}", _indented(table(rows, ["", "orders"]))]
    if report.findings.rows:
        shown = [_cells(each) for each in report.findings.rows[:IN_TERMINAL]]
        names = [name for name in shown[0] if name in ("order", "what it is") or any(row[name] for row in shown)]
        blocks += ["", _indented(table(shown, names))]
        if left_out := report.findings.total - min(IN_TERMINAL, len(report.findings.rows)):
            blocks.append(f"  … and {left_out:,} more, in the report")
    return "\n".join(blocks)


def _cells(each: Finding) -> dict[str, Any]:
    return {
        "order": short(each.ref),
        "line or document": short(each.where),
        "what it is": each.words,
        "left / right": short(each.change),
        "at risk": money(each.value),
        "severity": each.severity,
        "stock": short(", ".join(f"{link.sku} at {link.location}" for link in each.stock)),
    }


def _indented(block: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in block.splitlines())
