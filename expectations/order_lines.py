"""What must hold for a feed of order lines, with cumulative quantities, beside what holds for events."""

from __future__ import annotations

import great_expectations as gx

from expectations import events
from expectations.domain import ExpectOrderLinesToAddUp, ExpectReservationsToCloseAtZero


def suite() -> gx.ExpectationSuite:
    """Every event as in `events`; no line ships more than was ordered, closed lines hold no reservation."""
    return gx.ExpectationSuite(
        "order_lines",
        expectations=[
            *(each.copy() for each in events.suite().expectations),
            ExpectOrderLinesToAddUp(
                severity="warning",
                description="no more of a line is shipped and cancelled than was ordered",
                meta={"reason": "CANCEL_AFTER_SHIP, or a quantity that was changed afterwards"},
            ),
            ExpectReservationsToCloseAtZero(
                severity="warning",
                description="closed lines hold no reservation",
                meta={"reason": "RESERVATION_ORPHAN: it keeps stock from being sold"},
            ),
        ],
    )
