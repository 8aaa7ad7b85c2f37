"""The hand-made run as fixtures."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from handmade import (
    CLASSES,
    PAIR,
    REASONS,
    VALIDATION,
    break_row,
    breaks_of,
    cause,
    corrections_of,
    document_row,
    in_flight_of,
    pair_of,
    snapshot_of,
    summary_of,
)

from reports import model
from reports.records import Report


@pytest.fixture
def summary() -> dict[str, Any]:
    snapshots = [
        snapshot_of("storefront", "stock"),
        snapshot_of("erp", "stock", rejected=3, reject_reasons={"quantity is not a number": 3}),
    ]
    whole = summary_of({PAIR: pair_of(CLASSES, REASONS) | {"lines_cut_off": 4, "corrections": 2}}, snapshots)
    whole["gates"] = [
        {"pair": PAIR, "gate": "breaks", "value": 6, "bound": 5, "passed": False},
        {"pair": PAIR, "gate": "units", "value": Decimal("28.5000"), "bound": Decimal(100), "passed": True},
    ]
    return whole


@pytest.fixture
def breaks() -> pa.Table:
    zero, duplicated = Decimal(0), cause("DUPLICATE_BACKEND_ORDER", "4.5000", "536581")
    more = Decimal("4.5")
    twice = {"quantity_b": Decimal(20), "quantity_a": Decimal("24.5"), "raw_diff": more, "expected_diff": zero}
    equal = {"quantity_a": Decimal(40), "raw_diff": zero, "expected_diff": Decimal(-10), "unexplained": Decimal(10)}
    return breaks_of(
        break_row("10001", "LATE", "ORDER_NOT_IMPORTED", value=Decimal(100)),
        break_row("10002", "LATE", "ORDER_NOT_IMPORTED", value=Decimal(500), runs_seen=3),
        break_row("10003", "LATE", "ORDER_NOT_IMPORTED", value=Decimal(300)),
        break_row("22113", "CONFLICT", "CANCEL_AFTER_SHIP", severity="high", value=Decimal("40.5")),
        break_row(
            *("85099B", "BREAK", "DUPLICATE_BACKEND_ORDER"),
            **{**twice, "unexplained": more, "severity": "critical", "causes": duplicated},
        ),
        break_row(
            *("<script>alert(1)</script>", "BREAK", "UNEXPLAINED"),
            **{**equal, "severity": "high", "causes": cause("PUBLISH_OVERWRITE", "10", "target equals authority")},
        ),
        break_row(
            *("99999", "MISSING_IN_B"),
            **dict.fromkeys(("quantity_b", "raw_diff", "expected_diff", "unexplained"), None),
            severity="low",
        ),
        break_row("84029E", "IN_FLIGHT", "ORDER_OPEN", severity="low", status="TRANSIENT"),
    )


@pytest.fixture
def corrections() -> pa.Table:
    row = {
        "correction_id": "c1",
        "pair": PAIR,
        "target": "storefront",
        "sku": "85099B",
        "location": "web",
        "basis": "available",
        "mode": "set",
        "value": Decimal(20),
        "change_from": Decimal("24.5"),
        "delta": Decimal("-4.5"),
        "reason": "DUPLICATE_BACKEND_ORDER",
        "idempotency_key": "k1",
        "status": "PROPOSED",
    }
    overwritten = {"sku": "<script>alert(1)</script>", "value": Decimal(30), "change_from": Decimal(40)}
    return corrections_of(row, {**row, **overwritten, "delta": Decimal(-10), "reason": "UNEXPLAINED"})


@pytest.fixture
def in_flight() -> pa.Table:
    tomorrow = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
    later = datetime(2026, 11, 26, 17, 30, tzinfo=UTC)
    return in_flight_of(
        document_row("536365", "LATE", "ORDER_NOT_IMPORTED", sku="10001"),
        document_row("536803", "CONFLICT", "CANCEL_AFTER_SHIP", sku="22113", kind="CANCEL", clears_by=None),
        document_row("537225", "IN_FLIGHT", "ORDER_OPEN", sku="84029E", quantity=Decimal(-7), clears_by=later),
        document_row("537224", "IN_FLIGHT", "ORDER_OPEN", sku="84029E", quantity=Decimal(-2), clears_by=tomorrow),
        document_row("R-12", "IN_FLIGHT", "RETURN_IN_QC", sku="84950", quantity=Decimal(5), clears_by=later),
    )


@pytest.fixture
def report(summary: dict[str, Any], breaks: pa.Table, corrections: pa.Table, in_flight: pa.Table) -> Report:
    return model.build(summary, breaks, corrections, in_flight, VALIDATION)


@pytest.fixture
def empty() -> Report:
    """A run that compared nothing."""
    return model.build(
        summary_of({PAIR: pair_of({}, price_known=0)}), breaks_of(), corrections_of(), in_flight_of(), []
    )


@pytest.fixture
def refused() -> Report:
    """A run that ended at a critical expectation."""
    message = "400 rows where 1,204 were last time: the export is cut off"
    critical = [f"storefront/stock: {message}"]
    result = {"evaluated": 12, "failed": 1, "success": False, "critical": critical, "messages": [message]}
    validation = [{"system": "storefront", "dataset": "stock", **result}]
    whole = summary_of({}, [snapshot_of("storefront", "stock", rows=400)])
    return model.build(whole, breaks_of(), corrections_of(), in_flight_of(), validation)
