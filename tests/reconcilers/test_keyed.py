"""Raw rows as records: stated types, keys, rejects."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from reconcilers import parsing
from reconcilers.errors import ConfigError
from reconcilers.keyed import BUCKET_KEY, RecordsMapping, keyed
from reconcilers.schemas import ORIGIN


def raw(**columns):
    table = pa.table(columns)
    file = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(table), np.int32)), pa.array(["rows.csv"]))
    return table.append_column(ORIGIN[0], file).append_column(ORIGIN[1], pa.array(range(2, len(table) + 2), pa.int64()))


def mapping(columns, types, key=("sku",), **options):
    return RecordsMapping(key, {name: name for name in columns}, types, **options)


def test_values_get_their_stated_type_and_others_are_rejects():
    rows = raw(
        sku=["A", "B", "C", "D", "E", "F"],
        price=["1.50", "1.501", "x", "", None, "1e3"],
    )
    found = keyed(rows, mapping(["sku", "price"], {"price": "decimal(18,2)"}))
    assert found.rows["sku"].to_pylist() == ["A", "D", "E"]
    assert found.rows["price"].to_pylist() == [Decimal("1.50"), None, None]
    rejects = [(row["source_line"], row["column"], row["reason"]) for row in found.rejects.to_pylist()]
    assert rejects == [(line, "price", "price: not decimal(18,2)") for line in (3, 4, 7)]
    assert found.rows_read == found.rows_kept + len(found.rejects)


def test_every_type():
    found = keyed(
        raw(
            sku=["A"], whole=["9007199254740993"], day=["2026-03-01"], at=["2026-03-01T13:00:00"], on=["true"],
            near=["0,5"], plain=["0010"], money=["1.234,50"],
        ),
        mapping(
            ["sku", "whole", "day", "at", "on", "near", "plain", "money"],
            {
                "whole": "integer",
                "day": "date",
                "at": "instant",
                "on": "boolean",
                "near": "float",
                "money": "decimal(18,2)",
            },
            time=parsing.TimeFormat("Europe/Berlin"),
            number=parsing.NumberFormat(",", "."),
        ),
    )  # fmt: skip
    (row,) = found.rows.drop_columns([BUCKET_KEY, "source_file", "source_line"]).to_pylist()
    assert row == {
        "sku": "A",
        "whole": 9007199254740993,
        "day": date(2026, 3, 1),
        "at": datetime(2026, 3, 1, 12, tzinfo=UTC),
        "on": True,
        "near": 0.5,
        "plain": "0010",
        "money": Decimal("1234.50"),
    }


def test_a_row_without_a_whole_key_is_a_reject():
    found = keyed(
        raw(sku=["A", None, "", "B"], place=["x", "x", "", ""]), mapping(["sku", "place"], {}, ("sku", "place"))
    )
    assert found.rows["sku"].to_pylist() == ["A", "B"]
    assert set(found.rejects["reason"].to_pylist()) == {"no whole key"}


def test_a_key_has_one_bucket_whatever_its_type():
    exact = ([Decimal("7.00"), Decimal("12.50")], [Decimal("7"), Decimal("12.5")])
    keys = [
        keyed(raw(sku=values), mapping(["sku"], {})).rows[BUCKET_KEY].to_pylist()
        for values in (["7", "12.5"], *map(pa.array, exact))
    ]
    assert keys[0] == keys[1] == keys[2]


@pytest.mark.parametrize(
    ("types", "message"),
    [
        ({"price": "money"}, "type 'money' of 'price' is not one of text, integer"),
        ({"price": "decimal(4,9)"}, "type 'decimal"),
        ({"cost": "text"}, "'cost' is not one of the columns sku, price"),
    ],
)
def test_a_type_that_does_not_exist_is_named(types, message):
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        mapping(["sku", "price"], types)
