"""Expectations that this domain needs beyond Great Expectations' own: keys, order lines, distributions.

Each is an ordinary Great Expectations class; what it needs is measured by `expectations.keys`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from great_expectations.expectations.expectation import BatchExpectation

from expectations.facts import BoundedMetric, GivenMetric
from expectations.metrics import SAMPLE


class KeysLost(GivenMetric):
    """Keys of another snapshot that this one does not have."""

    metric_name = "keys.lost"
    value_keys = ("column_list", "other", "strip_prefix")


class KeysUnknown(GivenMetric):
    """Keys of this snapshot that another one does not have."""

    metric_name = "keys.unknown"
    value_keys = ("column_list", "other", "strip_prefix")


class LinesInconsistent(GivenMetric):
    """Order lines of which more was shipped and cancelled than ordered."""

    metric_name = "lines.inconsistent"
    value_keys = ("column_list",)


class LinesUnbalanced(GivenMetric):
    """Closed order lines whose reservations do not come to zero."""

    metric_name = "lines.unbalanced"
    value_keys = ("column_list", "opens", "closes")


class ColumnDrift(GivenMetric):
    """How far the distribution of a column moved since another snapshot."""

    metric_name = "column.drift"
    value_keys = ("column_list", "other", "edges")


class GroupShares(GivenMetric):
    """The share of some values of a column, group by group."""

    metric_name = "group.shares"
    value_keys = ("column_list", "value_set")


class _KeyExpectation(BatchExpectation):
    """Of all keys, enough meet a rule; the result is that of a map expectation, of keys instead of rows."""

    column_list: list[str]
    mostly: float = 1.0
    success_keys: ClassVar[tuple[str, ...]] = ("column_list", "mostly")

    def _validate(self, metrics: Any, runtime_configuration: Any = None, execution_engine: Any = None) -> Any:
        found: Mapping[str, Any] = metrics[self.metric_dependencies[0]]
        share = found["part"] / found["whole"] if found["whole"] else 0.0
        return {
            "success": share <= 1 - self.mostly,
            "result": {
                "element_count": found["whole"],
                "unexpected_count": found["part"],
                "unexpected_percent": 100 * share,
                "partial_unexpected_list": found["sample"],
                "partial_unexpected_index_list": found["sample"],
            },
        }


class ExpectKeysToBeKept(_KeyExpectation):
    """Expect the keys of an earlier snapshot to be there still.

    Args:
        column_list: the columns of the key; the SKU is one of them.
        other: `previous`, or `system/dataset`.
        mostly: the share of keys that have to be there.
    """

    other: str = "previous"
    strip_prefix: list[str] = []  # noqa: RUF012  a field of pydantic, which copies it
    success_keys: ClassVar[tuple[str, ...]] = ("column_list", "mostly", "other", "strip_prefix")
    metric_dependencies: ClassVar[tuple[str, ...]] = ("keys.lost",)


class ExpectKeysToBeKnown(_KeyExpectation):
    """Expect the keys of this snapshot in another one: SKUs that are mapped, references that resolve.

    Args:
        column_list: the columns of the key; the SKU is one of them.
        other: `system/dataset`, such as `erp/stock`; or `previous`.
        mostly: the share of keys that have to be known.
        strip_prefix: what either side may put before its texts.
    """

    other: str
    strip_prefix: list[str] = []  # noqa: RUF012  a field of pydantic, which copies it
    success_keys: ClassVar[tuple[str, ...]] = ("column_list", "mostly", "other", "strip_prefix")
    metric_dependencies: ClassVar[tuple[str, ...]] = ("keys.unknown",)


class ExpectOrderLinesToAddUp(_KeyExpectation):
    """Expect no more of an order line to be shipped and cancelled than was ordered.

    Args:
        column_list: what identifies an order line.
        mostly: the share of lines that have to add up.
    """

    column_list: list[str] = ["ref", "sku"]  # noqa: RUF012  a field of pydantic, which copies it
    metric_dependencies: ClassVar[tuple[str, ...]] = ("lines.inconsistent",)


class ExpectReservationsToCloseAtZero(_KeyExpectation):
    """Expect the reservations of every closed order line to sum to zero: the ledger equals the balance.

    A line is closed when what was ordered is shipped or cancelled.

    Args:
        column_list: what identifies an order line.
        opens: kinds of events that reserve.
        closes: kinds of events that take a reservation back or use it up.
        mostly: the share of lines that have to be balanced.
    """

    column_list: list[str] = ["ref", "sku"]  # noqa: RUF012  a field of pydantic, which copies it
    opens: list[str] = ["ALLOCATE"]  # noqa: RUF012  a field of pydantic, which copies it
    closes: list[str] = ["DEALLOC", "SHIP"]  # noqa: RUF012  a field of pydantic, which copies it
    success_keys: ClassVar[tuple[str, ...]] = ("column_list", "mostly", "opens", "closes")
    metric_dependencies: ClassVar[tuple[str, ...]] = ("lines.unbalanced",)


class ExpectColumnDriftToBeBetween(BoundedMetric):
    """Expect the distribution of a number to be about what it was: population stability index.

    Below 0.1 nothing moved to speak of, above 0.25 it is another distribution (a convention of credit
    scoring, where the index comes from).

    Args:
        column_list: the one column.
        other: `previous`, or `system/dataset`.
        edges: of the cells that are compared (0, 1, 2, 5, 10, 20, 50, 100, 1000).
        min_value: the least drift.
        max_value: the largest drift.
    """

    column_list: list[str]
    other: str = "previous"
    edges: list[float] | None = None
    success_keys: ClassVar[tuple[str, ...]] = ("column_list", "other", "edges", "min_value", "max_value")
    metric_dependencies: ClassVar[tuple[str, ...]] = ("column.drift",)


class ExpectShareInEveryGroupToBeAtMost(BatchExpectation):
    """Expect no single group to have too many of some values: a location where everything fails.

    Args:
        column_list: the column of the group, and the column whose values are counted.
        value_set: the values that are counted.
        max_value: the largest share, 0 to 1, that any group may have.
        min_rows: groups with fewer rows are not judged.
    """

    column_list: list[str]
    value_set: list[str]
    max_value: float
    min_rows: int = 50
    success_keys: ClassVar[tuple[str, ...]] = ("column_list", "value_set", "max_value", "min_rows")
    metric_dependencies: ClassVar[tuple[str, ...]] = ("group.shares",)

    def _validate(self, metrics: Any, runtime_configuration: Any = None, execution_engine: Any = None) -> Any:
        shares = {
            group: part / whole for group, (part, whole) in metrics["group.shares"].items() if whole >= self.min_rows
        }
        beyond = sorted((group for group in shares if shares[group] > self.max_value), key=lambda g: -shares[g])
        return {
            "success": not beyond,
            "result": {
                "element_count": len(shares),
                "unexpected_count": len(beyond),
                "unexpected_percent": 100 * len(beyond) / len(shares) if shares else 0,
                "partial_unexpected_list": [f"{group} ({shares[group]:.0%})" for group in beyond[:SAMPLE]],
            },
        }
