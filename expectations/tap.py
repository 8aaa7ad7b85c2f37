"""What must hold for what a tap gave: that of events, but for its amount. A quiet night brings none."""

from __future__ import annotations

import great_expectations as gx
import great_expectations.expectations as gxe

from expectations import events


def suite() -> gx.ExpectationSuite:
    """Every event as in `events`; what is not new is in the snapshots before, so there may be none."""
    kept = [each for each in events.suite().expectations if not isinstance(each, gxe.ExpectTableRowCountToBeBetween)]
    return gx.ExpectationSuite("tap", expectations=[each.copy() for each in kept])
