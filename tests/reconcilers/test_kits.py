"""Kits are taken apart down to what is on the shelf."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcilers.errors import ConfigError
from reconcilers.kits import COLUMNS, Kits
from reconcilers.schemas import events_schema, levels_schema, stock_schema


def kits(*rows):
    return Kits.from_table(pa.table({name: [row[i] for row in rows] for i, name in enumerate(COLUMNS)}))


def events(*rows):
    return pa.Table.from_pylist(
        [
            {
                "kind": "PLACE", "ref": str(n), "sku": sku, "location": "w", "quantity": Decimal(q),
                "posted_at": 0, "source_file": "f", "source_line": n,
            }
            for n, (sku, q) in enumerate(rows)
        ],
        schema=events_schema(),
    )  # fmt: skip


def sold(table):
    return sorted((row["ref"], row["sku"], row["quantity"]) for row in table.to_pylist())


def test_an_order_for_a_kit_is_one_for_its_parts():
    table = kits(("SET", "CUP", "4"), ("SET", "PLATE", "2")).explode(events(("CUP", "1"), ("SET", "1.5"), ("X", "7")))
    assert table.schema.equals(events_schema())
    assert sold(table) == [("0", "CUP", 1), ("1", "CUP", 6), ("1", "PLATE", 3), ("2", "X", 7)]


def test_kits_of_kits():
    nested = kits(("BOX", "SET", "2"), ("BOX", "CUP", "1"), ("SET", "CUP", "4"))
    assert nested.parts == {"BOX": {"CUP": 9}, "SET": {"CUP": 4}}


@given(st.lists(st.tuples(st.sampled_from(["A", "B", "K1", "K2"]), st.integers(0, 99)), max_size=30))
def test_no_unit_is_lost(rows):
    table = kits(("K1", "A", "2"), ("K1", "B", "3"), ("K2", "K1", "1"), ("K2", "A", "5")).explode(events(*rows))
    expected = {"A": 0, "B": 0}
    for sku, quantity in rows:
        for part, count in {"A": {"A": 1}, "B": {"B": 1}, "K1": {"A": 2, "B": 3}, "K2": {"A": 7, "B": 3}}[sku].items():
            expected[part] += count * quantity
    found = {"A": Decimal(0), "B": Decimal(0)}
    for row in table.to_pylist():
        found[row["sku"]] += row["quantity"]
    assert found == expected


def test_without_a_kit_among_them_rows_stay_as_they_are():
    rows = events(("A", "1"))
    assert kits(("SET", "CUP", "4")).explode(rows) is rows


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("A", "B", "1"), ("B", "A", "1")], "A contains B contains A"),
        ([("A", "A", "1")], "A contains A"),
        ([("A", "B", "0")], "'0' of 'B'"),
        ([("A", "B", "x")], "'x' of 'B'"),
        ([("A", "B", "1"), ("A", "B", "2")], "the part 'B' twice"),
    ],
)
def test_kits_that_make_no_sense(rows, words):
    with pytest.raises(ConfigError, match=words):
        kits(*rows)


def parts(*rows):
    """Levels of parts: (sku, location, what the authority has, what the target is expected to differ by)."""
    columns = {name: pa.nulls(len(rows), levels_schema().field(name).type) for name in levels_schema().names}
    for place, name in enumerate(("sku", "location", "quantity_b", "expected_diff")):
        columns[name] = pa.array([row[place] for row in rows]).cast(levels_schema().field(name).type)
    return pa.table(columns, schema=levels_schema())


def made(table):
    return [(row["sku"], row["location"], row["quantity"]) for row in table.to_pylist()]


def test_a_kit_is_as_many_as_its_scarcest_part_makes():
    """4 cups and 2 plates a set: 22 cups of which 2 are on order make 5, 9 plates make 4."""
    sets = kits(("SET", "CUP", "4"), ("SET", "PLATE", "2"))
    found = sets.assemble(parts(("CUP", "w", Decimal(22), Decimal(-2)), ("PLATE", "w", Decimal(9), Decimal(0))))
    assert made(found) == [("SET", "w", Decimal(4))]
    assert found.schema.equals(stock_schema())


def test_a_kit_is_made_where_all_its_parts_are_and_never_below_zero():
    sets = kits(("SET", "CUP", "1"), ("SET", "PLATE", "1"))
    rows = [
        ("CUP", "w", Decimal(3), Decimal(-5)),
        ("PLATE", "w", Decimal(9), Decimal(0)),
        ("CUP", "x", Decimal(8), Decimal(0)),
    ]
    assert made(sets.assemble(parts(*rows))) == [("SET", "w", Decimal(0))]


def test_the_parts_of_all_kits_are_known():
    sets = kits(("SET", "CUP", "1"), ("BOX", "SET", "2"), ("BOX", "CARD", "1"))
    assert sets.components().to_pylist() == ["CARD", "CUP"]
