"""What must hold for the figure of a balance, such as loyalty points, before anything is concluded from it."""

from __future__ import annotations

import great_expectations as gx
import great_expectations.expectations as gxe

from expectations import stock
from expectations.domain import ExpectColumnDriftToBeBetween
from expectations.facts import ExpectRowsToTrailingMedianToBeBetween

#: What is said of stock in other words.
_WORDS = {
    "no SKU is twice at one location": ("no key is there twice", "which of the two numbers is the balance?"),
    "no stock is below zero": ("no balance is below zero", "more was taken than there was"),
    "the snapshot is not empty": ("the snapshot is not empty", "an empty export would say that nobody has anything"),
    "at least half as many rows as last time": (
        "at least half as many rows as last time",
        "SNAPSHOT_TRUNCATED: customers do not halve overnight",
    ),
    "not older than a week": ("not older than a week", "SNAPSHOT_STALE: nothing could be concluded from it"),
}

#: What is true of stock, and not of a figure whose holders and amounts may change as they like.
_NOT_MEANT = (ExpectColumnDriftToBeBetween, ExpectRowsToTrailingMedianToBeBetween)


def suite() -> gx.ExpectationSuite:
    """Keys present and unique, fresh, not truncated: as for stock, but for the sizes of quantities."""
    kept = [each for each in stock.suite().expectations if not isinstance(each, _NOT_MEANT) and not _is_ceiling(each)]
    return gx.ExpectationSuite("balance", expectations=[_in_other_words(each) for each in kept])


def _is_ceiling(each: gxe.Expectation) -> bool:
    return isinstance(each, gxe.ExpectColumnValuesToBeBetween) and each.max_value is not None


def _in_other_words(each: gxe.Expectation) -> gxe.Expectation:
    description, reason = _WORDS.get(each.description, (each.description, each.meta["reason"]))
    return each.copy(update={"description": description, "meta": {"reason": reason}})
