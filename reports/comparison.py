"""Two sets of records beside one another: what a comparison found, as data and for a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from reports.sentence import count
from reports.text import plain, printable, short, table

#: Differences and frequent changes that a terminal shows.
SHOWN = 5


@dataclass(frozen=True)
class SideReport:
    """One side: its name, its rows, and those that were left out of the comparison."""

    name: str
    rows: int
    rejected: int = 0
    without_key: int = 0
    folded: int = 0
    first_reject: str | None = None


@dataclass(frozen=True)
class ComparisonReport:
    """A comparison of records.

    `records` counts by verdict: `equal`, `different`, `duplicate`, `settling`, `only_a`, `only_b`;
    the other fields are rows of the tables of the same names in `reconcilers.fields`.
    """

    name: str
    a: SideReport
    b: SideReport
    key: tuple[str, ...]
    records: Mapping[str, int]
    columns: Sequence[Mapping[str, Any]]
    schema: Sequence[Mapping[str, Any]]
    frequent: Sequence[Mapping[str, Any]]
    samples: Sequence[Mapping[str, Any]]
    same: bool
    output: str | None = None
    nightly: str = ""
    hints: tuple[str, ...] = field(default=())

    @property
    def total(self) -> int:
        """All records, each once."""
        return sum(self.records.values())

    @property
    def unlike(self) -> int:
        """The records that are not equal."""
        return self.total - self.records["equal"]

    @property
    def differing(self) -> list[Mapping[str, Any]]:
        """The columns in which anything differs, the worst first."""
        found = [row for row in self.columns if row["different"] or row["within_tolerance"]]
        return sorted(found, key=lambda row: (-row["different"], -row["within_tolerance"], row["column"]))

    @property
    def verdicts(self) -> list[tuple[str, str]]:
        """The counts of `records` with their words."""
        return [(name, words.format(a=self.a.name, b=self.b.name)) for name, words in RECORDS.items()]

    @property
    def remarks(self) -> list[str]:
        """What was left out, and what would help."""
        folded = [_folded(side) for side in (self.a, self.b) if side.folded]
        return [*rows_left_out(self.a), *rows_left_out(self.b), *folded, *self.hints]

    @property
    def lead(self) -> str:
        """What there is to say first."""
        if self.same:
            return f"No difference: {count(self.total, 'record')}, each equal in {count(len(self.columns), 'column')}."
        if not self.unlike:
            return f"All {count(self.total, 'record')} that could be compared are equal, but not everything could be."
        return f"{self.unlike:,} of {count(self.total, 'record')} {'differs' if self.unlike == 1 else 'differ'}."

    def document(self) -> dict[str, Any]:
        """The report as one JSON document."""
        return {**asdict(self), "total": self.total, "unlike": self.unlike}


def summed_up(name: str, summary: Mapping[str, Any]) -> ComparisonReport:
    """The report of a pair of records out of its part of `summary.json`."""
    a, b = (
        SideReport(summary[side], rows["read"], rows["rejected"], rows["without_key"], rows["folded"])
        for side, rows in (("target", summary["a"]), ("authority", summary["b"]))
    )
    tally = [
        {"class": each, "reason": reason, "records": count}
        for each, reasons in summary["reasons"].items()
        for reason, count in reasons.items()
    ]
    tally += [
        {"class": each, "reason": "", "records": count}
        for each, count in summary["classes"].items()
        if each not in summary["reasons"]
    ]
    counts = records(tally)
    missing = any(each["kind"].startswith("missing") for each in summary["schema"])
    left_out = any(side.rejected or side.without_key for side in (a, b))
    return ComparisonReport(
        name=name,
        a=a,
        b=b,
        key=tuple(summary["key"]),
        records=counts,
        columns=summary["columns"],
        schema=summary["schema"],
        frequent=summary["frequent"],
        samples=summary["samples"],
        same=counts["equal"] == sum(counts.values()) and not missing and not left_out,
    )


def status(of_stock: str, comparisons: Iterable[ComparisonReport]) -> str:
    """The status of a run: somebody is needed where records differ that are not only settling."""
    differ = any(each.unlike > each.records["settling"] for each in comparisons)
    return "attention" if differ else of_stock


#: What each count of records is called, and what it means.
RECORDS = {
    "equal": "equal",
    "different": "different",
    "duplicate": "extra copies of a key",
    "settling": "changed too short a time ago to judge",
    "only_a": "only in {a}",
    "only_b": "only in {b}",
}


def records(tally: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """The counts of a comparison by what a reader calls them; they add up over buckets."""
    found = dict.fromkeys(RECORDS, 0)
    for row in tally:
        found[_name(row["class"], row["reason"])] += row["records"]
    return found


def _name(verdict: str, reason: str | None) -> str:
    if (reason or "").startswith("DUPLICATE"):
        return "duplicate"
    names = {"MATCHED": "equal", "IN_FLIGHT": "settling", "MISSING_IN_B": "only_a", "MISSING_IN_A": "only_b"}
    return names.get(verdict, "different")


def text(report: ComparisonReport) -> str:
    """The report for a terminal: short, the most telling first."""
    sections = [_head(report), _columns(report), _frequent(report), _samples(report), _remarks(report)]
    return "\n\n".join(section for section in sections if section)


def example(text: str) -> str:
    """The key of an example, as people write it."""
    return ", ".join(f"{name}={value}" for name, value in json.loads(text).items())


def _head(report: ComparisonReport) -> str:
    a, b = short(report.a.name), short(report.b.name)
    lines = [report.lead, f"{a}: {count(report.a.rows, 'row')}; {b}: {count(report.b.rows, 'row')}"]
    rows = [
        {"": name.format(a=a, b=b), "records": report.records[key]}
        for key, name in RECORDS.items()
        if report.records[key] or key in ("equal", "different")
    ]
    return "\n".join([*lines, *(f"  {line}" for line in table(rows, ["", "records"]).splitlines()[1:])])


def _columns(report: ComparisonReport) -> str:
    found = report.differing
    if not found:
        return ""
    names = {
        "column": "column",
        "different": "different",
        "within_tolerance": "in tolerance",
        "null_in_a": "null left",
        "null_in_b": "null right",
        "largest_difference": "largest gap",
    }
    shown = [key for key in names if key in ("column", "different") or any(row[key] for row in found)]
    rows = [{names[key]: row[key] for key in shown} for row in found]
    return table(rows, [names[key] for key in shown])


def _frequent(report: ComparisonReport) -> str:
    rows = [
        {
            "most frequent": row["column"],
            "left": _value(row["value_a"]),
            "right": _value(row["value_b"]),
            "records": row["records"],
            "such as": short(example(row["example"])),
        }
        for row in report.frequent[:SHOWN]
        if row["records"] > 1
    ]
    return table(rows, list(rows[0])) if rows else ""


def _samples(report: ComparisonReport) -> str:
    alone = [row for row in report.samples if row["column"] is None][:SHOWN]
    fields = [row for row in report.samples if row["column"] is not None][:SHOWN]
    rows = [
        {
            "such as": short(key_text(row)),
            "column": row["column"] or "",
            "left": side_text(row, "a"),
            "right": side_text(row, "b"),
        }
        for row in [*fields, *alone]
    ]
    return table(rows, list(rows[0])) if rows else ""


_RESULT = ("pair", "column", "value_a", "value_b", "class", "reason", "difference", "age")


def plain_key(value: Any) -> str:
    """A part of a key as it is written, without signs between its thousands."""
    return "" if value is None else printable(str(value))


def side_text(row: Mapping[str, Any], side: str) -> str:
    """What one side says: its value, or whether it has the record."""
    if row["column"] is not None:
        return _value(row[f"value_{side}"])
    if row["reason"] in ("DUPLICATE_IN_A", "DUPLICATE_IN_B"):
        return "one more" if row["reason"].endswith(side.upper()) else ""
    return "missing" if row["class"] == f"MISSING_IN_{side.upper()}" else "there"


def _value(value: str | None) -> str:
    """A value as it is; null and empty text can be told apart."""
    if value is None:
        return "null"
    return short(value) if value.strip() else f"'{printable(value)}'"


def rows_left_out(side: SideReport) -> Iterable[str]:
    """Rows that were not compared, and why."""
    name = short(side.name)
    if side.rejected:
        first = f", the first {side.first_reject}" if side.first_reject else ""
        yield f"{name}: {count(side.rejected, 'row')} could not be read{first}"
    if side.without_key:
        yield f"{name}: {count(side.without_key, 'row')} without a whole key, not compared"


def _folded(side: SideReport) -> str:
    return f"{short(side.name)}: {count(side.folded, 'row')} folded into another one of the same key"


def _remarks(report: ComparisonReport) -> str:
    lines = [*report.remarks, *(schema_text(row) for row in report.schema if row["kind"] != "order")]
    if report.output:
        lines.append(f"every difference: {report.output}")
    if report.nightly:
        lines += ["", "every night: add this to recon.yaml, then `recon run nightly`", "", report.nightly.rstrip("\n")]
    return "\n".join(lines).strip("\n")


def schema_text(row: Mapping[str, Any]) -> str:
    """How a column, or the order of all, is not alike on both sides."""
    name = printable(row["column"])
    if row["kind"] == "type":
        return f"column {name}: {row['a']} on the left, {row['b']} on the right"
    if row["kind"] == "order":
        return f"the columns are in another order: {row['a']} on the left, {row['b']} on the right"
    where, kind = ("left", row["a"]) if row["kind"] == "missing_in_b" else ("right", row["b"])
    return f"column {name} ({kind}) is only on the {where}"


def key_text(row: Mapping[str, Any]) -> str:
    """The key of a difference, as people write it."""
    return ", ".join(f"{name}={plain_key(value)}" for name, value in row.items() if name not in _RESULT)


def verdict_text(row: Mapping[str, Any]) -> str:
    """What a difference is, in a word or two."""
    return RECORDS[_name(row["class"], row["reason"])].format(a="the left", b="the right")


def verdict_of(row: Mapping[str, Any], report: ComparisonReport) -> str:
    """The same with the names of the two sides."""
    return RECORDS[_name(row["class"], row["reason"])].format(a=report.a.name, b=report.b.name)


def by_value(columns: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """What would help where numbers are only written differently."""
    return tuple(
        f"column {row['column']}: {plain(row['only_spelling'])} of its differences are only how a number is written; "
        f"--tolerance {row['column']}=0 compares by value"
        for row in columns
        if row["only_spelling"]
    )
