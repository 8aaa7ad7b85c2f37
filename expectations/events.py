"""What must hold for a feed of stock events before differences are explained with it."""

from __future__ import annotations

import great_expectations as gx
import great_expectations.expectations as gxe

from expectations.facts import (
    ExpectRejectedShareToBeBetween,
    ExpectSchemaFingerprintToBeUnchanged,
    ExpectSnapshotAgeInHoursToBeBetween,
    ExpectWatermarkLagInHoursToBeBetween,
)
from reconcilers.schemas import Kind


def suite() -> gx.ExpectationSuite:
    """Keys present, kinds known, fresh, few rejects."""
    return gx.ExpectationSuite("events", expectations=[*_rows(), *_source()])


def _rows() -> list[gxe.Expectation]:
    """What its own rows must be."""
    present = [
        gxe.ExpectColumnValuesToNotBeNull(
            column=column,
            severity="critical",
            description=f"every event has a {column}",
            meta={"reason": "an event without it belongs to no line"},
        )
        for column in ("kind", "ref", "sku", "location", "quantity", "posted_at")
    ]
    return [
        *present,
        gxe.ExpectColumnValuesToBeInSet(
            column="kind",
            value_set=[str(kind) for kind in Kind],
            severity="critical",
            description="every kind of event is known",
            meta={"reason": "a kind that no effect profile knows would be left out of the sum"},
        ),
        gxe.ExpectTableRowCountToBeBetween(
            min_value=1,
            severity="warning",
            description="the feed is not empty",
            meta={"reason": "without events every difference looks unexplained"},
        ),
    ]


def _source() -> list[gxe.Expectation]:
    """What is known of how it was captured."""
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
            meta={"reason": "an event that is left out turns into an unexplained difference"},
        ),
        ExpectSnapshotAgeInHoursToBeBetween(
            max_value=36,
            severity="warning",
            description="not older than a day and a half",
            meta={"reason": "FEED_STALE: what happened since is not in it"},
        ),
        ExpectWatermarkLagInHoursToBeBetween(
            max_value=24,
            severity="warning",
            description="the feed reaches the instant of the stock that it explains, but for a day",
            meta={"reason": "EVENTS_INCOMPLETE: what happened in between looks unexplained"},
        ),
        ExpectSchemaFingerprintToBeUnchanged(
            severity="warning",
            description="the columns are those of last time",
            meta={"reason": "columns or decimal places were changed in the configuration"},
        ),
    ]
