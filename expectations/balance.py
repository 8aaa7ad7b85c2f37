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
    kept = []
    for each in stock.suite().expectations:
        unlimited = isinstance(each, gxe.ExpectColumnValuesToBeBetween) and each.max_value is not None
        if unlimited or isinstance(each, _NOT_MEANT):
            continue
        if each.description in _WORDS:
            description, reason = _WORDS[each.description]
            each = each.copy(update={"description": description, "meta": {"reason": reason}})  # noqa: PLW2901
        kept.append(each)
    return gx.ExpectationSuite("balance", expectations=kept)
