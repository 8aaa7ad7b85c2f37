"""Raw rows to canonical records: kept whole or rejected whole."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcilers.canonical import canonicalise
from reconcilers.errors import ConfigError
from reconcilers.mapping import LineStep, Mapping
from reconcilers.schemas import Kind, events_schema, stock_schema


def raw(**columns):
    rows = len(next(iter(columns.values())))
    origin = {"source_file": ["f.csv"] * rows, "source_line": list(range(2, rows + 2))}
    return pa.table({**{name: pa.array(values, pa.string()) for name, values in columns.items()}, **origin})


STOCK = Mapping("stock", columns={"sku": "item", "location": "place", "quantity": "qty"})


def test_stock_has_the_canonical_schema_and_its_origin():
    found = canonicalise(raw(item=["A", " B "], place=["w", "w"], qty=["1", "2.5"]), STOCK)
    assert found.rows.schema.equals(stock_schema())
    assert found.rows.select(["sku", "quantity", "source_file", "source_line"]).to_pylist() == [
        {"sku": "A", "quantity": Decimal(1), "source_file": "f.csv", "source_line": 2},
        {"sku": "B", "quantity": Decimal("2.5"), "source_file": "f.csv", "source_line": 3},
    ]


@given(st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3), st.sampled_from(["1", "x", "", "1.23456"]))))
def test_no_row_vanishes(rows):
    table = raw(item=[r[0] for r in rows] or [], place=[r[1] for r in rows], qty=[r[2] for r in rows])
    found = canonicalise(table, STOCK)
    kept = found.rows["source_line"].to_pylist()
    rejected = found.rejects["source_line"].to_pylist()
    assert sorted(kept + rejected) == table["source_line"].to_pylist()
    assert found.rows_read == found.rows_kept + len(found.rejects)


def test_a_reject_says_where_why_and_what():
    found = canonicalise(raw(item=["", "A"], place=["w", "w"], qty=["1", "many"]), STOCK)
    assert len(found.rows) == 0
    assert [(r["source_line"], r["column"], r["reason"]) for r in found.rejects.to_pylist()] == [
        (2, "item", "SKU_EMPTY"),
        (3, "qty", "qty: not a number"),
    ]
    assert json.loads(found.rejects["raw"].to_pylist()[1]) == {"item": "A", "place": "w", "qty": "many"}


@pytest.mark.parametrize("sku", ["0012", "É-ü/1", "x" * 300, "a b", "<b>", "=1+1", "'; drop table"])
def test_skus_are_kept_as_they_are(sku):
    found = canonicalise(raw(item=[sku], place=["w"], qty=["1"]), STOCK)
    assert found.rows["sku"].to_pylist() == [sku]


def test_aliases_resolve_and_the_rest_stays():
    aliases = pa.table({"raw": ["OLD-1", "0012"], "sku": ["NEW", "12"]})
    mapping = Mapping("stock", columns=STOCK.columns, aliases=aliases)
    found = canonicalise(raw(item=["OLD-1", "0012", "12", "X"], place=["w"] * 4, qty=["1"] * 4), mapping)
    assert found.rows["sku"].to_pylist() == ["NEW", "12", "12", "X"]


def test_an_alias_for_two_skus_is_refused():
    with pytest.raises(ConfigError, match="'A' stands for two"):
        Mapping("stock", aliases=pa.table({"raw": ["A", "A"], "sku": ["1", "2"]}))


LINES = Mapping(
    "events",
    columns={"ref": "order", "sku": "item"},
    constants={"location": "web"},
    lines={Kind.PLACE: LineStep("ordered", "placed"), Kind.SHIP: LineStep("shipped", "shipped_at")},
)


def line(ordered="5", placed="2026-11-20T10:00:00Z", shipped="", shipped_at=""):
    return raw(
        order=["1"],
        item=["A"],
        ordered=[ordered],
        placed=[placed],
        shipped=[shipped],
        shipped_at=[shipped_at],
    )


def test_a_line_becomes_an_event_for_each_step_taken():
    found = canonicalise(line(shipped="3", shipped_at="2026-11-21T10:00:00Z"), LINES)
    assert found.rows.schema.equals(events_schema())
    assert found.rows.select(["kind", "ref", "location", "quantity", "posted_at"]).to_pylist() == [
        {
            "kind": "PLACE", "ref": "1", "location": "web", "quantity": Decimal(5),
            "posted_at": datetime(2026, 11, 20, 10, tzinfo=UTC),
        },
        {
            "kind": "SHIP", "ref": "1", "location": "web", "quantity": Decimal(3),
            "posted_at": datetime(2026, 11, 21, 10, tzinfo=UTC),
        },
    ]  # fmt: skip
    assert (found.rows_read, found.rows_kept) == (1, 1)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"shipped": "3"}, "shipped_at: a quantity without its instant"),
        ({"shipped": "-3", "shipped_at": "2026-11-21"}, "shipped: below zero"),
        ({"ordered": "x"}, "ordered: not a number"),
        ({"placed": "soon"}, "placed: not an instant"),
    ],
)
def test_a_wrong_step_rejects_the_whole_line(columns, reason):
    found = canonicalise(line(**columns), LINES)
    assert len(found.rows) == 0
    assert found.rejects["reason"].to_pylist() == [reason]


def test_a_line_on_which_nothing_happened_is_kept_without_events():
    found = canonicalise(line(ordered="0", placed=""), LINES)
    assert (found.rows_kept, len(found.rows), len(found.rejects)) == (1, 0, 0)


EVENTS = Mapping("events", columns={"posted_at": "at"}, kinds={"sale": Kind.POS_SALE})


def event(kind="sale", quantity="1"):
    columns = {
        "ref": ["1"],
        "sku": ["A"],
        "location": ["s"],
        "quantity": [quantity],
        "at": ["2026-11-20T10:00Z"],
    }
    return canonicalise(raw(kind=[kind], **columns), EVENTS)


def test_event_rows_with_their_own_words():
    assert event().rows["kind"].to_pylist() == ["POS_SALE"]
    assert event("ADJUST", "-4").rows["quantity"].to_pylist() == [-4]
    assert event("refund").rejects["reason"].to_pylist() == ["kind: an unknown kind of event"]
    assert event("sale", "-4").rejects["reason"].to_pylist() == ["quantity: below zero"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"dataset": "stock", "columns": {"skuu": "x"}}, "did you mean 'sku'"),
        ({"dataset": "stock", "timezone": "Europe/Berlim"}, "does not exist"),
        ({"dataset": "stock", "columns": {"sku": "x"}, "constants": {"sku": "y"}}, "a column and a constant"),
        ({"dataset": "stock", "kinds": {"sale": Kind.POS_SALE}}, "not to stock"),
        ({"dataset": "orders"}, "not stock or events"),
        ({"dataset": "stock", "ambiguous_time": "guess"}, "ambiguous_time"),
    ],
)
def test_a_mapping_checks_itself(arguments, words):
    with pytest.raises(ConfigError, match=words):
        Mapping(**arguments)


def test_a_missing_column_is_named_with_what_there_is():
    with pytest.raises(ConfigError, match=r"no column 'qty'.*did you mean 'Qty'.*item, place, Qty"):
        canonicalise(raw(item=["A"], place=["w"], Qty=["1"]), STOCK)


def test_ordered_fallbacks_and_a_location_of_several_columns():
    mapping = Mapping("stock", columns={"sku": ("sku", "variant"), "location": ("whse", "lot"), "quantity": "qty"})
    found = canonicalise(
        raw(sku=["A", " ", ""], variant=["1", "2", ""], whse=["BER"] * 3, lot=["L1", "", "L2"], qty=["1"] * 3), mapping
    )
    assert found.rows.select(["sku", "location"]).to_pylist() == [
        {"sku": "A", "location": "BER/L1"},
        {"sku": "2", "location": "BER"},
    ]
    assert found.rejects["column"].to_pylist() == ["sku or variant"]


def test_only_names_may_have_fallbacks():
    with pytest.raises(ConfigError, match="'quantity' is one column"):
        Mapping("stock", columns={"quantity": ("a", "b")})


def test_the_same_number_on_two_channels_stays_apart():
    mapping = Mapping("events", columns={"posted_at": "at", "channel": "shop"})
    columns = {"kind": ["SHIP"] * 3, "sku": ["A"] * 3, "location": ["s"] * 3, "quantity": ["1"] * 3}
    found = canonicalise(
        raw(**columns, ref=["7", "7", "7"], shop=["web", "amazon", ""], at=["2026-11-20T10:00Z"] * 3), mapping
    )
    assert found.rows["ref"].to_pylist() == ["web/7", "amazon/7", "7"]


def test_a_business_day_may_end_on_the_next_calendar_day():
    """The night of the clock change: 25 October ends at 04:00 winter time, which is 03:00 UTC."""
    mapping = Mapping("events", columns={"posted_at": "day"}, timezone="Europe/Berlin", end_of_day=timedelta(hours=28))
    columns = {
        "kind": ["POS_SALE"] * 3,
        "ref": ["1"] * 3,
        "sku": ["A"] * 3,
        "location": ["s"] * 3,
        "quantity": ["1"] * 3,
    }
    found = canonicalise(raw(**columns, day=["2026-10-24", "2026-07-01", "2026-07-01 09:00"]), mapping)
    assert found.rows["posted_at"].to_pylist() == [
        datetime(2026, 10, 25, 3, tzinfo=UTC),
        datetime(2026, 7, 2, 2, tzinfo=UTC),
        datetime(2026, 7, 1, 7, tzinfo=UTC),
    ]


def test_a_count_is_a_delta_at_its_own_time():
    mapping = Mapping("events", columns={"posted_at": "at", "document_quantity": "book"})
    columns = {"kind": ["COUNT"] * 2, "ref": ["1", "2"], "sku": ["A"] * 2, "location": ["s"] * 2}
    found = canonicalise(raw(**columns, quantity=["7", "9"], book=["10", ""], at=["2026-11-20T10:00Z"] * 2), mapping)
    assert found.rows.select(["kind", "quantity", "document_quantity"]).to_pylist() == [
        {"kind": "ADJUST", "quantity": -3, "document_quantity": None},
        {"kind": "COUNT", "quantity": 9, "document_quantity": None},
    ]
