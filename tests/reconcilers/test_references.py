"""One canonical reference per line, out of what each system calls it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from reconcilers import profiles
from reconcilers.errors import ConfigError
from reconcilers.memory import reconcile
from reconcilers.pairs import Pair, Side
from reconcilers.references import Normaliser
from reconcilers.schemas import events_schema, stock_schema

AS_OF = datetime(2026, 11, 20, 12, tzinfo=UTC)
PLACED = datetime(2026, 11, 20, 10, tzinfo=UTC)


def verdict(ref_a, ref_b, **rules):
    """One order of 2, placed in A and shipped in B, under two names; 0 is expected if they are the same."""

    def stock(quantity):
        return pa.Table.from_pylist([{"sku": "S", "location": "w", "quantity": Decimal(quantity)}], stock_schema())

    def feed(kind, ref):
        row = {"kind": kind, "ref": ref, "sku": "S", "location": "w", "quantity": Decimal(2), "posted_at": PLACED}
        return pa.Table.from_pylist([row], events_schema())

    pair = Pair(
        name="storefront~erp",
        a=Side("storefront", profiles.load("storefront.available"), AS_OF),
        b=Side("erp", profiles.load("erp.on_hand"), AS_OF),
        now=AS_OF,
        **rules,
    )
    result = reconcile(stock(8), stock(8), pair, feed("PLACE", ref_a), feed("SHIP", ref_b))
    return result.levels.to_pylist()[0]["class"]


SAME, OTHER = "MATCHED", "BREAK"


@pytest.mark.parametrize(
    ("ref_a", "ref_b", "rules", "expected"),
    [
        ("1001", "1001", {}, SAME),
        (" 1001", "1001 ", {}, SAME),
        ("0012", "12", {}, OTHER),
        ("#1001", "WEB-1001", {}, OTHER),
        ("#1001", "WEB-1001", {"references_a": Normaliser(("#",)), "references_b": Normaliser(("WEB-",))}, SAME),
        ("w-1001", "W-1001", {"references_a": Normaliser(case="upper")}, SAME),
        ("web/1", "amazon/1", {}, OTHER),
        ("5010584895677", "SO-9", {"xref_b": pa.table({"raw": ["SO-9"], "ref": ["5010584895677"]})}, SAME),
        ("#7", "SO-9", {"references_a": Normaliser(("#",)), "xref_b": pa.table({"raw": ["SO-9"], "ref": ["7"]})}, SAME),
    ],
)
def test_what_is_the_same_line(ref_a, ref_b, rules, expected):
    assert verdict(ref_a, ref_b, **rules) == expected


def test_a_reference_for_two_orders_is_refused():
    with pytest.raises(ConfigError, match=r"the cross-reference of 'SO-9' is there 2 times"):
        verdict("1", "1", xref_b=pa.table({"raw": ["SO-9", "SO-9"], "ref": ["1", "2"]}))


def test_a_quote_in_a_prefix_is_only_a_quote():
    assert verdict("x'; drop--1", "1", references_a=Normaliser(("x'; drop--",))) == SAME
