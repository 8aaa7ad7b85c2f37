"""Expectations about a snapshot itself, rather than its rows: how old, how whole, how far its feed reaches.

They are ordinary Great Expectations classes over metrics that are known from the manifest, so they
stand in the same suites, results and Data Docs as any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider

from expectations.metrics import Values

AGE = "snapshot.age_in_hours"
REJECTED = "snapshot.rejected_share"
KEPT = "snapshot.rows_to_last_time"
TREND = "snapshot.rows_to_trailing_median"
LAG = "snapshot.watermark_lag_in_hours"
FINGERPRINT = "snapshot.fingerprint_changed"


@dataclass(frozen=True)
class Facts:
    """What the manifests say; a fact that is not known, as of a first snapshot, is None.

    Args:
        age_in_hours: from its as-of until now.
        rejected_share: rows that could not be kept, of the rows read.
        rows_to_last_time: rows, divided by those of the snapshot before.
        rows_to_trailing_median: rows, divided by the median of the last snapshots' rows.
        watermark_lag_in_hours: how far a feed of events ends before the as-of of the stock that it explains.
        fingerprint_changed: 1 if names or types of the columns differ from the snapshot before, else 0.
    """

    age_in_hours: float
    rejected_share: float
    rows_to_last_time: float | None = None
    rows_to_trailing_median: float | None = None
    watermark_lag_in_hours: float | None = None
    fingerprint_changed: int | None = None

    def values(self) -> Values:
        """The facts under their metric names."""
        return {
            AGE: self.age_in_hours,
            REJECTED: self.rejected_share,
            KEPT: self.rows_to_last_time,
            TREND: self.rows_to_trailing_median,
            LAG: self.watermark_lag_in_hours,
            FINGERPRINT: self.fingerprint_changed,
        }


class GivenMetric(TableMetricProvider):
    """A metric that is given, not computed; registered so that Great Expectations knows its name."""

    @metric_value(engine=PandasExecutionEngine)
    def _pandas(cls, **_: Any) -> Any:  # noqa: N805
        raise NotImplementedError("this metric is measured by recon")


class AgeInHours(GivenMetric):
    """Hours between the as-of of a snapshot and now."""

    metric_name = AGE


class RejectedShare(GivenMetric):
    """Rows that could not be kept, as a share of the rows read."""

    metric_name = REJECTED


class RowsToLastTime(GivenMetric):
    """Rows, as a share of those of the snapshot before."""

    metric_name = KEPT


class RowsToTrailingMedian(GivenMetric):
    """Rows, as a share of the median of the last snapshots'."""

    metric_name = TREND


class WatermarkLagInHours(GivenMetric):
    """Hours between the end of a feed and the as-of of the stock that it explains."""

    metric_name = LAG


class FingerprintChanged(GivenMetric):
    """Whether the columns are others than last time."""

    metric_name = FINGERPRINT


class BoundedMetric(BatchExpectation):
    """A number lies between two bounds, both inside."""

    min_value: float | None = None
    max_value: float | None = None
    success_keys: ClassVar[tuple[str, ...]] = ("min_value", "max_value")

    def _validate(self, metrics: Any, runtime_configuration: Any = None, execution_engine: Any = None) -> Any:
        return self._validate_metric_value_between(
            metric_name=self.metric_dependencies[0],
            metrics=metrics,
            runtime_configuration=runtime_configuration,
            execution_engine=execution_engine,
        )


class ExpectSnapshotAgeInHoursToBeBetween(BoundedMetric):
    """Expect the snapshot to be fresh: so many hours between its as-of and now.

    Args:
        min_value: the least hours; below zero is an as-of in the future.
        max_value: the most hours.
    """

    metric_dependencies: ClassVar[tuple[str, ...]] = (AGE,)


class ExpectRejectedShareToBeBetween(BoundedMetric):
    """Expect few enough rows to be rejected.

    Args:
        min_value: the least share, 0 to 1.
        max_value: the largest share, 0 to 1.
    """

    metric_dependencies: ClassVar[tuple[str, ...]] = (REJECTED,)


class ExpectRowsToLastTimeToBeBetween(BoundedMetric):
    """Expect about as many rows as in the snapshot before; not judged of a first snapshot.

    Args:
        min_value: the least rows, as a share of the last time's.
        max_value: the most rows, as a share of the last time's.
    """

    metric_dependencies: ClassVar[tuple[str, ...]] = (KEPT,)


class ExpectRowsToTrailingMedianToBeBetween(BoundedMetric):
    """Expect about as many rows as usual; not judged until there are three earlier snapshots.

    Args:
        min_value: the least rows, as a share of the median of up to eight earlier snapshots.
        max_value: the most rows, as a share of that median.
    """

    metric_dependencies: ClassVar[tuple[str, ...]] = (TREND,)


class ExpectWatermarkLagInHoursToBeBetween(BoundedMetric):
    """Expect a feed of events to reach the instant of the stock that it explains.

    Args:
        min_value: the least hours by which it may end before; below zero where it goes on after it.
        max_value: the most hours by which it may end before.
    """

    metric_dependencies: ClassVar[tuple[str, ...]] = (LAG,)


class ExpectSchemaFingerprintToBeUnchanged(BoundedMetric):
    """Expect the columns and types of the snapshot to be those of the one before."""

    max_value: float | None = 0
    metric_dependencies: ClassVar[tuple[str, ...]] = (FINGERPRINT,)
