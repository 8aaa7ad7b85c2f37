"""A suite learned from snapshots: bounds around what was seen, each with the reason, to be reviewed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import great_expectations as gx
import great_expectations.expectations as gxe
import pyarrow as pa

from expectations.columns import column
from expectations.listing import ORIGIN
from expectations.metrics import SAMPLE, Metric, Values, finish

#: Beyond what was seen, bounds leave so much room, as a share of it.
ROOM = 0.25

#: A column with so many values or fewer, in every snapshot, is taken for a closed set.
CLOSED = SAMPLE

_ROWS = Metric("table.row_count")


def profile(schema: pa.Schema) -> tuple[Metric, ...]:
    """What has to be known of every snapshot."""
    found = [_ROWS]
    for name in (n for n in schema.names if n not in ORIGIN):
        of = column(schema, name)
        found.append(Metric("column.non_null_proportion", (name,)))
        if of.kind == "text":
            found += [_distinct(name), _values(name)]
        if of.kind == "exact":
            found += [Metric(f"column.{each}", (name,)) for each in ("min", "max", "mean")]
    return tuple(found)


@dataclass(frozen=True)
class _Seen:
    """The answers of all snapshots, oldest first."""

    snapshots: Sequence[Values]

    def of(self, metric: Metric) -> list[Any]:
        """The answers to a metric, those that are not known left out."""
        answers = (finish(metric, values[metric.key]) for values in self.snapshots)
        return [answer for answer in answers if answer is not None]


def suggest(name: str, schema: pa.Schema, snapshots: Sequence[Values]) -> gx.ExpectationSuite:
    """The suite that all of these snapshots meet.

    Args:
        name: of the suite.
        schema: of the rows.
        snapshots: the values of `profile`, a snapshot each, oldest first; at least one.
    """
    seen = _Seen(snapshots)
    expectations = [_row_count(seen)]
    for each in (n for n in schema.names if n not in ORIGIN):
        expectations += [_filled(seen, each)]
        kind = column(schema, each).kind
        if kind == "text":
            expectations += _closed_set(seen, each)
        if kind == "exact":
            expectations += _numbers(seen, each)
    return gx.ExpectationSuite(name, expectations=[each for each in expectations if each is not None])


def _row_count(seen: _Seen) -> Any:
    rows = seen.of(_ROWS)
    return gxe.ExpectTableRowCountToBeBetween(
        min_value=int(min(rows) * (1 - ROOM)),
        max_value=int(max(rows) * (1 + ROOM)) + 1,
        severity="warning",
        description="about as many rows as before",
        meta=_reason(f"{_span(rows)} rows", seen),
    )


def _filled(seen: _Seen, name: str) -> Any:
    shares = seen.of(Metric("column.non_null_proportion", (name,)))
    if min(shares) == 1:
        return gxe.ExpectColumnValuesToNotBeNull(
            column=name,
            severity="warning",
            description=f"every row has a {name}",
            meta=_reason("it was never empty", seen),
        )
    if max(shares) == 0:
        return None
    return gxe.ExpectColumnProportionOfNonNullValuesToBeBetween(
        column=name,
        min_value=round(min(shares) * (1 - ROOM), 4),
        severity="warning",
        description=f"{name} is filled about as often as before",
        meta=_reason(f"{_span(shares)} of the rows had one", seen),
    )


def _closed_set(seen: _Seen, name: str) -> Iterator[Any]:
    counts = seen.of(_distinct(name))
    if max(counts) > CLOSED or not max(counts):
        return
    values = sorted({value for found in seen.of(_values(name)) for value in found})
    yield gxe.ExpectColumnValuesToBeInSet(
        column=name,
        value_set=values,
        severity="warning",
        description=f"no {name} that was never seen before",
        meta=_reason(f"{len(values)} different values", seen),
    )


def _numbers(seen: _Seen, name: str) -> Iterator[Any]:
    low, high = (seen.of(Metric(f"column.{each}", (name,))) for each in ("min", "max"))
    means = seen.of(Metric("column.mean", (name,)))
    if not low:
        return
    bottom, top = float(min(low)), float(max(high))
    yield gxe.ExpectColumnValuesToBeBetween(
        column=name,
        min_value=bottom - ROOM * abs(bottom),
        max_value=top + ROOM * abs(top),
        mostly=0.999,
        severity="warning",
        description=f"{name} is about in its usual range",
        meta=_reason(f"from {bottom:g} to {top:g}", seen),
    )
    yield gxe.ExpectColumnMeanToBeBetween(
        column=name,
        min_value=min(means) - ROOM * abs(min(means)),
        max_value=max(means) + ROOM * abs(max(means)),
        severity="warning",
        description=f"{name} is on average about what it was",
        meta=_reason(f"a mean of {_span(means)}", seen),
    )


def _distinct(name: str) -> Metric:
    return Metric("column.distinct_values.count", (name,))


def _values(name: str) -> Metric:
    """All values, where there are few: those that are in no set."""
    return Metric("column.distinct_values.not_in_set", (name,), {"value_set": []})


def _span(numbers: Sequence[float]) -> str:
    low, high = (f"{each:,}" if isinstance(each, int) else f"{each:.4g}" for each in (min(numbers), max(numbers)))
    return low if low == high else f"{low} to {high}"


def _reason(words: str, seen: _Seen) -> dict[str, str]:
    count = len(seen.snapshots)
    return {"reason": f"seen in the last {count} snapshot{'' if count == 1 else 's'}: {words}"}
