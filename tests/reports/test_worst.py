"""Which rows of large tables are shown: the law against a plain sort, and the orders that a reader relies on."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from handmade import PAIR, break_row, breaks_of, corrections_of, document_row, in_flight_of
from hypothesis import given
from hypothesis import strategies as st

from reports import worst

FAULTS = ["BREAK", "CONFLICT", "LATE"]
SEVERITIES = ["critical", "high", "medium", "low"]
QUANTITY = st.decimals(-50, 50, places=1)


@st.composite
def break_rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    number = draw(st.integers(0, 25))
    return [
        break_row(
            f"SKU{n:02}",
            draw(st.sampled_from([*FAULTS, "IN_FLIGHT", "MISSING_IN_A"])),
            severity=draw(st.sampled_from(SEVERITIES)),
            value=draw(st.none() | st.decimals(0, 50, places=2)),
            unexplained=draw(st.none() | QUANTITY),
        )
        for n in range(number)
    ]


def badness(row: dict[str, Any]) -> tuple[Any, ...]:
    """Severity, then value, then what is unexplained; what is not known comes last."""
    value, unexplained = row["value"], row["unexplained"]
    return (
        SEVERITIES.index(row["severity"]),
        (value is None, -(value or 0)),
        (unexplained is None, -abs(unexplained or 0)),
        row["sku"],
    )


@given(break_rows(), st.integers(1, 6))
def test_the_worst_of_each_class_are_those_of_a_plain_sort(rows: list[dict[str, Any]], shown: int) -> None:
    expected = {
        row["sku"]
        for name in FAULTS
        for row in sorted((row for row in rows if row["class"] == name), key=badness)[:shown]
    }
    found = worst.faults(breaks_of(*rows), PAIR, shown)
    assert {row["sku"] for row in found} == expected
    assert [row["severity"] for row in found] == sorted((row["severity"] for row in found), key=SEVERITIES.index)


def test_a_rare_class_is_shown_beside_a_frequent_one() -> None:
    many = [break_row(f"{n:04}", "BREAK", "UNEXPLAINED", severity="critical") for n in range(1000)]
    found = worst.faults(breaks_of(*many, break_row("lost", "LATE", "ORDER_NOT_IMPORTED", severity="medium")), PAIR)
    assert len(found) == worst.SHOWN + 1
    assert found[-1]["sku"] == "lost"


def test_documents_come_by_when_they_are_due_and_those_that_never_clear_first() -> None:
    def due(day: int) -> datetime:
        return datetime(2026, 11, day, tzinfo=UTC)

    table = in_flight_of(
        document_row("soon", "IN_FLIGHT", "ORDER_OPEN", clears_by=due(24)),
        document_row("late", "LATE", "ORDER_NOT_IMPORTED", clears_by=due(22)),
        document_row("never", "CONFLICT", "CANCEL_AFTER_SHIP", clears_by=None),
        document_row("very late", "LATE", "ORDER_NOT_IMPORTED", clears_by=due(20)),
    )
    every = ("CONFLICT", "LATE", "IN_FLIGHT")
    assert [row["ref"] for row in worst.documents(table, PAIR, every)] == ["never", "very late", "late", "soon"]
    assert [row["ref"] for row in worst.documents(table, PAIR, ["LATE"], 1)] == ["very late"]
    assert worst.count(table, PAIR, ["LATE"]) == 2
    assert worst.count(table, PAIR) == 4
    assert worst.count(table, "store~erp") == 0


def test_flows_add_up_documents_units_and_dates() -> None:
    first, last = datetime(2026, 11, 24, tzinfo=UTC), datetime(2026, 11, 26, tzinfo=UTC)
    table = in_flight_of(
        document_row("1", "IN_FLIGHT", "ORDER_OPEN", quantity=Decimal("-2.5"), clears_by=last),
        document_row("2", "IN_FLIGHT", "RETURN_IN_QC", quantity=Decimal(4), clears_by=last),
        document_row("3", "IN_FLIGHT", "ORDER_OPEN", quantity=Decimal(1), clears_by=first),
    )
    orders, returns = worst.flows(table, PAIR)
    assert (orders["reason"], orders["count_all"], orders["units_sum"]) == ("ORDER_OPEN", 2, Decimal("3.5"))
    assert (orders["clears_by_min"], orders["clears_by_max"]) == (first, last)
    assert (returns["reason"], returns["count_all"], returns["units_sum"]) == ("RETURN_IN_QC", 1, Decimal(4))


def test_nothing_is_worst_of_nothing() -> None:
    assert worst.faults(breaks_of(), PAIR) == []
    assert worst.documents(in_flight_of(), PAIR, ["LATE"]) == []
    assert worst.corrections(corrections_of(), PAIR) == []
    assert worst.flows(in_flight_of(), PAIR) == []
    assert worst.count(corrections_of(), PAIR) == 0
