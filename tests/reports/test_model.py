"""A report as data: what it takes from the summary, and what from the data sets."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from handmade import (
    PAIR,
    VALIDATION,
    amounts,
    break_row,
    breaks_of,
    corrections_of,
    in_flight_of,
    pair_of,
    snapshot_of,
    summary_of,
)

from reports import html, model, text, worst
from reports.records import Report


def test_a_summary_that_was_read_back_gives_the_same_report(
    summary: dict[str, Any], breaks: pa.Table, corrections: pa.Table, in_flight: pa.Table, report: Report
) -> None:
    read_back = json.loads(json.dumps(summary, default=str))
    assert read_back["pairs"][PAIR]["units_b"] == "1100.5000"
    again = model.build(read_back, breaks, corrections, in_flight, VALIDATION)
    assert again == report
    assert html.render(again) == html.render(report)
    assert text.verdict(again) == text.verdict(report)


def test_groups_close_and_carry_units_and_value(report: Report) -> None:
    (pair,) = report.pairs
    assert [(group.name, group.keys) for group in pair.groups] == [
        ("agree", 1112),
        ("in_flight", 85),
        ("late", 3),
        ("conflict", 1),
        ("break", 2),
        ("unjudged", 1),
    ]
    assert sum(group.keys for group in pair.groups) == pair.keys == 1204
    assert pair.group("break").units == Decimal("14.5")
    assert pair.group("late").value == Decimal(900)
    assert pair.faulty == 6


def test_the_worst_faults_come_first_with_their_cause(report: Report) -> None:
    faults = report.pairs[0].faults.rows
    assert [fault.sku for fault in faults] == [
        "85099B",  # critical
        "22113",  # high, and worth something
        "<script>alert(1)</script>",
        "10002",  # medium: 500, 300, 100
        "10003",
        "10001",
    ]
    assert faults[0].words == "order imported twice"
    assert faults[0].causes[0].evidence == "536581"
    assert faults[0].causes[0].quantity == Decimal("4.5")
    assert faults[2].words == "unexplained, perhaps overwritten without its open orders"
    assert faults[2].advice == "Find what copies the authority's number as it is, and stop it."


def test_documents_are_apart_by_whether_somebody_has_to_act(report: Report) -> None:
    (pair,) = report.pairs
    assert [(each.ref, each.state) for each in pair.overdue.rows] == [("536803", "never clears"), ("536365", "overdue")]
    assert [each.ref for each in pair.moving.rows] == ["537224", "537225", "R-12"]
    assert [(flow.words, flow.documents, flow.units) for flow in pair.flows] == [
        ("order open", 2, Decimal(9)),
        ("return being inspected", 1, Decimal(5)),
    ]
    assert pair.flows[0].last_due == datetime(2026, 11, 26, 17, 30, tzinfo=UTC)


def test_what_could_not_be_judged_is_named(report: Report) -> None:
    (each,) = report.pairs[0].unjudged
    assert (each.keys, each.words, each.examples) == (1, "missing in the authority", ("99999 at web",))


def test_quality_is_a_row_a_snapshot(report: Report) -> None:
    storefront, erp = report.quality
    assert (storefront.name, storefront.rows, storefront.met) == ("storefront/stock", 1204, "not checked")
    assert (erp.name, erp.rejected, erp.met) == ("erp/stock", 3, "11 of 12")
    assert erp.reject_reasons == (("quantity is not a number", 3),)


def test_a_result_without_a_snapshot_is_still_told() -> None:
    report = model.build(summary_of({}), breaks_of(), corrections_of(), in_flight_of(), VALIDATION)
    assert [(each.name, each.rows, each.met) for each in report.quality] == [("erp/stock", None, "11 of 12")]


def test_each_pair_has_only_its_own_rows(summary: dict[str, Any], breaks: pa.Table) -> None:
    summary["pairs"]["store~erp"] = pair_of({"BREAK": amounts(1)}, {"BREAK": {"UNEXPLAINED": amounts(1)}})
    other = breaks_of(break_row("22727", "BREAK", "UNEXPLAINED", pair="store~erp"))
    report = model.build(summary, pa.concat_tables([breaks, other]), corrections_of(), in_flight_of(), [])
    assert [fault.sku for fault in report.pairs[1].faults.rows] == ["22727"]
    assert "22727" not in [fault.sku for fault in report.pairs[0].faults.rows]


def test_a_large_table_is_cut_and_the_rest_counted() -> None:
    many = 5000
    whole = summary_of({PAIR: pair_of({"BREAK": amounts(many)}, {"BREAK": {"UNEXPLAINED": amounts(many)}})})
    breaks = breaks_of(*(break_row(f"{n:05}", "BREAK", "UNEXPLAINED", value=Decimal(n)) for n in range(many)))
    faults = model.build(whole, breaks, corrections_of(), in_flight_of(), []).pairs[0].faults
    assert [fault.sku for fault in faults.rows] == [f"{n:05}" for n in range(many - 1, many - 1 - worst.SHOWN, -1)]
    assert faults.more == many - worst.SHOWN


def test_a_report_does_not_change(report: Report) -> None:
    with pytest.raises(FrozenInstanceError):
        report.status = "good"  # type: ignore[misc]


def test_a_missing_as_of_is_nothing_and_not_an_error() -> None:
    whole = summary_of({}, [snapshot_of("erp", "events", as_of=None)])
    report = model.build(whole, breaks_of(), corrections_of(), in_flight_of(), [])
    assert report.quality[0].as_of is None
    assert "erp/events" in html.render(report)
