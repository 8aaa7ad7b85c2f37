"""One order as both systems have it: its lines side by side, what is wrong, and the stock that it explains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from reports.orders import Finding
from reports.text import money, plain, printable, table

Row = Mapping[str, Any]


@dataclass(frozen=True)
class OrderStory:
    """An order of a pair: the rows of each side as they were exported, made canonical, and its findings."""

    pair: str
    ref: str
    rows_a: tuple[Row, ...]
    rows_b: tuple[Row, ...]
    findings: tuple[Finding, ...]
    snapshots: tuple[str, ...]

    @property
    def systems(self) -> tuple[str, str]:
        """The names of both sides."""
        target, _, authority = self.pair.partition("~")
        return target, authority

    def document(self) -> dict[str, Any]:
        """The story as data."""
        return {"order": self.ref, **asdict(self)}


def text(story: OrderStory) -> str:
    """The story for a terminal."""
    verdict = "; ".join(f"{each.class_name} ({each.words})" for each in story.findings) or "MATCHED"
    a, b = story.systems
    blocks = [f"order {printable(story.ref)}, {story.pair}: {verdict}"]
    blocks += [f"  {line}" for line in table(list(_sides(story)), ["", a, b]).splitlines()]
    for each in story.findings:
        blocks += _finding(each)
    return "\n".join(line.rstrip() for line in blocks)


def _sides(story: OrderStory) -> Iterable[dict[str, str]]:
    """What each side says of the order, then of each of its lines."""
    a, b = story.systems
    for label, name in (("placed", "placed_at"), ("document", "doc"), ("total", "total")):
        values = [_each(rows, name) for rows in (story.rows_a, story.rows_b)]
        if any(values):
            yield {"": label, a: values[0], b: values[1]}
    for line in sorted({_line(row) for row in (*story.rows_a, *story.rows_b)}):
        sides = [[row for row in rows if _line(row) == line] for rows in (story.rows_a, story.rows_b)]
        yield {"": f"line {line}".rstrip(), a: _said(sides[0]), b: _said(sides[1])}


def _line(row: Row) -> str:
    return str(row.get("line") or row.get("sku") or "")


def _each(rows: Sequence[Row], name: str) -> str:
    return ", ".join(dict.fromkeys(plain(row[name]) for row in rows if row.get(name) is not None))


def _said(rows: Sequence[Row]) -> str:
    """A line as one side has it: what, how much of it, at what price, in which state."""
    return " and ".join(_words(row) for row in rows) or "nothing"


def _words(row: Row) -> str:
    parts = []
    if row.get("line") and row.get("sku"):
        parts.append(printable(row["sku"]))
    if row.get("quantity") is not None:
        parts.append(
            f"{plain(row['quantity'])}" + (f" at {_price(row['price'])}" if row.get("price") is not None else "")
        )
    for name in ("discount", "tax"):
        if row.get(name):
            parts.append(f"{name} {plain(row[name])}")
    parts += [printable(row[name]) for name in ("currency", "status") if row.get(name)]
    return ", ".join(parts) or "there"


def _price(price: Decimal) -> str:
    return plain(price) if price != round(price, 2) else money(price)


def _finding(each: Finding) -> Iterable[str]:
    where = f" {printable(each.where)}" if each.where else ""
    change = f", {each.change}" if each.change else ""
    due = f", due {each.clears_by:%Y-%m-%d %H:%M} UTC" if each.clears_by else ""
    risk = f", {money(each.value)} {each.currency or ''}".rstrip() + " at risk" if each.value else ""
    yield f"  {each.words}{':' if where or change else ''}{where}{change}{due}{risk} ({each.severity})"
    if each.class_name != "IN_FLIGHT":
        yield f"  what to do: {each.advice}"
    if each.age > 1:
        yield f"  seen in {each.age} runs, first in {each.first_seen_run}"
    for link in each.stock:
        place = f"{printable(link.sku)} at {printable(link.location)}"
        yield f"  explains the stock of {place}, {link.pair}: {link.class_name} ({link.words})"
