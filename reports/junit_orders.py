"""Pairs of orders as JUnit XML, which every build server shows."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from xml.etree import ElementTree as ET

from reports.orders import FINE, VERDICTS, Finding, OrdersReport
from reports.sentence import count
from reports.text import money, printable


def render(reports: Iterable[OrdersReport], within: Container[str] = ()) -> bytes:
    """The document: a suite a pair, a case a verdict that somebody has to look after, and one for rejected rows.

    What is found is a failure; in a pair that is `within` its gates it is skipped, so that it shows.
    """
    root = ET.Element("testsuites")
    for report in reports:
        differs = "skipped" if report.name in within else "failure"
        cases = list(_cases(report))
        wrong = sum(message is not None for _, message, _ in cases)
        suite = ET.SubElement(root, "testsuite", name=printable(report.name), tests=str(len(cases)), errors="0")
        suite.set("failures", str(wrong if differs == "failure" else 0))
        suite.set("skipped", str(wrong if differs == "skipped" else 0))
        for name, message, told in cases:
            case = ET.SubElement(suite, "testcase", classname=f"{printable(report.name)}.orders", name=printable(name))
            if message is not None:
                ET.SubElement(case, differs, message=message).text = told
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _cases(report: OrdersReport) -> Iterator[tuple[str, str | None, str]]:
    """The name of each case, what is wrong with it (None for nothing), and such as what."""
    for each, said, _ in VERDICTS:
        if each not in FINE:
            found = [finding for finding in report.findings.rows if finding.class_name == each]
            orders = report.classes.get(each, 0)
            message = count(orders, "order") if orders else None
            yield said.format(a=report.a.name, b=report.b.name), message, "\n".join(map(_line, found))
    rejected = [f"{side.name}: {count(side.rejected, 'row')}" for side in (report.a, report.b) if side.rejected]
    yield "rows that could be read", "; ".join(rejected) or None, ""


def _line(finding: Finding) -> str:
    parts = [
        f"order {finding.ref}",
        finding.where,
        finding.words,
        finding.change,
        finding.value and money(finding.value),
    ]
    return printable(", ".join(part for part in parts if part))
