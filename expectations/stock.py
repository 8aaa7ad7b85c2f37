"""What must hold for a stock snapshot before anything is concluded from it."""

from __future__ import annotations

import great_expectations as gx
import great_expectations.expectations as gxe

from expectations.domain import ExpectColumnDriftToBeBetween, ExpectKeysToBeKept
from expectations.facts import (
    ExpectRejectedShareToBeBetween,
    ExpectRowsToLastTimeToBeBetween,
    ExpectRowsToTrailingMedianToBeBetween,
    ExpectSchemaFingerprintToBeUnchanged,
    ExpectSnapshotAgeInHoursToBeBetween,
)

KEY = ("sku", "location")


def suite() -> gx.ExpectationSuite:
    """Keys present and unique, quantities in range, fresh, not truncated."""
    return gx.ExpectationSuite("stock", expectations=[*_rows(), *_beside_earlier(), *_source()])


def _rows() -> list[gxe.Expectation]:
    """What its own rows must be."""
    present = [
        gxe.ExpectColumnValuesToNotBeNull(
            column=column,
            severity="critical",
            description=f"every row has a {column}",
            meta={"reason": "a row without it cannot be compared"},
        )
        for column in (*KEY, "quantity")
    ]
    return [
        *present,
        gxe.ExpectCompoundColumnsToBeUnique(
            column_list=list(KEY),
            severity="critical",
            description="no SKU is twice at one location",
            meta={"reason": "which of the two numbers is the stock?"},
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="quantity",
            min_value=0,
            severity="warning",
            description="no stock is below zero",
            meta={"reason": "NEGATIVE_SOURCE: more was sold or shipped than there was"},
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="quantity",
            max_value=1_000_000,
            severity="warning",
            description="no stock is above a million",
            meta={"reason": "such numbers stand for unlimited stock more often than for goods"},
        ),
        gxe.ExpectTableRowCountToBeBetween(
            min_value=1,
            severity="critical",
            description="the snapshot is not empty",
            meta={"reason": "an empty export would say that everything is sold out"},
        ),
    ]


def _beside_earlier() -> list[gxe.Expectation]:
    """How it may differ from the snapshots before it."""
    return [
        ExpectRowsToLastTimeToBeBetween(
            min_value=0.5,
            severity="critical",
            description="at least half as many rows as last time",
            meta={"reason": "SNAPSHOT_TRUNCATED: assortments do not halve overnight"},
        ),
        ExpectRowsToTrailingMedianToBeBetween(
            min_value=0.8,
            max_value=1.5,
            severity="warning",
            description="about as many rows as usual",
            meta={"reason": "SNAPSHOT_TRUNCATED, or a catalogue that was loaded twice"},
        ),
        ExpectKeysToBeKept(
            column_list=list(KEY),
            mostly=0.8,
            severity="warning",
            description="at least four fifths of the last snapshot's keys are there still",
            meta={"reason": "SNAPSHOT_TRUNCATED: new rows can hide that others are gone"},
        ),
        ExpectColumnDriftToBeBetween(
            column_list=["quantity"],
            max_value=0.25,
            severity="warning",
            description="quantities are distributed about as last time",
            meta={"reason": "UOM_MISMATCH or another basis: every number moved at once"},
        ),
        ExpectSchemaFingerprintToBeUnchanged(
            severity="warning",
            description="the columns are those of last time",
            meta={"reason": "columns or decimal places were changed in the configuration"},
        ),
    ]


def _source() -> list[gxe.Expectation]:
    """What is known of where it came from: what had to be left out, and how old it is."""
    return [
        ExpectRejectedShareToBeBetween(
            max_value=0.1,
            severity="critical",
            description="at most a tenth of the rows is rejected",
            meta={"reason": "the columns or the format are not those that the configuration names"},
        ),
        ExpectRejectedShareToBeBetween(
            max_value=0,
            severity="warning",
            description="no row is rejected",
            meta={"reason": "a rejected row is a number that nobody checks"},
        ),
        ExpectSnapshotAgeInHoursToBeBetween(
            max_value=7 * 24,
            severity="critical",
            description="not older than a week",
            meta={"reason": "SNAPSHOT_STALE: corrections from it would undo a week of sales"},
        ),
        ExpectSnapshotAgeInHoursToBeBetween(
            max_value=36,
            severity="warning",
            description="not older than a day and a half",
            meta={"reason": "SNAPSHOT_STALE: last night's export is missing"},
        ),
    ]
