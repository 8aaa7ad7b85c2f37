"""A report for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from unicodedata import combining, east_asian_width

from reports.records import Fault, Gate, PairReport, Quality, Report
from reports.sentence import count

#: Rows of faults that a terminal shows for a pair, and the characters of a name in them.
FAULTS = 10
LENGTH = 40


def verdict(report: Report) -> str:
    """The verdict, what needs somebody, how good the data is, and what could not be judged."""
    blocks = [report.verdict, *(_pair(pair) for pair in report.pairs)]
    troubled = [line for each in report.quality for line in _quality(each)]
    if troubled:
        blocks.append("\n".join(["data quality", *troubled]))
    tripped = [gate for gate in report.gates if not gate.passed]
    if tripped:
        blocks.append("\n".join(["gates", *map(_gate, tripped)]))
    return "\n\n".join(blocks)


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Rows as aligned columns; numbers to the right, with signs between thousands."""
    cells = [[plain(row[column]) for column in columns] for row in rows]
    widths = [max(map(_width, [name, *(row[i] for row in cells)])) for i, name in enumerate(columns)]
    right = [bool(rows) and all(_is_number(row[column]) for row in rows) for column in columns]

    def line(texts: Sequence[str]) -> str:
        padded = [
            " " * (width - _width(text)) + text if to_right else text + " " * (width - _width(text))
            for text, width, to_right in zip(texts, widths, right, strict=True)
        ]
        return "  ".join(padded).rstrip()

    return "\n".join([line(list(columns)), *(line(row) for row in cells)])


def plain(value: Any) -> str:
    """A value for people: no needless zeros, UTC instants to the second, nothing for nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return plain(round(Decimal(str(value)), 4))
    if isinstance(value, Decimal):
        text = f"{value:,f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
        return "0" if text == "-0" else text
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    return printable(str(value))


def printable(text: str) -> str:
    """Text without anything that moves a cursor or hides: control characters are spelled out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def money(value: Decimal | None) -> str:
    """A value with two places."""
    return "" if value is None else f"{value:,.2f}"


def signed(value: Decimal | None) -> str:
    """A difference with its sign."""
    text = plain(value)
    return f"+{text}" if value is not None and value > 0 else text


def share(part: int, whole: int) -> str:
    """A part in percent; never 0 % or 100 % for what is not quite that."""
    if part in (0, whole):
        return "100 %" if part else "0 %"
    percent = f"{100 * part / whole:.1f} %"
    return {"0.0 %": "< 0.1 %", "100.0 %": "> 99.9 %"}.get(percent, percent)


def short(text: str) -> str:
    """A name that leaves room for others."""
    text = printable(text)
    return text if len(text) <= LENGTH else text[: LENGTH - 1] + "…"


def _pair(pair: PairReport) -> str:
    units = pair.nouns.units
    columns = ["", "keys", units, "value"] if pair.price_known else ["", "keys", units]
    groups = [
        {"": group.words, "keys": group.keys, units: group.units, "value": _Figure(money(group.value))}
        for group in pair.groups
        if group.keys
    ]
    blocks = [f"{pair.name}: {count(pair.keys, 'key')}"]
    if groups:
        blocks.append(_indented(table(groups, columns)))
    if pair.faults.rows:
        blocks += ["", _indented(_faults(pair))]
        left_out = pair.faults.total - min(FAULTS, len(pair.faults.rows))
        if left_out:
            blocks.append(f"  … and {left_out:,} more, in the report")
    remarks = list(_remarks(pair))
    return "\n".join([*blocks, *([""] if remarks else []), *remarks])


def _faults(pair: PairReport) -> str:
    rows = [
        {
            **_where(fault, pair),
            f"{pair.target} shows": fault.quantity_a,
            f"{pair.authority} shows": fault.quantity_b,
            "unexplained": _Figure(signed(fault.unexplained)),
            "severity": fault.severity,
            "what it is": fault.words,
            "evidence": short(fault.causes[0].evidence) if fault.causes else "",
        }
        for fault in pair.faults.rows[:FAULTS]
    ]
    return table(rows, list(rows[0]))


def _where(fault: Fault, pair: PairReport) -> dict[str, str]:
    """The key of a fault; of what is no stock, by the names of its own."""
    if pair.nouns.is_stock:
        return {"sku": short(fault.sku), "location": short(fault.location)}
    return {pair.nouns.key: short(fault.sku), pair.nouns.place: short(fault.location)}


def _remarks(pair: PairReport) -> Iterable[str]:
    if pair.corrections.total:
        yield f"  {count(pair.corrections.total, 'correction')} proposed for {pair.target}"
    for each in pair.unjudged:
        such_as = f"; such as {', '.join(map(short, each.examples[:3]))}" if each.examples else ""
        yield f"  {each.keys:,} not judged, {each.words}: {each.advice}{such_as}"
    for alias in pair.aliases[:5]:
        yield (
            f"  perhaps one article: {pair.target} {printable(alias.sku_a)}, "
            f"{pair.authority} {printable(alias.sku_b)} ({plain(alias.units)} units each): an alias?"
        )
    if pair.lines_cut_off:
        begin = "line begins" if pair.lines_cut_off == 1 else "lines begin"
        yield f"  {pair.lines_cut_off:,} order {begin} before the feed does: left out of the sums"


def _quality(quality: Quality) -> Iterable[str]:
    for message in quality.messages:
        yield f"  {quality.name}: {printable(message)}"
    for reason, rows in quality.reject_reasons:
        yield f"  {quality.name}: {count(rows, 'row')} rejected: {printable(reason)}"


def _gate(gate: Gate) -> str:
    return f"  {gate.pair}: {gate.name.replace('_', ' ')} {plain(gate.value)} is beyond {plain(gate.bound)}"


def _indented(block: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in block.splitlines())


class _Figure(str):
    """Text that is a number, and stands to the right."""


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float | Decimal | _Figure) and not isinstance(value, bool))


def _width(text: str) -> int:
    """The columns that a terminal takes for a text."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)
