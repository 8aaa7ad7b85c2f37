"""What must hold for the events of a balance, whose kinds are its own, before differences are explained with them."""

from __future__ import annotations

import great_expectations as gx
import great_expectations.expectations as gxe

from expectations import events


def suite() -> gx.ExpectationSuite:
    """As for events, but for the kinds: a row of a kind that its balance does not name is a reject."""
    kept = [each for each in events.suite().expectations if not isinstance(each, gxe.ExpectColumnValuesToBeInSet)]
    return gx.ExpectationSuite("postings", expectations=[each.copy() for each in kept])
