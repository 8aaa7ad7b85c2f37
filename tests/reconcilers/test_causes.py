"""What a break probably is: candidates in order, with their evidence (DOMAIN 2.3)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa

from reconcilers import profiles
from reconcilers.memory import reconcile
from reconcilers.pairs import Pair, Side
from reconcilers.schemas import events_schema, goods_schema, packs_schema, stock_schema
from reconcilers.shares import Shares

AS_OF = datetime(2026, 11, 20, 12, tzinfo=UTC)


def stock(**numbers):
    rows = [
        {"sku": key.split("_")[0], "location": ([*key.split("_"), "w"])[1], "quantity": Decimal(q)}
        for key, q in numbers.items()
    ]
    return pa.Table.from_pylist(rows, stock_schema())


def orders(*rows):
    return pa.Table.from_pylist(
        [
            {
                "kind": "PLACE", "ref": ref, "sku": sku, "location": "w", "quantity": Decimal(quantity),
                "posted_at": AS_OF - timedelta(hours=1),
            }
            for ref, sku, quantity in rows
        ],
        events_schema(),
    )  # fmt: skip


def shipments(*rows):
    return orders(*rows).set_column(1, "kind", pa.array(["SHIP"] * len(rows)))


def run(stock_a, stock_b, events_a=None, events_b=None, **rules):
    pair = Pair(
        name="storefront~erp",
        a=Side("storefront", profiles.load("storefront.available"), AS_OF),
        b=Side("erp", profiles.load("erp.on_hand"), AS_OF),
        now=AS_OF,
        **rules,
    )
    return reconcile(stock_a, stock_b, pair, events_a, events_b)


def causes(*arguments, key=("S", "w"), **rules):
    for row in run(*arguments, **rules).breaks.to_pylist():
        if (row["sku"], row["location"]) == key:
            return [(c["reason"], Decimal(c["quantity"]), c["evidence"]) for c in json.loads(row["causes"])]
    return None


def test_overwritten_with_the_authoritys_number():
    """50 on hand, 3 on order: the storefront should show 47, and shows 50."""
    found = causes(stock(S=50), stock(S=50), orders(("1", "S", 3)))
    assert found == [("PUBLISH_OVERWRITE", 3, "target equals authority, open orders left out")]


def test_the_number_leaves_out_one_of_two_open_orders():
    found = causes(stock(S=47), stock(S=50), orders(("1", "S", 3), ("2", "S", 5)))
    assert found == [("PUBLISH_OVERWRITE", 5, "the number leaves out 2")]


def test_two_of_three_open_orders():
    found = causes(stock(S=49), stock(S=50), orders(("1", "S", 1), ("2", "S", 5), ("3", "S", 7)))
    assert found == [("PUBLISH_OVERWRITE", 12, "the number leaves out 2 and 3")]


def test_an_ambiguous_set_is_no_cause():
    """Both orders are of 3: which one is left out, nobody can say."""
    assert causes(stock(S=47), stock(S=50), orders(("1", "S", 3), ("2", "S", 3))) == []


def test_booked_at_the_other_warehouse():
    numbers = stock(S_ber=14, S_ham=6), stock(S_ber=10, S_ham=10)
    assert causes(*numbers, key=("S", "ber")) == [("NODE_MAPPING", 4, "the opposite at ham")]
    assert causes(*numbers, key=("S", "ham")) == [("NODE_MAPPING", -4, "the opposite at ber")]


def test_two_opposites_are_no_cause():
    numbers = stock(S_ber=14, S_ham=6, S_muc=6), stock(S_ber=10, S_ham=10, S_muc=10)
    assert causes(*numbers, key=("S", "ber")) == []


def test_one_side_counts_packs():
    packs = pa.table({"sku": ["S", "T"], "factor": [12, 6]}, schema=packs_schema())
    assert causes(stock(S=24), stock(S=2), packs=packs) == [("UOM_MISMATCH", 22, "one side counts packs of 12")]
    assert causes(stock(S=3), stock(S=36), packs=packs) == [("UOM_MISMATCH", -33, "one side counts packs of 12")]
    assert causes(stock(S=25), stock(S=2), packs=packs) == []


def test_without_a_candidate_there_is_none():
    assert causes(stock(S=8), stock(S=5)) == []


def levels(*arguments, **rules):
    return {row["sku"]: row for row in run(*arguments, **rules).levels.to_pylist()}


def test_rules_of_single_goods():
    goods = pa.Table.from_pylist(
        [
            {
                "sku": "S",
                "tolerance_absolute": Decimal(2),
                "tolerance_relative": Decimal(0),
                "safety_stock": Decimal(5),
            },
            {"sku": "T", "safety_stock": Decimal(1)},
        ],
        goods_schema(),
    )
    found = levels(stock(S=12, T=12, U=12), stock(S=10, T=10, U=10), goods=goods, safety_stock=Decimal(3))
    assert {sku: row["class"] for sku, row in found.items()} == {"S": "MATCHED", "T": "BREAK", "U": "BREAK"}
    assert {sku: row["atp"] for sku, row in found.items()} == {"S": 5, "T": 9, "U": 7}


def test_channels_share_what_can_be_promised():
    shares = Shares({"storefront": 70, "amazon": 30}, {"storefront": 20})
    found = levels(stock(S=5, T=99), stock(S=11, T=40), shares=shares)
    assert (found["S"]["atp"], found["S"]["publish"]) == (11, 8)  # 7.7 and 3.3: the larger remainder gets the last one
    assert (found["T"]["atp"], found["T"]["publish"]) == (40, 20)


def test_the_same_order_under_another_reference_is_only_suggested():
    """Placed as W-77, shipped as W77 at the same instant: the numbers agree, the references do not."""
    arguments = stock(S=48), stock(S=48), orders(("W-77", "S", 2)), shipments(("W77", "S", 2))
    (row,) = run(*arguments).levels.to_pylist()
    assert (row["expected_diff"], row["unexplained"], row["class"]) == (-2, 2, "BREAK")
    suggested = [evidence for reason, _, evidence in causes(*arguments) if "may be" in evidence]
    assert len(suggested) == 1
    assert suggested[0].startswith("W-77 may be W77 (score 0.9")
