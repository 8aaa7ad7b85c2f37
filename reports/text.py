"""A report for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from reports.model import PairReport, Quality, Report

#: Rows of faults that a terminal shows.
FAULTS = 10


def verdict(report: Report) -> str:
    """The verdict, what needs somebody, and how good the data is."""
    blocks = [report.verdict, *(_pair(pair) for pair in report.pairs)]
    troubled = [line for each in report.quality for line in _quality(each)]
    if troubled:
        blocks.append("\n".join(["data quality", *troubled]))
    tripped = [gate for gate in report.gates if not gate["passed"]]
    if tripped:
        gates = [f"  {g['pair']}: {g['gate']} {plain(g['value'])} is beyond {plain(g['bound'])}" for g in tripped]
        blocks.append("\n".join(["gates", *gates]))
    return "\n\n".join(blocks)


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Rows as aligned columns; numbers to the right, with signs between thousands."""
    cells = [[plain(row[column]) for column in columns] for row in rows]
    widths = [max(map(len, [name, *(row[i] for row in cells)])) for i, name in enumerate(columns)]
    right = [bool(rows) and all(_is_number(row[column]) for row in rows) for column in columns]

    def line(texts: Sequence[str]) -> str:
        aligned = [t.rjust(w) if r else t.ljust(w) for t, w, r in zip(texts, widths, right, strict=True)]
        return "  ".join(aligned).rstrip()

    return "\n".join([line(list(columns)), *(line(row) for row in cells)])


def plain(value: Any) -> str:
    """A value for people: no needless zeros, UTC instants to the second, nothing for nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Decimal):
        text = f"{value:,.4f}".rstrip("0").rstrip(".")
        return "0" if text in ("-0", "") else text
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    return str(value)


def money(value: Decimal | None) -> str:
    """A value with two places."""
    return "" if value is None else f"{value:,.2f}"


def signed(value: Decimal | None) -> str:
    """A difference with its sign."""
    text = plain(value)
    return f"+{text}" if value is not None and value > 0 else text


def _pair(pair: PairReport) -> str:
    heading = f"{pair.name}: {pair.keys:,} keys"
    groups = table(
        [
            {"": group.words, "keys": group.keys, "units": group.units, "value": round(group.value, 2)}
            for group in pair.groups
            if group.keys
        ],
        ["", "keys", "units", "value"] if pair.price_known else ["", "keys", "units"],
    )
    blocks = [heading, _indented(groups)]
    if pair.faults:
        blocks += ["", _indented(_faults(pair))]
        if pair.all_faults > FAULTS:
            blocks.append(f"  … and {pair.all_faults - FAULTS:,} more, in the report")
    if pair.all_corrections:
        corrections = "1 correction" if pair.all_corrections == 1 else f"{pair.all_corrections:,} corrections"
        blocks.append(f"\n  {corrections} proposed for {pair.target}")
    if pair.lines_cut_off:
        blocks.append(f"  {pair.lines_cut_off:,} order lines begin before their feed and were left out")
    return "\n".join(blocks)


def _faults(pair: PairReport) -> str:
    return table(
        [
            {
                "sku": fault.sku,
                "location": fault.location,
                pair.target: fault.quantity_a,
                pair.authority: fault.quantity_b,
                "unexplained": signed(fault.unexplained),
                "class": fault.class_name,
                "probably": fault.words,
                "evidence": fault.causes[0].evidence if fault.causes else "",
            }
            for fault in pair.faults[:FAULTS]
        ],
        ["sku", "location", pair.target, pair.authority, "unexplained", "class", "probably", "evidence"],
    )


def _quality(quality: Quality) -> Iterable[str]:
    name = f"{quality.system}/{quality.dataset}"
    for message in quality.messages:
        yield f"  {name}: {message}"
    for reason, count in quality.reject_reasons:
        yield f"  {name}: {count:,} rejected: {reason}"


def _indented(block: str) -> str:
    return "\n".join(f"  {line}" for line in block.splitlines())


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float | Decimal) and not isinstance(value, bool))
