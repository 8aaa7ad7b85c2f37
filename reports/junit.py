"""Validation results and comparisons of records as JUnit XML, which every build server shows."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

from reports.comparison import ComparisonReport, key_text, rows_left_out, schema_text, side_text, verdict_of
from reports.sentence import count


def render(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """The document: a suite a dataset, a case an expectation.

    What is critical and not met is a failure; a warning is skipped, so that it shows without failing.

    Args:
        rows: rows of `dq_results`, of one run.
    """
    suites: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["kind"] == "expectation":
            suites.setdefault(f"{row['system']}/{row['dataset']}", []).append(row)
    return document({name: [_expectation(name, case) for case in cases] for name, cases in suites.items()})


def render_comparisons(reports: Mapping[str, ComparisonReport], within: Container[str] = ()) -> bytes:
    """The document: a suite a comparison; a case a column, and one for each way in which records are not alike.

    What differs is a failure; in a comparison that is `within` its gates it is skipped, so that it shows.
    """
    return document({name: list(_comparison(name, report, name in within)) for name, report in reports.items()})


@dataclass(frozen=True)
class Case:
    """A test case of a suite: `kind` is None for one that passed, `failure` or `skipped`."""

    class_name: str
    name: str
    kind: str | None = None
    message: str = ""
    text: str = ""


def document(suites: Mapping[str, Sequence[Case]]) -> bytes:
    """The XML document of these suites."""
    root = ET.Element("testsuites")
    for name, cases in suites.items():
        told = [case.kind for case in cases]
        element = ET.SubElement(
            root,
            "testsuite",
            name=_printable(name),
            tests=str(len(cases)),
            failures=str(told.count("failure")),
            skipped=str(told.count("skipped")),
            errors="0",
        )
        for case in cases:
            test = ET.SubElement(element, "testcase", classname=_printable(case.class_name), name=_printable(case.name))
            if case.kind is not None:
                ET.SubElement(test, case.kind, message=_printable(case.message)).text = _printable(case.text)
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _expectation(dataset: str, case: Mapping[str, Any]) -> Case:
    columns = f" ({case['columns']})" if case["columns"] else ""
    name = case["description"] or f"{case['expectation']}{columns}"
    class_name = f"{dataset}.{case['expectation']}"
    if case["success"]:
        return Case(class_name, name)
    return Case(
        class_name, name, "failure" if case["severity"] == "critical" else "skipped", case["message"], case["reason"]
    )


def _comparison(name: str, report: ComparisonReport, within: bool) -> Iterator[Case]:
    """What there is to say about a comparison, whether it is as it should be or not."""
    differs = "skipped" if within else "failure"
    for row in sorted(report.columns, key=lambda row: str(row["column"])):
        wrong = row["different"]
        message = f"{wrong:,} of {count(row['compared'], 'record')} {'differs' if wrong == 1 else 'differ'}"
        such = _such_as(sample for sample in report.samples if sample["column"] == row["column"])
        yield Case(f"{name}.column", f"column {row['column']}", differs if wrong else None, message, such)
    for verdict, words in report.verdicts:
        if verdict in ("only_a", "only_b", "duplicate"):
            number = report.records[verdict]
            such = _such_as(sample for sample in report.samples if verdict_of(sample, report) == words)
            yield Case(f"{name}.records", words, differs if number else None, count(number, "record"), such)
    missing = [schema_text(row) for row in report.schema if row["kind"].startswith("missing")]
    yield Case(f"{name}.schema", "columns of both sides", differs if missing else None, "; ".join(missing))
    left_out = [text for side in (report.a, report.b) for text in rows_left_out(side)]
    yield Case(f"{name}.rows", "rows that were compared", differs if left_out else None, "; ".join(left_out))


def _such_as(samples: Iterable[Mapping[str, Any]]) -> str:
    """Some of what differs, a line each."""
    return "\n".join(f"{key_text(each)}: {side_text(each, 'a')} | {side_text(each, 'b')}" for each in samples)


def _printable(text: str) -> str:
    """Without the control characters that XML does not allow."""
    return "".join(c if c.isprintable() or c in "\t\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
