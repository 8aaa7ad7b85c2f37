"""Causes whose two halves are different SKUs: worked by hand, with what must not be told."""

from __future__ import annotations

import json
from decimal import Decimal

import pyarrow as pa
import pytest

from reconcilers.across import causes_across, with_causes
from reconcilers.aliases import suggest_aliases
from reconcilers.kits import COLUMNS, Kits
from reconcilers.schemas import breaks_schema, in_flight_schema


def breaks(*rows):
    """Rows of (sku, location, class, quantity_a, quantity_b, unexplained), of which the last may be left out."""
    columns = ("sku", "location", "class", "quantity_a", "quantity_b", "unexplained")
    return pa.Table.from_pylist(
        [
            {
                "causes": "[]",
                **{n: Decimal(v) if isinstance(v, int) else v for n, v in zip(columns, row, strict=False)},
            }
            for row in rows
        ],
        schema=breaks_schema(),
    )


def overdue(*rows):
    return pa.Table.from_pylist(
        [{"sku": sku, "location": "w", "class": "LATE", "quantity": Decimal(quantity)} for sku, quantity in rows],
        schema=in_flight_schema(),
    )


def told(table, documents=None, kits=None):
    aliases = suggest_aliases(table)
    found = causes_across(table, overdue() if documents is None else documents, aliases, kits)
    return {
        row["sku"] if row["location"] == "w" else (row["sku"], row["location"]): (
            c["reason"],
            c["quantity"],
            c["evidence"],
        )
        for row in with_causes(table, found).to_pylist()
        for c in json.loads(row["causes"])
    }


def only_target(sku, quantity, place="w"):
    return (sku, place, "MISSING_IN_B", quantity, None)


def only_authority(sku, quantity, place="w"):
    return (sku, place, "MISSING_IN_A", None, quantity)


def test_one_article_that_each_side_spells_its_own_way():
    assert told(breaks(only_target("Mug-0012", 17), only_authority("MUG_0012", 17))) == {
        "Mug-0012": ("SKU_ALIAS", "17.0000", "the same numbers as MUG_0012 in the authority"),
        "MUG_0012": ("SKU_ALIAS", "-17.0000", "the same numbers as Mug-0012 in the target"),
    }


def test_two_names_of_the_same_numbers_in_three_places():
    places = {"w": 17, "x": 3, "y": 4}
    old = [only_target("OLD", q, place) for place, q in places.items()]
    new = [only_authority("NEW", q, place) for place, q in places.items()]
    found = told(breaks(*old, *new))
    assert {cause[0] for cause in found.values()} == {"SKU_ALIAS"}
    assert {key: Decimal(cause[1]) for key, cause in found.items()} == {
        "OLD": 17, ("OLD", "x"): 3, ("OLD", "y"): 4, "NEW": -17, ("NEW", "x"): -3, ("NEW", "y"): -4,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([only_target("OLD", 17), only_authority("NEW", 17)], "one number may be the same by chance"),
        ([only_target("SHOE-41", 3), only_authority("SHOE-42", 3)], "sizes are alike, and no aliases"),
        ([only_target("M-1", 5), only_authority("M1", 5), only_authority("m.1", 5)], "two come into question"),
        ([only_target("M-1", 5), only_authority("M1", 6)], "the numbers are not the same"),
        ([only_target("--", 5), only_authority("__", 5)], "nothing is left of the names"),
    ],
)
def test_articles_that_are_no_aliases(rows, why):
    assert told(breaks(*rows)) == {}, why


SET = [("SET", "CUP", "4"), ("SET", "PLATE", "2")]


def kits(*rows):
    return Kits.from_table(pa.table({name: [row[i] for row in rows] for i, name in enumerate(COLUMNS)}))


def late(sku, a, b):
    return (sku, "w", "LATE", a, b, 0)


def broken(sku, a, b, unexplained):
    return (sku, "w", "BREAK", a, b, unexplained)


PARTS = {
    "CUP": ("BUNDLE_NOT_EXPLODED", "-4.0000", "4 in each SET, which is off the other way"),
    "PLATE": ("BUNDLE_NOT_EXPLODED", "-2.0000", "2 in each SET, which is off the other way"),
}
WHOLE = ("BUNDLE_NOT_EXPLODED", "1.0000", "its parts are off the other way: 4 CUP, 2 PLATE")


def test_the_authority_takes_a_set_off_where_it_has_only_parts():
    """The shop sold one set, 4 cups and 2 plates; the ERP let one SET go, of which it has none: -1."""
    table = breaks(late("CUP", 96, 100), late("PLATE", 48, 50), only_authority("SET", -1))
    assert told(table, overdue(("CUP", -4), ("PLATE", -2)), kits(*SET)) == {"SET": WHOLE, **PARTS}


def test_the_shop_takes_parts_off_and_the_authority_the_set():
    """No order is left open: 96 cups against 100, 48 plates against 50, and 10 sets against 9."""
    table = breaks(broken("CUP", 96, 100, -4), broken("PLATE", 48, 50, -2), broken("SET", 10, 9, 1))
    assert told(table, kits=kits(*SET)) == {"SET": WHOLE, **PARTS}


def test_three_sets():
    table = breaks(broken("CUP", 112, 100, 12), broken("PLATE", 56, 50, 6), broken("SET", 6, 9, -3))
    assert [cause[1] for _, cause in sorted(told(table, kits=kits(*SET)).items())] == ["12.0000", "6.0000", "-3.0000"]


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([broken("CUP", 96, 100, -4), broken("SET", 10, 9, 1)], "no plate is gone"),
        ([broken("CUP", 96, 100, -4), broken("PLATE", 49, 50, -1), broken("SET", 10, 9, 1)], "a plate too few is gone"),
        ([broken("CUP", 96, 100, -4), broken("PLATE", 48, 50, -2), broken("SET", 8, 9, -1)], "the set is gone as well"),
        ([broken("CUP", 96, 100, -4), broken("PLATE", 48, 50, -2)], "the set itself agrees"),
        (
            [
                broken("CUP", 96, 100, -4),
                ("PLATE", "x", "BREAK", Decimal(48), Decimal(50), Decimal(-2)),
                broken("SET", 10, 9, 1),
            ],
            "the plates are in another place",
        ),
    ],
)
def test_parts_that_no_set_explains(rows, why):
    assert told(breaks(*rows), kits=kits(*SET)) == {}, why


def test_two_sets_of_the_same_parts_are_ambiguous():
    table = breaks(
        broken("CUP", 96, 100, -4), broken("PLATE", 48, 50, -2), broken("SET", 10, 9, 1), broken("GIFT", 10, 9, 1)
    )
    assert told(table, kits=kits(*SET, ("GIFT", "CUP", "4"), ("GIFT", "PLATE", "2"))) == {}


def test_one_part_of_one_unit_is_only_another_name():
    table = breaks(broken("CUP", 9, 10, -1), broken("ONE", 10, 9, 1))
    assert told(table, kits=kits(("ONE", "CUP", "1"))) == {}
    assert len(told(breaks(broken("CUP", 4, 10, -6), broken("SIX", 10, 9, 1)), kits=kits(("SIX", "CUP", "6")))) == 2


def test_causes_are_added_once_and_before_the_others():
    table = breaks(broken("CUP", 96, 100, -4), broken("PLATE", 48, 50, -2), broken("SET", 10, 9, 1))
    known = '[{"reason":"NODE_MAPPING","quantity":"-4.0000","evidence":"the opposite at x"}]'
    place = table.column_names.index("causes")
    table = table.set_column(place, table.schema.field(place), [[known, "[]", "[]"]])
    found = causes_across(table, overdue(), kits=kits(*SET))
    once = with_causes(table, found)
    rows = {row["sku"]: [c["reason"] for c in json.loads(row["causes"])] for row in once.to_pylist()}
    assert rows["CUP"] == ["BUNDLE_NOT_EXPLODED", "NODE_MAPPING"]
    again = with_causes(once, found)
    assert sorted(again.to_pylist(), key=str) == sorted(once.to_pylist(), key=str)
