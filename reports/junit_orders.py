"""Pairs of orders as JUnit XML, which every build server shows."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator

from reports.junit import Case, document
from reports.orders import FINE, VERDICTS, Finding, OrdersReport
from reports.sentence import count
from reports.text import money, printable


def render(reports: Iterable[OrdersReport], within: Container[str] = ()) -> bytes:
    """The document: a suite a pair, a case a verdict that somebody has to look after, and one for rejected rows.

    What is found is a failure; in a pair that is `within` its gates it is skipped, so that it shows.
    """
    return document({report.name: list(_cases(report, report.name in within)) for report in reports})


def _cases(report: OrdersReport, within: bool) -> Iterator[Case]:
    differs, class_name = "skipped" if within else "failure", f"{report.name}.orders"
    for each, said, _ in VERDICTS:
        if each not in FINE:
            orders = report.classes.get(each, 0)
            such = "\n".join(_line(finding) for finding in report.findings.rows if finding.class_name == each)
            name = said.format(a=report.a.name, b=report.b.name)
            yield Case(class_name, name, differs if orders else None, count(orders, "order"), such)
    rejected = [f"{side.name}: {count(side.rejected, 'row')}" for side in (report.a, report.b) if side.rejected]
    yield Case(class_name, "rows that could be read", differs if rejected else None, "; ".join(rejected))


def _line(finding: Finding) -> str:
    parts = [
        f"order {finding.ref}",
        finding.where,
        finding.words,
        finding.change,
        finding.value and money(finding.value),
    ]
    return printable(", ".join(part for part in parts if part))
