"""What a break probably is: candidates in order, with their evidence (DOMAIN 2.3)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest

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


def orders(*rows, after=-1):
    """Orders (ref, sku, quantity), placed so many hours after the numbers were read."""
    return pa.Table.from_pylist(
        [
            {
                "kind": "PLACE", "ref": ref, "sku": sku, "location": "w", "quantity": Decimal(quantity),
                "posted_at": AS_OF + timedelta(hours=after),
            }
            for ref, sku, quantity in rows
        ],
        events_schema(),
    )  # fmt: skip


def shipments(*rows, **when):
    return orders(*rows, **when).set_column(1, "kind", pa.array(["SHIP"] * len(rows)))


def run(stock_a, stock_b, events_a=None, events_b=None, profile_a="storefront.available", now=AS_OF, **rules):
    pair = Pair(
        name="storefront~erp",
        a=Side("storefront", profiles.load(profile_a), AS_OF),
        b=Side("erp", profiles.load("erp.on_hand"), AS_OF),
        now=now,
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


def told(reason, *arguments, **rules):
    """The quantity at each SKU that has the cause, and the evidence, which is the same at all."""
    found = {
        row["sku"]: cause
        for row in run(*arguments, **rules).breaks.to_pylist()
        for cause in json.loads(row["causes"])
        if cause["reason"] == reason
    }
    return {sku: Decimal(cause["quantity"]) for sku, cause in found.items()}, {c["evidence"] for c in found.values()}


NOTHING: tuple[dict, set] = ({}, set())


def rounding(stock_a, stock_b, profile="magento.salable"):
    return told("ROUNDING", stock_a, stock_b, profile_a=profile)


def test_fractions_that_one_side_has_not():
    """Cloth by the metre: one side shows whole metres, up or down, and no profile says so."""
    cut, whole = stock(S="5.3", T="7.8", U="2.5", V=4), stock(S=5, T=8, U=2, V=4)
    less, more, half = Decimal("-0.3"), Decimal("0.2"), Decimal("-0.5")
    assert rounding(whole, cut) == ({"S": less, "T": more, "U": half}, {"the target has whole units only"})
    assert rounding(cut, whole) == ({"S": -less, "T": -more, "U": -half}, {"the authority has whole units only"})


@pytest.mark.parametrize(
    ("stock_a", "stock_b", "why"),
    [
        (stock(S=5, T=8, U=2, V="4.5"), stock(S="5.3", T="7.8", U="2.5", V="4.5"), "V has a fraction on both sides"),
        (stock(S=5, T=8), stock(S="5.3", T="7.8"), "two numbers are whole by chance"),
        (stock(S=5, T=8, U=2), stock(S="6.3", T="9.8", U="3.5"), "more than a unit is gone"),
        (stock(S=5, T=8, U=2), stock(S="5.3", T="7.8", U=3), "U is whole on both sides"),
    ],
)
def test_fractions_that_are_not_rounded_away(stock_a, stock_b, why):
    assert rounding(stock_a, stock_b) == NOTHING, why


def test_a_profile_that_says_whole_units_has_nothing_to_explain():
    whole, cut = stock(S=5, T=7, U=2), stock(S="5.3", T="7.8", U="2.5")
    assert run(whole, cut, profile_a="storefront.available").breaks.num_rows == 0


OPEN = orders(("1", "S", 3), ("2", "T", 1), ("3", "U", 4), ("4", "U", 1))
ON_HAND = {"S": 50, "T": 20, "U": 9}
LEFT = {"S": 47, "T": 19, "U": 4}
OPEN_UNITS = {"S": 3, "T": 1, "U": 5}


def basis(numbers_a, numbers_b, *more, **profiles):
    return told("BASIS_MISMATCH", stock(**numbers_a), stock(**numbers_b), pa.concat_tables([OPEN, *more]), **profiles)


def test_the_target_shows_goods_on_hand_and_is_configured_as_available():
    """No number has gone down by the orders: at S by 3, at T by 1, at U by 5. V has no order."""
    found = basis({**ON_HAND, "V": 7}, {**ON_HAND, "V": 7})
    assert found == (OPEN_UNITS, {"the target moves as erp.on_hand does, at 3 keys"})


def test_the_target_takes_orders_off_and_is_configured_as_on_hand():
    units, evidence = basis({**LEFT, "V": 7}, {**ON_HAND, "V": 7}, profile_a="storefront.on_hand")
    assert units == {sku: -quantity for sku, quantity in OPEN_UNITS.items()}
    assert evidence == {"the target moves as erp.available does, at 3 keys"}


def test_the_authority_takes_orders_off_and_is_configured_as_on_hand():
    """Imported and not shipped: the ERP shows what can be promised, the storefront what is on the shelf."""
    found = told("BASIS_MISMATCH", stock(**ON_HAND), stock(**LEFT), events_b=OPEN, profile_a="storefront.on_hand")
    assert found == (OPEN_UNITS, {"the authority moves as erp.available does, at 3 keys"})


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        (8, "the orders of W are in its number"),
        (9, "what is left at W is not what is ordered"),
        (6, "what is left at W is what is ordered, the other way round"),
    ],
)
def test_one_number_that_reacts_otherwise_is_of_another_kind(shown, why):
    assert basis({**ON_HAND, "W": shown}, {**ON_HAND, "W": 10}, orders(("5", "W", 2))) == NOTHING, why


def test_one_that_agrees_is_of_another_kind_though_no_number_reacts_to_orders():
    """Numbers on hand: 2 of W are on order, and both show 10."""
    more = orders(("5", "W", 2))
    assert basis({**LEFT, "W": 10}, {**ON_HAND, "W": 10}, more, profile_a="storefront.on_hand") == NOTHING


def test_among_ten_one_may_have_another_fault_besides():
    """Ten articles with an order of one unit each; of W one more is gone, which is not said to be of the same cause."""
    skus = [f"S{n}" for n in range(10)]
    placed = orders(*((sku, sku, 1) for sku in skus), ("W", "W", 1))
    on_hand = dict.fromkeys([*skus, "W"], 10)
    found, _ = told("BASIS_MISMATCH", stock(**{**on_hand, "W": 9}), stock(**{**on_hand, "W": 11}), placed)
    assert found == dict.fromkeys(skus, 1)


def test_two_overwritten_numbers_are_of_no_other_kind():
    assert told("BASIS_MISMATCH", stock(S=50, T=20), stock(S=50, T=20), orders(("1", "S", 3), ("2", "T", 1))) == NOTHING


#: Orders of a shop whose clock is ahead: read at noon, they are of up to 4.8 hours later.
AHEAD = [
    orders(("1", "S", 3), after=0.5),
    orders(("2", "T", 1), ("3", "S", 2), after=3),
    orders(("4", "U", 4), after=4.8),
]


def timezone(more=(), shown=None, now=AS_OF):
    """What is told of S, T and U, from which 5, 1 and 4 units are gone, and of V, of which there are 7."""
    placed = pa.concat_tables([*AHEAD, *more])
    return told("TIMEZONE", stock(S=45, T=19, U=5, **(shown or {})), stock(S=50, T=20, U=9, V=7), placed, now=now)


def test_orders_of_the_future_that_the_number_has():
    """Written at noon in Karachi, 5 hours ahead, and read as if it were UTC."""
    found = timezone(shown={"V": 7})
    assert found == ({"S": -5, "T": -1, "U": -4}, {"the target has what is posted up to 5 hours later"})


def test_shipments_of_the_future_that_the_authority_has():
    sent = shipments(("1", "S", 3), ("2", "T", 1), ("3", "U", 4), after=0.9)
    found = told("TIMEZONE", stock(**ON_HAND), stock(S=47, T=19, U=5), None, sent, profile_a="storefront.on_hand")
    assert found == ({"S": 3, "T": 1, "U": 4}, {"the authority has what is posted up to 1 hour later"})


@pytest.mark.parametrize(
    ("more", "shown", "hours", "why"),
    [
        (orders(("5", "V", 2), after=4), 7, 0, "an order of V of the same hours is not in its number"),
        (orders(("5", "V", 2), after=4), 6, 0, "of the 2 of V only one is gone"),
        (OPEN.slice(0, 0), 7, 6, "none is of the future: the numbers were read later than they say"),
    ],
)
def test_numbers_that_do_not_have_the_future(more, shown, hours, why):
    assert timezone([more], {"V": shown}, AS_OF + timedelta(hours=hours)) == NOTHING, why


def test_a_number_that_lacks_the_last_hours_may_just_be_slow():
    placed = orders(("1", "S", 3), ("2", "T", 1), ("3", "U", 4), after=-1.9)
    assert told("TIMEZONE", stock(**ON_HAND), stock(**ON_HAND), placed) == NOTHING


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
