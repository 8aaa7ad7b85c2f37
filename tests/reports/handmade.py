"""A small run, written by hand: every class that a report tells apart, in numbers that can be added up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from reconcilers.schemas import breaks_schema, corrections_schema, in_flight_schema

PAIR = "storefront~erp"
AS_OF_A = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
AS_OF_B = datetime(2026, 11, 23, 2, 5, tzinfo=UTC)


def amounts(keys: int, units: str = "0", value: str = "0") -> dict[str, Any]:
    return {"keys": keys, "units": Decimal(units), "value": Decimal(value)}


def pair_of(
    classes: Mapping[str, Any], reasons: Mapping[str, Any] | None = None, price_known: float = 0.9
) -> dict[str, Any]:
    """A pair of a summary whose keys are those of its classes."""
    return {
        "target": "storefront",
        "authority": "erp",
        "basis": "storefront.available~erp.on_hand",
        "keys": sum(each["keys"] for each in classes.values()),
        "classes": dict(classes),
        "reasons": dict(reasons or {}),
        "in_flight": {"documents": 0, "units": Decimal(0)},
        "corrections": 0,
        "lines_cut_off": 0,
        "units_a": Decimal("1000.0000"),
        "units_b": Decimal("1100.5000"),
        "price_known": price_known,
        "safety_stock": Decimal(3),
    }


def summary_of(pairs: Mapping[str, Any], snapshots: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {
        "format": 1,
        "run_id": "20261123T021500Z-nightly",
        "job": "nightly",
        "started_at": "2026-11-23T02:15:00+00:00",
        "finished_at": "2026-11-23T02:16:30+00:00",
        "now": "2026-11-23T02:15:00+00:00",
        "tool_version": "0.1.0",
        "verdict": "",
        "pairs": dict(pairs),
        "snapshots": snapshots or [],
        "validation": [],
        "gates": [],
        "timings": {"snapshot": 1.25, "reconcile": 2.5},
    }


def snapshot_of(system: str, dataset: str, **other: Any) -> dict[str, Any]:
    return {
        "system": system,
        "dataset": dataset,
        "snapshot_id": "20261123T020000Z-1a2b",
        "as_of": "2026-11-23T02:00:00+00:00",
        "as_of_hi": None,
        "as_of_kind": "filename",
        "watermark": None,
        "rows": 1204,
        "rejected": 0,
        "reject_reasons": {},
        "sources": [],
        **other,
    }


def break_row(sku: str, class_name: str, reason: str | None = None, **other: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(breaks_schema().names)
    return row | {
        "pair": PAIR,
        "sku": sku,
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
        "class": class_name,
        "reason": reason,
        "break_id": f"id-{sku}",
        "first_seen_run": "20261123T021500Z-nightly",
        "last_seen_run": "20261123T021500Z-nightly",
        "runs_seen": 1,
        "status": "OPEN",
        "severity": "medium",
        "causes": "[]",
        **other,
    }


def cause(reason: str, quantity: str, evidence: str) -> str:
    return json.dumps([{"reason": reason, "quantity": quantity, "evidence": evidence}])


def document_row(ref: str, class_name: str, reason: str, **other: Any) -> dict[str, Any]:
    return {
        "pair": PAIR,
        "sku": "85123A",
        "location": "web",
        "ref": ref,
        "kind": "PLACE",
        "quantity": Decimal(-3),
        "posted_at": datetime(2026, 11, 21, 8, 26, tzinfo=UTC),
        "clears_by": datetime(2026, 11, 22, 8, 26, tzinfo=UTC),
        "class": class_name,
        "reason": reason,
        **other,
    }


def breaks_of(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=breaks_schema())


def corrections_of(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=corrections_schema())


def in_flight_of(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=in_flight_schema())


#: 1,204 keys: 1,112 + 85 + 3 + 1 + 2 + 1. What needs somebody is worth 900 + 40.50 + 300 = 1,240.50.
CLASSES = {
    "MATCHED": amounts(1112),
    "IN_FLIGHT": amounts(85, "310.0000", "2000.0000"),
    "LATE": amounts(3, "12.0000", "900.0000"),
    "CONFLICT": amounts(1, "2.0000", "40.5000"),
    "BREAK": amounts(2, "14.5000", "300.0000"),
    "MISSING_IN_B": amounts(1, "8.0000", "0.0000"),
}
REASONS = {
    "IN_FLIGHT": {"ORDER_OPEN": amounts(80, "300"), "RETURN_IN_QC": amounts(5, "10")},
    "LATE": {"ORDER_NOT_IMPORTED": amounts(3, "12", "900")},
    "CONFLICT": {"CANCEL_AFTER_SHIP": amounts(1, "2", "40.5")},
    "BREAK": {"DUPLICATE_BACKEND_ORDER": amounts(1, "4.5", "100"), "UNEXPLAINED": amounts(1, "10", "200")},
}
VALIDATION = [
    {
        "system": "erp",
        "dataset": "stock",
        "success": False,
        "evaluated": 12,
        "failed": 1,
        "critical": [],
        "messages": ["quantity is below zero in 2 rows: 22113 at web: -4"],
    },
]
