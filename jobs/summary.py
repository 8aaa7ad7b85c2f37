"""`summary.json`: counts and sums that close, out of the tallies and manifests of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.reconcile import PairTask
from pipelines.snapshots import Snapshot


def pair_summary(task: PairTask, tallies: pa.Table, in_flight: pa.Table, corrections: int) -> dict[str, Any]:
    """The counts of one pair by class and reason; `keys` is their sum, and every row is counted once."""
    rows = tallies.filter(pc.equal(tallies["pair"], task.pair.name)).to_pylist()
    keys = sum(row["keys"] for row in rows)
    priced = sum(row["priced"] for row in rows)
    return {
        "target": task.pair.a.system,
        "authority": task.pair.b.system,
        "basis": task.pair.basis_pair,
        "keys": keys,
        "classes": _amounts(rows, "class"),
        "reasons": {
            name: _amounts([row for row in rows if row["class"] == name and row["reason"]], "reason")
            for name in sorted({row["class"] for row in rows if row["reason"]})
        },
        "in_flight": {
            "documents": in_flight.num_rows,
            "units": _sum_abs(in_flight["quantity"]),
        },
        "corrections": corrections,
        "lines_cut_off": sum(row["cut_off"] for row in rows),
        "feeds": [f"{s.manifest.system}/{s.manifest.dataset}/{s.manifest.snapshot_id}" for s in task.feeds],
        "units_a": sum((row["units_a"] for row in rows), Decimal(0)),
        "units_b": sum((row["units_b"] for row in rows), Decimal(0)),
        "price_known": round(priced / keys, 4) if keys else 0,
        "safety_stock": task.pair.safety_stock,
    }


def snapshot_summary(snapshot: Snapshot) -> dict[str, Any]:
    """What a run needs to say about a snapshot that it used."""
    manifest = snapshot.manifest
    return {
        "system": manifest.system,
        "dataset": manifest.dataset,
        "snapshot_id": manifest.snapshot_id,
        "as_of": _text(manifest.as_of),
        "as_of_hi": _text(manifest.as_of_hi),
        "as_of_kind": manifest.as_of_kind,
        "watermark": _text(manifest.watermark),
        "rows": manifest.rows,
        "rejected": manifest.rejected,
        "reject_reasons": dict(manifest.reject_reasons),
        "sources": list(manifest.sources),
    }


def _amounts(rows: Iterable[Mapping[str, Any]], by: str) -> dict[str, dict[str, Any]]:
    amounts: dict[str, dict[str, Any]] = {}
    for row in rows:
        total = amounts.setdefault(row[by], {"keys": 0, "units": Decimal(0), "value": Decimal(0)})
        for name in total:
            total[name] += row[name]
    return amounts


def _sum_abs(column: pa.ChunkedArray) -> Decimal:
    total = pc.sum(pc.abs(column)).as_py()
    return Decimal(0) if total is None else total


def _text(instant: Any) -> str | None:
    return None if instant is None else instant.isoformat()
