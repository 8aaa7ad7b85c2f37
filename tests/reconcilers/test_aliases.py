"""Which SKUs may be one article."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa

from reconcilers.aliases import suggest_aliases
from reconcilers.schemas import breaks_schema


def missing(a, b, others=()):
    """Keys that only A or only B has, as (sku, location, quantity)."""
    rows = [
        {"sku": sku, "location": place, "class": name, column: Decimal(quantity)}
        for side, name, column in ((a, "MISSING_IN_B", "quantity_a"), (b, "MISSING_IN_A", "quantity_b"))
        for sku, place, quantity in side
    ]
    rows += [{"sku": sku, "location": "w", "class": "BREAK"} for sku in others]
    return pa.Table.from_pylist(rows, breaks_schema())


def suggested(*arguments):
    return [(alias.sku_a, alias.sku_b, alias.units) for alias in suggest_aliases(missing(*arguments))]


def test_mirrored_quantities():
    assert suggested([("0012", "w", 17)], [("12", "w", 17)], ["X"]) == [("0012", "12", 17)]


def test_every_location_has_to_mirror():
    a = [("OLD", "w", 17), ("OLD", "v", 3)]
    assert suggested(a, [("NEW", "w", 17)]) == []
    assert suggested(a, [("NEW", "w", 17), ("NEW", "v", 3)]) == [("OLD", "NEW", 20)]


def test_a_number_that_several_show_proves_nothing():
    assert suggested([("MUG", "w", 5)], [("PEN", "w", 5), ("CAP", "w", 5)]) == []


def test_unless_the_names_are_all_but_the_same():
    assert suggested([("MUG-RED", "w", 5)], [("MUG_RED", "w", 5), ("CAP", "w", 5)]) == [("MUG-RED", "MUG_RED", 5)]


def test_nothing_is_no_evidence():
    assert suggested([("A", "w", 0)], [("B", "w", 0)]) == []
