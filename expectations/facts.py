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


@dataclass(frozen=True)
class Facts:
    """What the manifests say: hours since as-of, share of rejected rows, rows / rows of the last snapshot.

    A fact that is not known (`rows_to_last_time` of a first snapshot) is None.
    """

    age_in_hours: float
    rejected_share: float
    rows_to_last_time: float | None

    def values(self) -> Values:
        """The facts under their metric names."""
        return {AGE: self.age_in_hours, REJECTED: self.rejected_share, KEPT: self.rows_to_last_time}


class _Fact(TableMetricProvider):
    """A metric that is given, not computed; registered so that Great Expectations knows its name."""

    @metric_value(engine=PandasExecutionEngine)
    def _pandas(cls, **_: Any) -> Any:  # noqa: N805
        raise NotImplementedError("a fact about a snapshot is read from its manifest")


class AgeInHours(_Fact):
    """Hours between the as-of of a snapshot and now."""

    metric_name = AGE


class RejectedShare(_Fact):
    """Rows that could not be kept, as a share of the rows read."""

    metric_name = REJECTED


class RowsToLastTime(_Fact):
    """Rows, as a share of those of the snapshot before."""

    metric_name = KEPT


class _FactExpectation(BatchExpectation):
    """A fact lies between two bounds."""

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


class ExpectSnapshotAgeInHoursToBeBetween(_FactExpectation):
    """The snapshot is fresh enough to act on."""

    metric_dependencies: ClassVar[tuple[str, ...]] = (AGE,)


class ExpectRejectedShareToBeBetween(_FactExpectation):
    """Few enough rows were rejected."""

    metric_dependencies: ClassVar[tuple[str, ...]] = (REJECTED,)


class ExpectRowsToLastTimeToBeBetween(_FactExpectation):
    """The snapshot holds about as many rows as the one before."""

    metric_dependencies: ClassVar[tuple[str, ...]] = (KEPT,)
