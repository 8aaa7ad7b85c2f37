"""What must hold for a dataset of records before it is compared with another one."""

from __future__ import annotations

import great_expectations as gx
import great_expectations.expectations as gxe

from expectations.facts import (
    ExpectRejectedShareToBeBetween,
    ExpectRowsToLastTimeToBeBetween,
    ExpectRowsToTrailingMedianToBeBetween,
    ExpectSchemaFingerprintToBeUnchanged,
    ExpectSnapshotAgeInHoursToBeBetween,
)


def suite() -> gx.ExpectationSuite:
    """Not empty, not truncated, few rejects; which columns there are only its configuration knows."""
    return gx.ExpectationSuite("records", expectations=[*_rows(), *_beside_earlier(), *_source()])


def _rows() -> list[gxe.Expectation]:
    """What its own rows must be."""
    return [
        gxe.ExpectTableRowCountToBeBetween(
            min_value=1,
            severity="critical",
            description="the snapshot is not empty",
            meta={"reason": "an empty export would say that every record is gone"},
        ),
    ]


def _beside_earlier() -> list[gxe.Expectation]:
    """What it must be beside the snapshots before it."""
    return [
        ExpectRowsToLastTimeToBeBetween(
            min_value=0.5,
            severity="critical",
            description="at least half as many rows as last time",
            meta={"reason": "SNAPSHOT_TRUNCATED: the rest would look as if it were missing"},
        ),
        ExpectRowsToTrailingMedianToBeBetween(
            min_value=0.8,
            max_value=1.5,
            severity="warning",
            description="about as many rows as usual",
            meta={"reason": "SNAPSHOT_TRUNCATED, or an export that was loaded twice"},
        ),
    ]


def _source() -> list[gxe.Expectation]:
    """What is known of how it was captured."""
    return [
        ExpectRejectedShareToBeBetween(
            max_value=0.5,
            severity="critical",
            description="at most half of the rows is rejected",
            meta={"reason": "the columns or the types are not those that the configuration names"},
        ),
        ExpectRejectedShareToBeBetween(
            max_value=0,
            severity="warning",
            description="no row is rejected",
            meta={"reason": "a rejected row is a record that nobody compares"},
        ),
        ExpectSnapshotAgeInHoursToBeBetween(
            max_value=36,
            severity="warning",
            description="not older than a day and a half",
            meta={"reason": "SNAPSHOT_STALE: last night's export is missing"},
        ),
        ExpectSchemaFingerprintToBeUnchanged(
            severity="warning",
            description="the columns are those of last time",
            meta={"reason": "a column has another type, or the configuration has changed"},
        ),
    ]
