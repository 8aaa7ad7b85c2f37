"""Which rows of a large table a report shows: found with Arrow, never row by row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from reconcilers.schemas import Class
from reports.records import FAULTS, SEVERITIES

#: Rows of one kind in a report; it says how many more there are.
SHOWN = 200

Rows = list[dict[str, Any]]


def of_pair(table: pa.Table, pair: str) -> pa.Table:
    """The rows of one pair."""
    return table.filter(pc.equal(table["pair"], pair))


def of_classes(table: pa.Table, classes: Iterable[str]) -> pa.Table:
    """The rows of some classes."""
    return table.filter(pc.is_in(table["class"], pa.array([str(each) for each in classes])))


def faults(breaks: pa.Table, shown: int = SHOWN) -> Rows:
    """The worst of each class of fault: by severity, then by value, then by what is unexplained."""
    rows = [row for each in FAULTS for row in _first(of_classes(breaks, [each]), _badness, shown)]
    order = {severity: rank for rank, severity in enumerate(SEVERITIES)}
    return sorted(rows, key=lambda row: (order[row["severity"]], -(row["value"] or 0), -abs(row["unexplained"] or 0)))


def documents(in_flight: pa.Table, shown: int = SHOWN) -> Rows:
    """The contradictory ones first, then by when they are or were due."""
    return _first(in_flight, _dueness, shown)


def corrections(table: pa.Table, shown: int = SHOWN) -> Rows:
    """The largest changes."""
    return _first(table, _change, shown)


def flows(in_flight: pa.Table) -> Rows:
    """Documents by reason: how many, how many units, due from when to when."""
    table = in_flight.append_column("units", pc.abs(in_flight["quantity"]))
    found = table.group_by("reason").aggregate(
        [([], "count_all"), ("units", "sum"), ("clears_by", "min"), ("clears_by", "max")]
    )
    rows: Rows = found.to_pylist()
    return sorted(rows, key=lambda row: (-row["count_all"], row["reason"]))


def _first(table: pa.Table, rank: Any, shown: int) -> Rows:
    """The first rows by the columns that `rank` makes, all ascending, nulls last."""
    if not len(table):
        return []
    keys = pa.table(rank(table))
    order = [(name, "ascending") for name in keys.column_names]
    rows: Rows = table.take(pc.select_k_unstable(keys, min(shown, len(table)), order)).to_pylist()
    return rows


def _badness(breaks: pa.Table) -> Mapping[str, pa.ChunkedArray]:
    return {
        "severity": pc.index_in(breaks["severity"], pa.array(SEVERITIES)),
        "value": pc.negate(breaks["value"]),
        "unexplained": pc.negate(pc.abs(breaks["unexplained"])),
        "sku": breaks["sku"],
        "location": breaks["location"],
    }


def _dueness(in_flight: pa.Table) -> Mapping[str, pa.ChunkedArray]:
    return {
        "class": pc.index_in(in_flight["class"], pa.array([str(Class.CONFLICT), str(Class.LATE)])),
        "clears_by": in_flight["clears_by"],
        "posted_at": in_flight["posted_at"],
        "sku": in_flight["sku"],
        "ref": in_flight["ref"],
    }


def _change(table: pa.Table) -> Mapping[str, pa.ChunkedArray]:
    return {
        "delta": pc.negate(pc.abs(table["delta"])),
        "sku": table["sku"],
        "location": table["location"],
    }
