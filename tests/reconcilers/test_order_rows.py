"""Order lines of a source become canonical: references, SKUs, states, amounts and instants."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from reconcilers.errors import ConfigError
from reconcilers.keyed import keyed
from reconcilers.order_rows import OrdersMapping
from reconcilers.parsing import NumberFormat, TimeFormat
from reconcilers.references import Normaliser

GERMAN = {
    "number": NumberFormat(",", "."),
    "time": TimeFormat("Europe/Berlin", "%d.%m.%Y %H:%M"),
}


def made(raw: dict[str, list], columns: dict, **more):
    """The kept rows of a source, and the reasons of the rejected ones."""
    rows = len(next(iter(raw.values())))
    origin = {
        "source_file": pa.array(["x.csv"] * rows).dictionary_encode(),
        "source_line": pa.array(range(rows), pa.int64()),
    }
    table = pa.table({**{name: pa.array(values, pa.string()) for name, values in raw.items()}, **origin})
    canonical = keyed(table, OrdersMapping.of(columns, **more))
    assert len(canonical.rows) + len(canonical.rejects) == rows
    return canonical.rows, canonical.rejects["reason"].to_pylist()


def test_references_are_normalised_and_a_cross_reference_wins():
    xref = pa.table({"raw": ["LEGACY-9", "#7"], "ref": ["9", "seven"]})
    rows, rejected = made(
        {"no": [" #0012 ", "LEGACY-9", "#7", "", "#"]},
        {"ref": "no"},
        references=Normaliser(("#",)),
        xref=xref,
    )
    assert rows["ref"].to_pylist() == ["0012", "9", "seven"]
    assert rows["__bucket_key"].to_pylist() == ["0012", "9", "seven"]
    assert rejected == ["no whole key"] * 2


def test_the_same_number_of_two_channels_is_two_orders():
    rows, _ = made({"no": ["#7", "#7", "#8"], "shop": ["de", "at", ""]}, {"ref": "no", "channel": "shop"},
                   references=Normaliser(("#",)))  # fmt: skip
    assert rows["ref"].to_pylist() == ["de/7", "at/7", "8"]


def test_articles_states_and_the_first_column_that_is_not_blank():
    rows, _ = made(
        {
            "no": ["1", "2", "3"],
            "art": ["A-1", "", "B-2"],
            "variant": ["x", "A-1", "y"],
            "state": ["geliefert", "", "klär"],
        },
        {"ref": "no", "sku": ["art", "variant"], "status": "state"},
        skus=pa.table({"raw": ["A-1"], "sku": ["TEA"]}),
        statuses={"geliefert": "shipped", "": "open"},
    )  # fmt: skip
    assert rows["sku"].to_pylist() == ["TEA", "TEA", "B-2"]
    assert rows["status"].to_pylist() == ["shipped", "open", "klär"]


def test_amounts_are_exact_and_instants_are_utc():
    rows, rejected = made(
        {"no": ["1", "2", "3", "4"], "p": ["1.824,50", "", "zwölf", "0,00001"], "at": ["01.07.2026 12:00", "", "", ""]},
        {"ref": "no", "price": "p", "placed_at": "at"},
        **GERMAN,
    )
    assert rows["price"].to_pylist() == [Decimal("1824.5000"), None]
    assert rows["placed_at"].to_pylist() == [datetime(2026, 7, 1, 10, tzinfo=UTC), None]
    assert rejected == ["price: not decimal(18,4)"] * 2


@pytest.mark.parametrize(
    ("columns", "more", "message"),
    [
        ({"sku": "art"}, {}, "columns name no 'ref'"),
        ({"ref": "no"}, {"statuses": {"x": "lost"}}, "'lost', which is not one of open"),
        ({"ref": "no", "price": "p"}, {"types": {"price": "float"}}, "'price' has a type of its own"),
        ({"ref": "no", "gift": "g"}, {"types": {"gift": "money"}}, "type 'money'"),
    ],
)
def test_mistakes_are_told(columns, more, message):
    with pytest.raises(ConfigError, match=message):
        OrdersMapping.of(columns, **more)
