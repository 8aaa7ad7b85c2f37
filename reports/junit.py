"""Validation results as JUnit XML, which every build server shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from xml.etree import ElementTree as ET


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
    root = ET.Element("testsuites")
    for name, cases in suites.items():
        told = [_kind(case) for case in cases]
        element = ET.SubElement(
            root,
            "testsuite",
            name=name,
            tests=str(len(cases)),
            failures=str(told.count("failure")),
            skipped=str(told.count("skipped")),
            errors="0",
        )
        for case in cases:
            _case(element, name, case)
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _case(suite: ET.Element, dataset: str, case: Mapping[str, Any]) -> None:
    columns = f" ({case['columns']})" if case["columns"] else ""
    name = case["description"] or f"{case['expectation']}{columns}"
    test = ET.SubElement(suite, "testcase", classname=f"{dataset}.{case['expectation']}", name=_printable(name))
    kind = _kind(case)
    if kind is not None:
        ET.SubElement(test, kind, message=_printable(case["message"])).text = _printable(case["reason"])


def _kind(case: Mapping[str, Any]) -> str | None:
    if case["success"]:
        return None
    return "failure" if case["severity"] == "critical" else "skipped"


def _printable(text: str) -> str:
    """Without the control characters that XML does not allow."""
    return "".join(c if c.isprintable() or c in "\t\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
