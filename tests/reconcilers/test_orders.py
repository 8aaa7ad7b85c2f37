"""Orders of two systems: worked cases, and the laws that hold for any."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcilers.buckets import partition
from reconcilers.errors import ConfigError
from reconcilers.memory import compare_orders
from reconcilers.orders import RESULT_COLUMNS, Orders
from reconcilers.rules import Rule

NOW = datetime(2026, 11, 23, 2, tzinfo=UTC)
ORDERS = Orders(as_of_a=NOW, as_of_b=NOW, name="shop.web~erp.web")

AMOUNT = pa.decimal128(18, 4)
INSTANT = pa.timestamp("us", tz="UTC")
TYPES = {
    **dict.fromkeys(("ref", "line", "sku", "doc", "currency", "status", "gift"), pa.string()),
    **dict.fromkeys(("quantity", "price", "discount", "tax", "total", "charges"), AMOUNT),
    **dict.fromkeys(("placed_at", "changed_at"), INSTANT),
}
BASIC = ("ref", "sku", "quantity", "price", "placed_at")


def hours(ago: float) -> datetime:
    return NOW - timedelta(hours=ago)


def rows(*lines: str) -> pa.Table:
    """Order lines, such as `7 TEA 2 4.50 @30 doc=AB-1`: reference, SKU, quantity, price, placed 30 hours ago (48)."""
    read = []
    for line in lines:
        ref, sku, quantity, price, *more = line.split()
        row = {"ref": ref, "sku": sku, "quantity": quantity, "price": price, "placed_at": hours(48)}
        for each in more:
            name, sign, value = each.partition("=")
            if not sign:
                row["placed_at"] = hours(float(each.removeprefix("@"))) if each != "@" else None
            else:
                row[name] = hours(float(value)) if name == "changed_at" else value
        read.append(row)
    names = dict.fromkeys([*BASIC, *(name for row in read for name in row)])
    columns = {}
    for name in names:
        values = [row.get(name) for row in read]
        if TYPES[name] == AMOUNT:
            values = [None if value is None else Decimal(value) for value in values]
        columns[name] = pa.array(values, TYPES[name])
    return pa.table(columns)


def told(found: pa.Table) -> list[str]:
    """Findings as `ref/line column a>b CLASS REASON`, what is not there left out."""
    lines = []
    for row in found.to_pylist():
        where = row["ref"] + (f"/{row['line']}" if row["line"] else "") + (f" {row['doc']}" if row["doc"] else "")
        change = f" {row['column']} {row['value_a']}>{row['value_b']}" if row["column"] else ""
        lines.append(" ".join(filter(None, [f"{where}{change}", row["class"], row["reason"]])))
    return sorted(lines)


#: What happened; the shop's lines; the ERP's lines; what a right comparison says.
CASES: dict[str, tuple[list[str], list[str], list[str]]] = {
    "the same": (["1 TEA 2 4.50"], ["1 TEA 2 4.50"], []),
    "a lost order of three lines is one": (
        ["1 TEA 2 4.50", "1 CUP 1 7", "1 POT 1 20", "2 TEA 1 4.50"],
        ["2 TEA 1 4.50"],
        ["1 LATE ORDER_NOT_IMPORTED"],
    ),
    "younger than the SLA": (["1 TEA 2 4.50 @23"], [], ["1 IN_FLIGHT ORDER_OPEN"]),
    "on the stroke of the SLA": (["1 TEA 2 4.50 @24"], [], ["1 IN_FLIGHT ORDER_OPEN"]),
    "nobody knows when it was placed": (["1 TEA 2 4.50 @"], [], ["1 MISSING_IN_B"]),
    "cancelled before it was imported": (["1 TEA 2 4.50 status=cancelled"], [], []),
    "only in the ERP": ([], ["1 TEA 2 4.50"], ["1 MISSING_IN_A"]),
    "imported and shipped twice": (
        ["1 TEA 2 4.50", "1 CUP 1 7"],
        ["1 TEA 2 4.50 doc=B1", "1 CUP 1 7 doc=B1", "1 TEA 2 4.50 @40 doc=B2", "1 CUP 1 7 @40 doc=B2"],
        ["1 B2 BREAK DUPLICATE_BACKEND_ORDER"],
    ),
    "a second document with a part of the order": (
        ["1 TEA 2 4.50", "1 CUP 1 7"],
        ["1 TEA 2 4.50 doc=B1", "1 CUP 1 7 doc=B1", "1 CUP 1 7 @40 doc=B2"],
        ["1 B2 BREAK DUPLICATE_BACKEND_ORDER"],
    ),
    "imported three times": (
        ["1 TEA 2 4.50"],
        ["1 TEA 2 4.50 doc=B1", "1 TEA 2 4.50 @40 doc=B2", "1 TEA 2 4.50 @39 doc=B3"],
        ["1 B2 BREAK DUPLICATE_BACKEND_ORDER", "1 B3 BREAK DUPLICATE_BACKEND_ORDER"],
    ),
    "the second document is cancelled already": (
        ["1 TEA 2 4.50 status=open"],
        ["1 TEA 2 4.50 doc=B1 status=open", "1 TEA 2 4.50 @40 doc=B2 status=cancelled"],
        [],
    ),
    "the first document is cancelled, the second one is the match": (
        ["1 TEA 2 4.50 status=open"],
        ["1 TEA 2 4.50 doc=B1 status=cancelled", "1 TEA 2 4.50 @40 doc=B2 status=open"],
        [],
    ),
    "sent in two parts": (
        ["1 TEA 5 4.50", "1 CUP 1 7"],
        ["1 TEA 3 4.50 doc=B1", "1 TEA 2 4.50 @40 doc=B2", "1 CUP 1 7 @40 doc=B2"],
        [],
    ),
    "twice without document numbers": (
        ["1 TEA 2 4.50", "1 CUP 1 7"],
        ["1 TEA 2 4.50", "1 CUP 1 7", "1 TEA 2 4.50", "1 CUP 1 7"],
        ["1 copy 2 BREAK DUPLICATE_BACKEND_ORDER"],
    ),
    "one line of two twice without document numbers": (
        ["1 TEA 2 4.50", "1 CUP 1 7"],
        ["1 TEA 2 4.50", "1 CUP 1 7", "1 CUP 1 7"],
        ["1/CUP quantity 1.0000>2.0000 BREAK QUANTITY_DIFFERS"],
    ),
    "the shop exports an order twice": (["1 TEA 2 4.50"] * 2, ["1 TEA 2 4.50"], ["1 copy 2 BREAK DUPLICATE_IN_A"]),
    "both have everything twice": (["1 TEA 2 4.50"] * 2, ["1 TEA 2 4.50"] * 2, []),
    "the same article in two rows": (["1 TEA 2 4.50", "1 TEA 1 4.50"], ["1 TEA 3 4.50"], []),
    "one of them for nothing": (["1 TEA 1 4.50", "1 TEA 1 0"], ["1 TEA 1 0", "1 TEA 1 4.50"], []),
    "both at full price": (
        ["1 TEA 1 4.50", "1 TEA 1 0"],
        ["1 TEA 2 4.50"],
        ["1/TEA price 2.2500>4.5000 BREAK PRICE_DIFFERS"],
    ),
    "a line is missing": (["1 TEA 2 4.50", "1 CUP 1 7"], ["1 TEA 2 4.50"], ["1/CUP BREAK LINE_MISSING"]),
    "a line too many": (["1 TEA 2 4.50"], ["1 TEA 2 4.50", "1 CUP 1 7"], ["1/CUP BREAK LINE_EXTRA"]),
    "another article instead": (
        ["1 TEA 2 4.50", "1 CUP 1 7"],
        ["1 TEA 2 4.50", "1 MUG 1 7"],
        ["1/CUP sku CUP>MUG CONFLICT SUBSTITUTED"],
    ),
    "it might be either": (
        ["1 TEA 1 4", "1 CUP 1 7"],
        ["1 MUG 1 7"],
        ["1/CUP BREAK LINE_MISSING", "1/MUG BREAK LINE_EXTRA", "1/TEA BREAK LINE_MISSING"],
    ),
    "another article on a line with an id": (
        ["1 TEA 2 4.50 line=1", "1 CUP 1 7 line=2"],
        ["1 TEA 2 4.50 line=1", "1 MUG 1 9 line=2"],
        ["1/2 sku CUP>MUG CONFLICT SUBSTITUTED"],
    ),
    "the same article twice, by line": (
        ["1 TEA 2 4.50 line=1", "1 TEA 1 4.50 line=2"],
        ["1 TEA 2 4.50 line=1", "1 TEA 2 4.50 line=2"],
        ["1/2 quantity 1.0000>2.0000 BREAK QUANTITY_DIFFERS"],
    ),
    "a wrong price, from which the tax follows": (
        ["1 TEA 2 10 tax=3.80"],
        ["1 TEA 2 9.99 tax=3.79"],
        ["1/TEA price 10.0000>9.9900 BREAK PRICE_DIFFERS"],
    ),
    "another tax": (["1 TEA 2 10 tax=3.80"], ["1 TEA 2 10 tax=1.40"], ["1/TEA tax 3.8000>1.4000 BREAK TAX_DIFFERS"]),
    "another discount, from which the tax follows": (
        ["1 TEA 2 10 tax=3.80 discount=0"],
        ["1 TEA 2 10 tax=3.61 discount=1"],
        ["1/TEA discount 0.0000>1.0000 BREAK DISCOUNT_DIFFERS"],
    ),
    "another currency is one finding": (
        ["1 TEA 2 10 currency=EUR", "1 CUP 1 7 currency=EUR"],
        ["1 TEA 2 11 currency=USD", "1 CUP 1 8 currency=USD"],
        ["1 currency EUR>USD BREAK CURRENCY_DIFFERS"],
    ),
    "any other column": (
        ["1 TEA 2 10 gift=yes", "1 CUP 1 7 gift=yes"],
        ["1 TEA 2 10 gift=no", "1 CUP 1 7 gift=no"],
        ["1 gift yes>no BREAK VALUE_DIFFERS"],
    ),
    "cancelled here, shipped there": (
        ["1 TEA 2 10 status=cancelled", "1 CUP 1 7 status=cancelled"],
        ["1 TEA 2 10 status=shipped", "1 CUP 1 7 status=shipped"],
        ["1 status cancelled>shipped CONFLICT CANCEL_AFTER_SHIP"],
    ),
    "cancelled before it shipped": (
        ["1 TEA 2 10 status=cancelled changed_at=30"],
        ["1 TEA 2 10 status=shipped changed_at=20"],
        ["1/TEA status cancelled>shipped CONFLICT CANCEL_NOT_PROPAGATED"],
    ),
    "cancelled a moment ago": (
        ["1 TEA 2 10 status=cancelled changed_at=2"],
        ["1 TEA 2 10 status=open"],
        ["1/TEA status cancelled>open IN_FLIGHT CANCEL_NOT_PROPAGATED"],
    ),
    "cancelled long ago, and the ERP does not know": (
        ["1 TEA 2 10 status=cancelled changed_at=30"],
        ["1 TEA 2 10 status=open"],
        ["1/TEA status cancelled>open LATE CANCEL_NOT_PROPAGATED"],
    ),
    "shipped, and the shop does not know": (
        ["1 TEA 2 10 status=open"],
        ["1 TEA 2 10 status=shipped changed_at=30"],
        ["1/TEA status open>shipped LATE SHIP_NOT_POSTED"],
    ),
    "a return on its way": (
        ["1 TEA 2 10 status=returned changed_at=3"],
        ["1 TEA 2 10 status=shipped"],
        ["1/TEA status returned>shipped IN_FLIGHT RETURN_IN_TRANSIT"],
    ),
    "a word that nobody translated": (
        ["1 TEA 2 10 status=open"],
        ["1 TEA 2 10 status=on-hold"],
        ["1/TEA status open>on-hold BREAK STATUS_DIFFERS"],
    ),
    "a total that is the sum of its lines": (
        ["1 TEA 2 10 total=27 tax=0 charges=0", "1 CUP 1 7 tax=0"],
        ["1 TEA 2 10 total=27 tax=0", "1 CUP 1 7 total=27 tax=0"],
        [],
    ),
    "a total that is not": (
        ["1 TEA 2 10 total=30", "1 CUP 1 7 total=30"],
        ["1 TEA 2 10 total=27", "1 CUP 1 7 total=27"],
        ["1 total 30.0000>None BREAK TOTAL_NOT_SUM"],
    ),
    "the same total on both sides, which is that of no lines": (
        ["1 TEA 2 10 total=30"],
        ["1 TEA 2 10 total=30"],
        ["1 total 30.0000>None BREAK TOTAL_NOT_SUM", "1 total None>30.0000 BREAK TOTAL_NOT_SUM"],
    ),
    "the same lines in two documents, whose totals are not that of the order": (
        ["1 TEA 2 10 total=27", "1 CUP 1 7 total=27"],
        ["1 TEA 2 10 doc=B1 total=27", "1 CUP 1 7 doc=B2 total=27"],
        ["1 total None>54.0000 BREAK TOTAL_NOT_SUM"],
    ),
    "a wrong price explains the total": (
        ["1 TEA 2 10 total=20"],
        ["1 TEA 2 9 total=18"],
        ["1/TEA price 10.0000>9.0000 BREAK PRICE_DIFFERS"],
    ),
    "only one side charges for the parcel": (
        ["1 TEA 2 10 total=25 charges=5"],
        ["1 TEA 2 10 total=20"],
        ["1 total 25.0000>20.0000 BREAK TOTAL_DIFFERS"],
    ),
    "an order of two documents has both totals": (
        ["1 TEA 2 10 total=27", "1 CUP 1 7 total=27"],
        ["1 TEA 2 10 doc=B1 total=20", "1 CUP 1 7 doc=B2 @40 total=7"],
        [],
    ),
    "changed after the other side was read": (
        ["1 TEA 3 10 changed_at=-1"],
        ["1 TEA 2 10"],
        ["1/TEA quantity 3.0000>2.0000 IN_FLIGHT NOT_SETTLED"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_worked_cases(case):
    a, b, expected = CASES[case]
    found = compare_orders(rows(*a), rows(*b), ORDERS)
    assert told(found.findings) == expected
    assert found.findings.column_names == list(RESULT_COLUMNS)


def test_the_money_that_depends_on_it():
    a = rows("1 TEA 2 4.50", "1 CUP 1 7", "2 TEA 3 10", "3 TEA 4 10", "4 TEA 1 5", "5 TEA 5 2 total=11")
    b = rows("2 TEA 3 9.50", "3 TEA 1 10", "4 TEA 1 5 doc=X", "4 TEA 1 5 doc=Y", "5 TEA 5 2", "6 TEA 9 1")
    found = compare_orders(a, b, replace(ORDERS, high_value=Decimal(16)))
    value = {row["ref"]: (row["value"], row["severity"]) for row in found.findings.to_pylist()}
    assert value == {
        "1": (Decimal(16), "high"),
        "2": (Decimal("1.50"), "medium"),
        "3": (Decimal(30), "high"),
        "4": (Decimal(5), "high"),
        "5": (Decimal(1), "medium"),
        "6": (Decimal(9), "medium"),
    }


def test_an_order_has_one_verdict_its_worst():
    a = rows("1 TEA 2 10", "1 CUP 1 7", "2 TEA 1 1", "3 TEA 1 1 @1")
    b = rows("1 TEA 2 9", "2 TEA 1 1", "4 TEA 1 1")
    found = compare_orders(a, b, ORDERS)
    assert len(found.findings) == 4
    assert found.verdicts == {
        ("BREAK", "LINE_MISSING"): 1,
        ("IN_FLIGHT", "ORDER_OPEN"): 1,
        ("MATCHED", ""): 1,
        ("MISSING_IN_A", ""): 1,
    }


@pytest.mark.parametrize(
    ("rule", "currency", "same"),
    [
        (Rule(absolute=Decimal("0.01"), number=True), "EUR", True),
        (Rule(absolute=Decimal("0.009"), number=True), "EUR", False),
        (Rule(relative=Decimal("0.01"), number=True), "EUR", True),
        (Rule(bounds={"JPY": Decimal(1)}, number=True), "JPY", True),
        (Rule(bounds={"JPY": Decimal(1)}, number=True), "EUR", False),
        (Rule(absolute=Decimal("0.02"), bounds={"JPY": Decimal(0)}, number=True), "JPY", False),
    ],
)
def test_a_tolerance_of_a_column_and_of_a_currency(rule, currency, same):
    a, b = rows(f"1 TEA 1 10.00 currency={currency}"), rows(f"1 TEA 1 10.01 currency={currency}")
    assert (told(compare_orders(a, b, replace(ORDERS, rules={"price": rule})).findings) == []) is same


def test_the_tolerance_of_the_total_is_that_against_its_lines():
    a, b = rows("1 TEA 3 3.33 total=10"), rows("1 TEA 3 3.33 total=9.99")
    near = replace(ORDERS, rules={"total": Rule(absolute=Decimal("0.01"), number=True)})
    assert told(compare_orders(a, b, near).findings) == []
    assert told(compare_orders(a, b, ORDERS).findings) == ["1 total 10.0000>None BREAK TOTAL_NOT_SUM"]
    assert told(compare_orders(a, b, replace(ORDERS, ignore=("total",))).findings) == []


def test_a_column_may_be_called_anything():
    names = ["weight", "rows", "amount", "side", "doc.", "a b'\"c", "class"]
    sides = []
    for value in ("x", "y"):
        table = rows("1 TEA 1 1", "1 CUP 1 1")
        for name in names:
            table = table.append_column(name, pa.array([value] * 2))
        sides.append(table)
    found = compare_orders(*sides, ORDERS).findings
    assert sorted(found["column"].to_pylist()) == sorted(names)
    assert set(found["reason"].to_pylist()) == {"VALUE_DIFFERS"}


def test_prices_with_the_tax_in_them():
    a, b = rows("1 TEA 1 11.90 tax=1.90 total=11.90"), rows("1 TEA 1 11.90 tax=1.90 total=11.90")
    assert told(compare_orders(a, b, replace(ORDERS, tax_included=(True, True))).findings) == []
    assert len(compare_orders(a, b, ORDERS).findings) == 2


def test_only_orders_that_a_condition_takes():
    a, b = rows("1 TEA 1 1"), rows("1 TEA 1 1", "M-7 TEA 1 1")
    assert told(compare_orders(a, b, replace(ORDERS, where_b="ref not like 'M-%'")).findings) == []
    with pytest.raises(ConfigError, match="shop.web~erp.web"):
        compare_orders(a, b, replace(ORDERS, where_b="channel = 7"))


def test_orders_without_lines_are_compared_by_their_heads():
    heads = rows("1 - 1 1 total=10", "2 - 1 1 total=7").select(["ref", "placed_at", "total"])
    other = rows("1 - 1 1 total=10", "2 - 1 1 total=8").select(["ref", "total"])
    assert told(compare_orders(heads, other, ORDERS).findings) == ["2 total 7.0000>8.0000 BREAK TOTAL_DIFFERS"]


LINES = st.tuples(
    st.sampled_from(["1", "2", "3", "4", "5", "6"]),
    st.sampled_from(["TEA", "CUP", "POT"]),
    st.sampled_from(["1", "2"]),
    st.sampled_from(["1.00", "2.50"]),
    st.sampled_from(["@1", "@30", "@50"]),
    st.sampled_from(["doc=X", "doc=Y"]),
    st.sampled_from(["status=open", "status=shipped", "status=cancelled"]),
    st.sampled_from(["total=5", "total=7.50"]),
)
SIDES = st.lists(LINES.map(" ".join), max_size=16)
laws = settings(max_examples=5)


@laws
@given(SIDES, SIDES, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(a, b, rng: random.Random):
    shuffled = [rng.sample(side, len(side)) for side in (a, b)]
    one, other = compare_orders(rows(*a), rows(*b), ORDERS), compare_orders(*(rows(*s) for s in shuffled), ORDERS)
    assert told(one.findings) == told(other.findings)
    assert one.verdicts == other.verdicts


@laws
@given(SIDES, SIDES, st.sampled_from([2, 4]))
def test_buckets_are_nothing(a, b, buckets):
    # every column is there, so that each bucket has the columns of the whole
    a, b = [*a, "8 TEA 1 1 doc=X status=open total=1"], [*b, "8 TEA 1 1 doc=X status=open total=1"]
    whole = compare_orders(rows(*a), rows(*b), ORDERS)
    parts = [
        compare_orders(x, y, ORDERS)
        for x, y in zip(partition(rows(*a), buckets, "ref"), partition(rows(*b), buckets, "ref"), strict=True)
    ]
    assert sorted(line for part in parts for line in told(part.findings)) == told(whole.findings)
    for verdict in whole.verdicts:
        assert sum(part.verdicts.get(verdict, 0) for part in parts) == whole.verdicts[verdict]


_MIRRORED = {"LINE_MISSING": "LINE_EXTRA", "DUPLICATE_IN_A": "DUPLICATE_BACKEND_ORDER"}
_MIRRORED |= {other: one for one, other in _MIRRORED.items()}


def seen(found: pa.Table, mirrored: bool) -> list[tuple]:
    """What is left of a finding when the sides do not count."""
    kept = []
    for row in found.to_pylist():
        a, b, reason = row["value_a"], row["value_b"], row["reason"]
        alone = row["column"] is None and row["line"] is None and row["doc"] is None
        if alone:
            kept.append((row["ref"], "only one side has it", row["value"]))
            continue
        if mirrored:
            a, b, reason = b, a, _MIRRORED.get(reason, reason)
        line = None if reason == "SUBSTITUTED" else row["line"]
        kept.append((row["ref"], line, row["column"], row["doc"], a, b, row["class"], reason))
    return sorted(kept, key=str)


@laws
@given(SIDES, SIDES)
def test_swapping_the_sides_mirrors_the_findings(a, b):
    there, back = compare_orders(rows(*a), rows(*b), ORDERS), compare_orders(rows(*b), rows(*a), ORDERS)
    assert seen(there.findings, mirrored=False) == seen(back.findings, mirrored=True)


@laws
@given(
    st.lists(st.tuples(st.integers(0, 96), st.integers(0, 24)), min_size=1, max_size=12),
    st.integers(0, 96),
    st.integers(0, 96),
)
def test_an_order_that_is_imported_in_time_is_never_a_finding(placed, a_at, b_at):
    """Placed at an hour, imported up to 24 hours later, and both sides read at any hour."""
    start = hours(96)
    names = ["ref", "sku", "quantity", "price", "placed_at"]

    def exported(instants, until):
        at = [start + timedelta(hours=each) for each in instants]
        known = [n for n, each in enumerate(at) if each <= start + timedelta(hours=until)]
        return pa.Table.from_pylist(
            [dict(zip(names, (str(n), "TEA", Decimal(1), Decimal(1), at[n]), strict=True)) for n in known],
            schema=pa.schema([(name, TYPES[name]) for name in names]),
        )

    shop = exported([at for at, _ in placed], a_at)
    erp = exported([at + wait for at, wait in placed], b_at)
    rules = replace(ORDERS, as_of_a=start + timedelta(hours=a_at), as_of_b=start + timedelta(hours=b_at))
    assert set(compare_orders(shop, erp, rules).findings["class"].to_pylist()) <= {"IN_FLIGHT"}
