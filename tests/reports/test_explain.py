"""The sum of one key, line by line."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from handmade import AS_OF_A, AS_OF_B, PAIR, break_row, cause, document_row, snapshot_of
from hypothesis import given
from hypothesis import strategies as st

from reconcilers.schemas import Kind
from reports import explain as explaining
from reports.explain import explain, text


def level(**other: Any) -> dict[str, Any]:
    return {
        "pair": PAIR,
        "sku": "85123A",
        "location": "web",
        "quantity_a": Decimal(37),
        "as_of_a": AS_OF_A,
        "quantity_b": Decimal(40),
        "as_of_b": AS_OF_B,
        "raw_diff": Decimal(-3),
        "expected_diff": Decimal(-3),
        "unexplained": Decimal(0),
        "unexplained_lo": Decimal(0),
        "unexplained_hi": Decimal(0),
        "class": "LATE",
        "reason": "ORDER_NOT_IMPORTED",
        "atp": Decimal(34),
        "publish": Decimal(34),
        **other,
    }


LATE = document_row("536365", "LATE", "ORDER_NOT_IMPORTED")
DUE = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


def test_a_late_order_is_the_whole_difference() -> None:
    said = text(explain(level(), [LATE], break_row("85123A", "LATE", "ORDER_NOT_IMPORTED"), []))
    assert said == (
        "85123A at web, storefront~erp: LATE (order never imported)\n"
        "  storefront shows       37  as of 2026-11-23 02:00:00 UTC\n"
        "  erp shows              40  as of 2026-11-23 02:05:00 UTC\n"
        "  difference             -3\n"
        "    order 536365 placed  -3  2026-11-21 08:26 UTC, due 2026-11-22 08:26 UTC (overdue)\n"
        "  expected difference    -3\n"
        "  unexplained             0\n"
        "  can be promised: 34 (after orders and safety stock); to publish: 34\n"
        "  what to do: Import the order again, and ship it."
    )


def test_a_number_that_stops_at_zero_has_a_line_of_its_own() -> None:
    """ERP 2, 5 sold: the storefront shows 0 and not -3, so 3 of the 5 make no difference."""
    row = level(
        quantity_a=Decimal(0),
        quantity_b=Decimal(2),
        raw_diff=Decimal(-2),
        expected_diff=Decimal(-2),
        atp=Decimal(-3),
        publish=Decimal(0),
        **{"class": "IN_FLIGHT", "reason": "BACKORDER_OPEN"},
    )
    order = document_row("537001", "IN_FLIGHT", "ORDER_OPEN", quantity=Decimal(-5), clears_by=DUE)
    found = explain(row, [order], None, [])
    assert found.shaped == Decimal(3)
    said = text(found)
    assert "\n  never below zero, or whole units only  +3\n" in squeezed(said)
    assert "can be promised: 0, 3 too few for what is promised already and the safety stock; to publish: 0" in said


def squeezed(said: str) -> str:
    """The text with the padding between its columns taken out."""
    lines = []
    for line in said.splitlines():
        indent = " " * (2 if line.startswith(" ") else 0)
        lines.append(indent + "  ".join(part.strip() for part in line.split("  ") if part.strip()))
    return "\n".join(lines) + "\n"


def test_what_nothing_explains_has_a_probable_cause_and_what_to_do_about_it() -> None:
    row = level(
        quantity_a=Decimal(40),
        raw_diff=Decimal(0),
        unexplained=Decimal(3),
        unexplained_lo=Decimal(3),
        unexplained_hi=Decimal(3),
        **{"class": "BREAK", "reason": "UNEXPLAINED"},
    )
    order = document_row("537001", "IN_FLIGHT", "ORDER_OPEN", clears_by=DUE)
    causes = cause("PUBLISH_OVERWRITE", "3.0000", "target equals authority")
    break_ = break_row("85123A", "BREAK", "UNEXPLAINED", causes=causes, runs_seen=4, first_seen_run="r1")
    said = text(explain(row, [order], break_, []))
    assert "\n  unexplained  +3  storefront shows too much\n" in squeezed(said)
    assert "probable cause: overwritten without its open orders, +3 (target equals authority)" in said
    assert "what to do: Find what copies the authority's number as it is, and stop it." in said
    assert "seen in 4 runs, first in r1" in said


def test_a_cause_that_is_a_document_of_the_sum_is_not_told_twice() -> None:
    break_ = break_row("85123A", "LATE", "ORDER_NOT_IMPORTED", causes=cause("ORDER_NOT_IMPORTED", "-3", "536365"))
    found = explain(level(), [LATE], break_, [])
    assert found.causes[0].evidence == "536365"
    assert "probable cause" not in text(found)


def test_a_contradiction_never_clears() -> None:
    row = level(**{"class": "CONFLICT", "reason": "CANCEL_AFTER_SHIP"})
    document = document_row("536803", "CONFLICT", "CANCEL_AFTER_SHIP", kind="CANCEL", clears_by=None)
    said = text(explain(row, [document], None, []))
    assert "order 536803 cancelled  -3  2026-11-21 08:26 UTC, cancelled after it shipped: never clears" in said


def test_a_number_read_while_stock_moved_is_an_interval() -> None:
    row = level(
        unexplained=Decimal(2),
        unexplained_lo=Decimal(-1),
        unexplained_hi=Decimal(2),
        publish=None,
        **{"class": "AMBIGUOUS", "reason": "AS_OF_UNCERTAIN"},
    )
    said = text(explain(row, [], None, []))
    assert "what is unexplained is between -1 and +2" in said
    assert "nothing is published, as it could not be judged" in said


def test_a_key_that_one_side_does_not_know_has_no_difference() -> None:
    row = level(**dict.fromkeys(("quantity_b", "raw_diff", "expected_diff", "unexplained", "atp", "publish")))
    row |= {"unexplained_lo": None, "unexplained_hi": None, "class": "MISSING_IN_B", "reason": None}
    said = text(explain(row, [], None, []))
    assert said.startswith("85123A at web, storefront~erp: MISSING_IN_B (missing in the authority)\n")
    assert "\n  erp shows  nothing  as of 2026-11-23 02:05:00 UTC\n" in squeezed(said)
    assert "difference" not in said
    assert "nothing is published: what can be promised is not known" in said


def test_a_matched_key_is_short() -> None:
    row = level(quantity_a=Decimal(40), raw_diff=Decimal(0), expected_diff=Decimal(0))
    row |= {"class": "MATCHED", "reason": None, "atp": Decimal(40), "publish": Decimal(40)}
    said = text(explain(row, [], None, []))
    assert said.startswith("85123A at web, storefront~erp: MATCHED\n")
    assert "what to do" not in said
    assert "difference  0\n" in squeezed(said)


@given(
    st.lists(st.decimals(-99, 99, places=2), max_size=6), st.decimals(-99, 99, places=2), st.decimals(-9, 9, places=2)
)
def test_the_sum_always_adds_up(quantities: list[Decimal], clamped: Decimal, unexplained: Decimal) -> None:
    expected = sum(quantities, Decimal(0)) + clamped
    row = level(raw_diff=expected + unexplained, expected_diff=expected, unexplained=unexplained)
    documents = [document_row(str(n), "IN_FLIGHT", "ORDER_OPEN", quantity=q) for n, q in enumerate(quantities)]
    found = explain(row, documents, None, [])
    assert sum((line.quantity for line in found.lines), found.shaped) == found.expected_diff
    assert found.expected_diff is not None
    assert found.expected_diff + unexplained == found.raw_diff
    assert ("never below zero" in text(found)) == bool(clamped)


def test_it_is_json_with_exact_quantities_and_the_snapshots_used() -> None:
    snapshots = [snapshot_of("storefront", "stock"), snapshot_of("pos", "stock"), snapshot_of("erp", "events")]
    found = explain(level(), [LATE], break_row("85123A", "LATE", "ORDER_NOT_IMPORTED"), snapshots)
    document = json.loads(json.dumps(asdict(found), default=str))
    assert document["lines"][0]["ref"] == "536365"
    assert document["lines"][0]["quantity"] == "-3"
    assert document["words"] == "order never imported"
    assert document["snapshots"] == ["storefront/stock 20261123T020000Z-1a2b", "erp/events 20261123T020000Z-1a2b"]


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_of_document_has_words(kind: Kind) -> None:
    said = text(explain(level(), [document_row("77", "IN_FLIGHT", "ORDER_OPEN", kind=str(kind))], None, []))
    assert "77" in said
    assert kind not in said
    assert set(explaining._DOCUMENTS) == {str(each) for each in Kind}


def test_nothing_in_a_name_moves_the_cursor() -> None:
    found = explain(level(sku="A\x1b[2J\nB"), [{**LATE, "ref": "1\r2"}], None, [])
    assert text(found).startswith("A\\x1b[2J\\nB at web")
    assert "order 1\\r2 placed" in text(found)
