"""Which rows of a large table a report shows: found with Arrow, never row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from reconcilers.schemas import Class
from reports.records import FAULTS, SEVERITIES

#: Rows of one kind in a report; it says how many more there are.
SHOWN = 200

Rows = list[dict[str, Any]]
Columns = Mapping[str, pa.ChunkedArray]


def faults(breaks: pa.Table, pair: str, shown: int = SHOWN) -> Rows:
    """The worst of each class of fault: by severity, then by value, then by what is unexplained."""
    rows = [row for each in FAULTS for row in _first(breaks, _mask(breaks, pair, [each]), _badness, shown)]
    order = {severity: rank for rank, severity in enumerate(SEVERITIES)}
    return sorted(rows, key=lambda row: (order[row["severity"]], -(row["value"] or 0), -abs(row["unexplained"] or 0)))


def documents(in_flight: pa.Table, pair: str, classes: Iterable[str], shown: int = SHOWN) -> Rows:
    """The contradictory ones first, then by when they are or were due."""
    return _first(in_flight, _mask(in_flight, pair, classes), _dueness, shown)


def corrections(table: pa.Table, pair: str, shown: int = SHOWN) -> Rows:
    """The largest changes."""
    return _first(table, _mask(table, pair), _change, shown)


def examples(breaks: pa.Table, pair: str, class_name: str, shown: int) -> Rows:
    """A few keys of a class, in the order of their SKUs."""
    return _first(breaks, _mask(breaks, pair, [class_name]), _identity, shown)


def flows(in_flight: pa.Table, pair: str) -> Rows:
    """The documents on their way by reason: how many, how many units, due from when to when."""
    table = in_flight.select(["reason", "quantity", "clears_by"]).filter(_mask(in_flight, pair, [Class.IN_FLIGHT]))
    table = table.append_column("units", pc.abs(table["quantity"]))
    found = table.group_by("reason").aggregate(
        [([], "count_all"), ("units", "sum"), ("clears_by", "min"), ("clears_by", "max")]
    )
    rows: Rows = found.to_pylist()
    return sorted(rows, key=lambda row: (-row["count_all"], row["reason"]))


def count(table: pa.Table, pair: str, classes: Iterable[str] | None = None) -> int:
    """How many rows of a pair there are, of some classes or of all."""
    return pc.sum(_mask(table, pair, classes)).as_py() or 0


def _mask(table: pa.Table, pair: str, classes: Iterable[str] | None = None) -> pa.ChunkedArray:
    mask = pc.equal(table["pair"], pair)
    if classes is None:
        return mask
    return pc.and_(mask, pc.is_in(table["class"], pa.array([str(each) for each in classes], pa.string())))


def _first(table: pa.Table, mask: pa.ChunkedArray, rank: Callable[[pa.Table], Columns], shown: int) -> Rows:
    """The first of the masked rows by the columns that `rank` makes, all ascending, nulls last.

    Only those columns are copied, and whole rows only of what is shown.
    """
    keys = pa.table(rank(table)).filter(mask)
    if not len(keys):
        return []
    order = [(name, "ascending") for name in keys.column_names]
    best = pc.select_k_unstable(keys, min(shown, len(keys)), order)
    rows: Rows = table.take(pc.indices_nonzero(mask).take(best)).to_pylist()
    return rows


def _badness(breaks: pa.Table) -> Columns:
    return {
        "severity": pc.index_in(breaks["severity"], pa.array(SEVERITIES)),
        "value": pc.negate(breaks["value"]),
        "unexplained": pc.negate(pc.abs(breaks["unexplained"])),
        **_identity(breaks),
    }


def _dueness(in_flight: pa.Table) -> Columns:
    return {
        "class": pc.index_in(in_flight["class"], pa.array([str(Class.CONFLICT), str(Class.LATE)])),
        "clears_by": in_flight["clears_by"],
        "posted_at": in_flight["posted_at"],
        "sku": in_flight["sku"],
        "ref": in_flight["ref"],
    }


def _change(table: pa.Table) -> Columns:
    return {"delta": pc.negate(pc.abs(table["delta"])), **_identity(table)}


def _identity(table: pa.Table) -> Columns:
    return {"sku": table["sku"], "location": table["location"]}
