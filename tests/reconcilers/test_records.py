"""Records compared field by field: what counts as a difference, and that everything is counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcilers.errors import ConfigError, ExpectationsFailed
from reconcilers.memory import compare
from reconcilers.records import Comparison, Duplicates
from reconcilers.rules import Rule

NAN, INF = float("nan"), float("inf")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def differ(cases) -> list[bool]:
    """Whether each pair of values is told as a difference; each case is a column of one and the same record."""
    a, b, rules = {"id": ["1"]}, {"id": ["1"]}, {}
    for number, (value_a, value_b, kind_a, kind_b, rule) in enumerate(cases):
        a[f"v{number}"], b[f"v{number}"] = pa.array([value_a], kind_a), pa.array([value_b], kind_b)
        rules[f"v{number}"] = rule
    found = compare(pa.table(a), pa.table(b), Comparison(key=("id",), rules=rules))
    told = set(found.differences["column"].to_pylist())
    return [f"v{number}" in told for number in range(len(cases))]


D2, D4 = pa.decimal128(18, 2), pa.decimal128(38, 4)
UTC_US, BERLIN_US = pa.timestamp("us", tz="UTC"), pa.timestamp("us", tz="Europe/Berlin")


#: Value of A, value of B, their types, and whether they differ.
EXACTLY = [
    # exact is exact: no number goes through a float
    (Decimal("1234567.01"), Decimal("1234567.02"), (D2, D2), True),
    (Decimal("12345678901234567.01"), Decimal("12345678901234567.02"), (pa.decimal128(19, 2),) * 2, True),
    (9007199254740993, 9007199254740992, (pa.int64(), pa.int64()), True),
    (9007199254740993, Decimal("9007199254740992"), (pa.int64(), pa.decimal128(20, 0)), True),
    (9007199254740993, Decimal("9007199254740993.00"), (pa.int64(), D4), False),
    (Decimal("1.50"), Decimal("1.5000"), (D2, D4), False),
    (2**63 - 1, Decimal("9223372036854775807"), (pa.int64(), pa.decimal128(38, 0)), False),
    # the scale of one leaves no room for the digits of the other
    (2**63 - 1, Decimal("0.5"), (pa.int64(), pa.decimal128(38, 30)), True),
    # floats by value
    (0.1 + 0.2, 0.3, (pa.float64(), pa.float64()), True),
    (NAN, NAN, (pa.float64(), pa.float64()), False),
    (-0.0, 0.0, (pa.float64(), pa.float64()), False),
    (INF, INF, (pa.float64(), pa.float64()), False),
    (INF, -INF, (pa.float64(), pa.float64()), True),
    (NAN, None, (pa.float64(), pa.float64()), True),
    # a float against an exact number stands for the decimal that it prints as
    (0.1, Decimal("0.1000"), (pa.float64(), D4), False),
    (0.1 + 0.2, Decimal("0.3000"), (pa.float64(), D4), True),
    (9007199254740992.0, 9007199254740993, (pa.float64(), pa.int64()), True),
    (NAN, None, (pa.float64(), D4), True),
    # instants, whatever zone they are written in
    (NOON, NOON, (UTC_US, BERLIN_US), False),
    (NOON, NOON.astimezone(timezone(timedelta(hours=5))), (UTC_US, UTC_US), False),
    (NOON, NOON + timedelta(microseconds=1), (UTC_US, BERLIN_US), True),
    # text as it is written; nothing is guessed
    ("10.50", "10.5", (pa.string(), pa.string()), True),
    ("1.10", "1.1", (pa.string(), pa.string()), True),
    ("é", "e\u0301", (pa.string(), pa.string()), True),
    (None, None, (pa.string(), pa.string()), False),
    (None, "", (pa.string(), pa.string()), True),
    # text against anything else is read as that
    ("10.50", Decimal("10.5000"), (pa.string(), D4), False),
    ("10.50001", Decimal("10.5000"), (pa.string(), D4), True),
    ("-0", 0, (pa.string(), pa.int64()), False),
    ("ten", None, (pa.string(), pa.int64()), True),
    ("", None, (pa.string(), pa.int64()), False),
    ("2026-03-01T13:00:00+01:00", NOON, (pa.string(), UTC_US), False),
    ("soon", None, (pa.string(), UTC_US), True),
    ("true", True, (pa.string(), pa.bool_()), False),
]

#: Value of A, value of B, the rule of their column, and whether they differ.
BY_RULE = [
    (0.1 + 0.2, 0.3, Rule(absolute=Decimal("0.000001")), False),
    (Decimal("10.00"), Decimal("10.01"), Rule(absolute=Decimal("0.01")), False),
    (Decimal("10.00"), Decimal("10.02"), Rule(absolute=Decimal("0.01")), True),
    (Decimal("100"), Decimal("101"), Rule(relative=Decimal("0.01")), False),
    (Decimal("100"), Decimal("102"), Rule(relative=Decimal("0.01")), True),
    (None, Decimal("0.01"), Rule(absolute=Decimal(1)), True),
    ("10.50", "10.5", Rule(number=True), False),
    ("0010.50", "10.5", Rule(number=True), False),
    ("-10.50", "10.5", Rule(number=True), True),
    ("ten", "Ten", Rule(number=True), True),
    ("10.50", "10.51", Rule(absolute=Decimal("0.01")), False),
    ("Blue", "BLUE", Rule(case="ignore"), False),
    ("Blue", "BLUE", Rule(), True),
    (" a  b\t", "a b", Rule(space="ignore"), False),
    ("é", "e\u0301", Rule(unicode="ignore"), False),
    ("", None, Rule(empty_is_null=True), False),
    ("order 17 (web)", "17", Rule(extract=r"(\d+)"), False),
    ("red,blue", "blue, red", Rule(shape="set"), False),
    ("red,blue", "blue", Rule(shape="set"), True),
    (["r", "b"], ["b", "r", "r"], Rule(shape="set"), False),
    ('{"a": 1, "b": [1, 2]}', '{"b":[1,2],"a":1}', Rule(shape="json"), False),
    ('{"a": 1, "b": [1, 2]}', '{"b":[2,1],"a":1}', Rule(shape="json"), True),
    ('{"a": 1}', '{"a": "1"}', Rule(shape="json"), True),
    (NOON, NOON + timedelta(hours=3), Rule(truncate="day"), False),
    (NOON, NOON + timedelta(hours=12), Rule(truncate="day"), True),
]


def test_what_differs_without_a_rule():
    cases = [(a, b, *kinds, Rule()) for a, b, kinds, _ in EXACTLY]
    mirrored = [(b, a, kind_b, kind_a, rule) for a, b, kind_a, kind_b, rule in cases]
    expected = [case[3] for case in EXACTLY]
    for found in (differ(cases), differ(mirrored)):
        assert [case for case, f, e in zip(EXACTLY, found, expected, strict=True) if f is not e] == []


def test_what_differs_with_a_rule():
    kinds = [pa.array([value for value in case[:2] if value is not None][:1]).type for case in BY_RULE]
    cases = [(a, b, kind, kind, rule) for (a, b, rule, _), kind in zip(BY_RULE, kinds, strict=True)]
    mirrored = [(b, a, kind, kind, rule) for a, b, kind, _, rule in cases]
    expected = [case[3] for case in BY_RULE]
    for found in (differ(cases), differ(mirrored)):
        assert [case for case, f, e in zip(BY_RULE, found, expected, strict=True) if f is not e] == []


def table(rows, names=("id", "v")):
    """Records of text."""
    return pa.table({name: pa.array([row[i] for row in rows], pa.string()) for i, name in enumerate(names)})


def verdicts(found):
    """Records by class and reason."""
    return {(row["class"], row["reason"]): row["records"] for row in found.tally.to_pylist()}


def test_every_kind_of_difference_is_told_once():
    a = table([("1", "x"), ("2", "x"), ("3", "x")])
    b = table([("1", "x"), ("2", "y"), ("4", "x")])
    found = compare(a, b, Comparison(key=("id",), name="shop~erp"))
    assert verdicts(found) == {
        ("MATCHED", ""): 1,
        ("BREAK", "VALUE_DIFFERS"): 1,
        ("MISSING_IN_A", ""): 1,
        ("MISSING_IN_B", ""): 1,
    }
    rows = {row["id"]: row for row in found.differences.to_pylist()}
    assert rows["2"] == {
        "pair": "shop~erp",
        "id": "2",
        "column": "v",
        "value_a": "x",
        "value_b": "y",
        "class": "BREAK",
        "reason": "VALUE_DIFFERS",
        "difference": None,
        "age": None,
    }
    assert (rows["3"]["class"], rows["3"]["column"]) == ("MISSING_IN_B", None)
    assert (rows["4"]["class"], rows["4"]["column"]) == ("MISSING_IN_A", None)


def test_differences_are_exact_text_and_all_there():
    a = pa.table({"id": range(5000), "v": pa.array([Decimal("1234567.02")] * 5000, pa.decimal128(18, 2))})
    b = pa.table({"id": range(5000), "v": pa.array([Decimal("1234567.01")] * 5000, pa.decimal128(18, 2))})
    found = compare(a, b, Comparison(key=("id",)))
    assert len(found.differences) == 5000
    assert set(found.differences["difference"].to_pylist()) == {"0.01"}
    assert found.frequent.to_pylist() == [
        {"column": "v", "value_a": "1234567.02", "value_b": "1234567.01", "records": 5000, "example": '{"id":0}'}
    ]


@pytest.mark.parametrize(
    "key",
    ["TSHIRT-3/XL-12", "x" * 300, "a|b,c\"d'e\n", "Ünïcödé ✓", " ", "null", "0017"],
    ids=lambda key: repr(key[:12]),
)
def test_text_keys_may_be_anything(key):
    found = compare(table([(key, "x")]), table([(key, "y")]), Comparison(key=("id",)))
    assert found.differences["id"].to_pylist() == [key]
    assert found.differences["column"].to_pylist() == ["v"]


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (pa.array([10**17], pa.int64()), pa.array([Decimal(10**17)], pa.decimal128(38, 0)), True),
        (pa.array([7]), pa.array(["7"]), True),
        (pa.array([7]), pa.array(["007"]), False),
        (pa.array([Decimal("7.50")]), pa.array(["7.5"]), True),
        (pa.array([NOON], UTC_US), pa.array([NOON], BERLIN_US), True),
        (pa.array([NOON.date()]), pa.array([NOON.date()]), True),
    ],
)
def test_keys_of_two_types(a, b, same):
    assert compare(pa.table({"id": a}), pa.table({"id": b}), Comparison(key=("id",))).same is same


def test_rows_without_a_whole_key_are_counted_and_never_equal():
    names = ("id", "line", "v")
    a = table([("1", None, "x"), ("1", "1", "x"), (None, None, "x")], names)
    b = table([("1", None, "x"), ("1", "1", "x")], names)
    found = compare(a, b, Comparison(key=("id", "line")))
    assert verdicts(found) == {("MATCHED", ""): 1}
    assert (found.a.without_key, found.b.without_key) == (2, 1)
    assert not found.same


def test_an_empty_key_is_none_though_a_part_of_one_may_be_empty():
    found = compare(table([("", "x")]), table([("", "x")]), Comparison(key=("id",)))
    assert (verdicts(found), found.a.without_key, found.b.without_key) == ({}, 1, 1)
    rows = table([("1", "", "x"), ("", "", "x")], ("id", "variant", "v"))
    found = compare(rows, rows, Comparison(key=("id", "variant")))
    assert (verdicts(found), found.a.without_key) == ({("MATCHED", ""): 1}, 1)


def test_an_extra_copy_of_an_equal_row_is_exactly_one_difference():
    found = compare(table([("1", "x"), ("1", "x")]), table([("1", "x")]), Comparison(key=("id",)))
    assert verdicts(found) == {("MATCHED", ""): 1, ("BREAK", "DUPLICATE_IN_A"): 1}
    assert len(found.differences) == 1


def test_as_many_copies_on_both_sides_are_no_difference():
    a = table([("1", "x"), ("1", "y"), ("2", "z")])
    b = table([("2", "z"), ("1", "y"), ("1", "x")])
    assert compare(a, b, Comparison(key=("id",))).same


def test_extra_copies_that_cancel_in_number_are_found():
    a = table([("1", "x"), ("1", "x"), ("2", "x")])
    b = table([("1", "x"), ("2", "x"), ("2", "x")])
    found = compare(a, b, Comparison(key=("id",)))
    assert verdicts(found) == {("MATCHED", ""): 2, ("BREAK", "DUPLICATE_IN_A"): 1, ("BREAK", "DUPLICATE_IN_B"): 1}


def test_copies_are_paired_by_equality_first_and_then_in_order():
    a = table([("1", "a"), ("1", "b"), ("1", "c")])
    b = table([("1", "c"), ("1", "d")])
    found = compare(a, b, Comparison(key=("id",)))
    assert verdicts(found) == {
        ("MATCHED", ""): 1,
        ("BREAK", "VALUE_DIFFERS"): 1,
        ("BREAK", "DUPLICATE_IN_A"): 1,
    }


def test_copies_of_a_key_that_the_other_side_has_not_are_one_missing_and_the_rest_extra():
    found = compare(table([("1", "x"), ("1", "x"), ("1", "y")]), table([]), Comparison(key=("id",)))
    assert verdicts(found) == {("MISSING_IN_B", ""): 1, ("BREAK", "DUPLICATE_IN_A"): 2}


def test_a_key_that_names_nothing_is_no_explosion():
    rows = pa.table({"id": ["x"] * 30_000, "v": pa.array(range(30_000))})
    other = pa.table({"id": ["x"] * 30_000, "v": pa.array(range(1, 30_001))})
    found = compare(rows, other, Comparison(key=("id",)))
    assert verdicts(found) == {("MATCHED", ""): 29_999, ("BREAK", "VALUE_DIFFERS"): 1}


def test_duplicates_are_refused_where_the_policy_says_so():
    with pytest.raises(ExpectationsFailed, match=r"1 keys are there more than once, such as id=1"):
        compare(
            table([("1", "x"), ("1", "y")]), table([("1", "x")]), Comparison(key=("id",), duplicates=Duplicates.REFUSE)
        )


def test_duplicates_are_summed_where_the_policy_says_so():
    a = pa.table({"id": ["1", "1", "2"], "v": [2, 3, 1], "w": ["p", "q", "r"]})
    b = pa.table({"id": ["1", "2"], "v": [5, 1], "w": ["q", "r"]})
    found = compare(a, b, Comparison(key=("id",), duplicates=Duplicates.AGGREGATE))
    assert found.same
    assert (found.a.read, found.a.folded) == (3, 1)


def test_an_empty_side():
    full, empty = table([("1", "x"), ("2", "x")]), table([])
    assert verdicts(compare(full, empty, Comparison(key=("id",)))) == {("MISSING_IN_B", ""): 2}
    assert verdicts(compare(empty, full, Comparison(key=("id",)))) == {("MISSING_IN_A", ""): 2}
    assert compare(empty, empty, Comparison(key=("id",))).same


def test_columns_are_renamed_ignored_filtered_and_missing_ones_told():
    a = table([("1", "x", "p"), ("2", "x", "draft")], ("id", "name", "state"))
    b = table([("1", "x", "q")], ("id", "title", "note"))
    comparison = Comparison(key=("id",), renamed={"name": "title"}, where_a="state <> 'draft'")
    found = compare(a, b, comparison)
    assert [(d.column, d.kind) for d in found.schema] == [("state", "missing_in_b"), ("note", "missing_in_a")]
    assert len(found.differences) == 0
    assert not found.same
    assert compare(a, b, Comparison(**{**vars(comparison), "ignore": ("state", "note")})).same


def test_what_changed_a_moment_ago_is_in_flight():
    def at(value, minutes):
        return pa.table({"id": ["1"], "v": [value], "t": pa.array([NOON - timedelta(minutes=minutes)], UTC_US)})

    comparison = Comparison(key=("id",), changed_at="t", ignore=("t",), settle=timedelta(minutes=10), now=NOON)
    assert verdicts(compare(at("x", 60), at("y", 5), comparison)) == {("IN_FLIGHT", "NOT_SETTLED"): 1}
    assert verdicts(compare(at("x", 60), at("y", 10), comparison)) == {("BREAK", "VALUE_DIFFERS"): 1}


def test_column_statistics_close():
    kind = pa.decimal128(18, 2)
    a = pa.table({"id": range(5), "v": pa.array([Decimal(v) for v in (1, 2, 3, 4)] + [None], kind)})
    b = pa.table({"id": range(5), "v": pa.array([Decimal(1), Decimal("2.01"), Decimal(5), None, Decimal(5)], kind)})
    found = compare(a, b, Comparison(key=("id",), rules={"v": Rule(absolute=Decimal("0.01"))}))
    assert found.column_stats.to_pylist() == [
        {
            "column": "v",
            "compared": 5,
            "equal": 1,
            "within_tolerance": 1,
            "different": 3,
            "null_in_a": 1,
            "null_in_b": 1,
            "only_spelling": 0,
            "largest_difference": 2.0,
        }
    ]


def test_frames_of_pandas_are_taken_and_given():
    a = pd.DataFrame({"sku": ["A", "B"], "price": [1.0, 2.0]})
    b = pd.DataFrame({"sku": ["B", "A"], "price": [2.5, 1.0]})
    frame = compare(a, b, Comparison(key=("sku",))).differences.to_pandas()
    assert frame[["sku", "value_a", "value_b"]].to_numpy().tolist() == [["B", "2.0", "2.5"]]


@pytest.mark.parametrize(
    ("comparison", "message"),
    [
        (Comparison(key=("nr",)), r"no column 'nr' on left; there are id, v"),
        (Comparison(key=("id",), renamed={"v": "w"}), r"no column 'w' on right"),
        (Comparison(key=("id",), ignore=("x",)), r"no column 'x' on either side"),
        (Comparison(key=("id",), where_a="nosuch > 1"), r"nosuch"),
        (Comparison(key=("id",), where_a="v::integer > 1"), r"Could not convert string 'x'"),
    ],
)
def test_what_is_not_there_is_named(comparison, message):
    with pytest.raises(ConfigError, match=message):
        compare(table([("1", "x")]), table([("1", "x")]), comparison)


def test_key_columns_never_hide_a_column_of_the_results():
    a, b = pa.table({"class": ["1"], "column": ["x"]}), pa.table({"class": ["1"], "column": ["y"]})
    found = compare(a, b, Comparison(key=("class",)))
    assert found.differences["key.class"].to_pylist() == ["1"]
    assert found.differences["class"].to_pylist() == ["BREAK"]


VALUES = st.sampled_from(["", "a", "b", None])
ROWS = st.lists(st.tuples(st.sampled_from([*"123456", None]), VALUES, VALUES), max_size=24)
NAMES = ("id", "v", "w")
SWAPPED = {f"{word}_IN_{a}": f"{word}_IN_{b}" for word in ("MISSING", "DUPLICATE") for a, b in ("AB", "BA")}


@settings(max_examples=6)
@given(ROWS, ROWS, st.sampled_from([Duplicates.PAIR, Duplicates.AGGREGATE]), st.randoms())
def test_laws(rows_a, rows_b, duplicates, random):
    comparison = Comparison(key=("id",), duplicates=duplicates)
    a, b = table(rows_a, NAMES), table(rows_b, NAMES)
    found = compare(a, b, comparison)

    # counts close: each row of a side is in one pair, alone, without a key, or folded into another
    counts = verdicts(found)
    assert (found.a.read, found.b.read) == (len(rows_a), len(rows_b))
    alone = {side: counts.get(("BREAK", f"DUPLICATE_IN_{side}"), 0) for side in "AB"}
    alone["A"] += counts.get(("MISSING_IN_B", ""), 0)
    alone["B"] += counts.get(("MISSING_IN_A", ""), 0)
    pairs = sum(counts.values()) - sum(alone.values())
    for side, rows in (("A", found.a), ("B", found.b)):
        assert rows.read == pairs + alone[side] + rows.without_key + rows.folded
    assert sum(row["column"] is None for row in found.differences.to_pylist()) == sum(alone.values())
    for row in found.column_stats.to_pylist():
        assert row["compared"] == pairs == row["equal"] + row["within_tolerance"] + row["different"]

    # the order of rows is nothing
    random.shuffle(rows_a)
    again = compare(table(rows_a, NAMES), b, comparison)
    assert verdicts(again) == counts
    assert again.column_stats == found.column_stats

    # the other way round is the same, mirrored
    mirrored = verdicts(compare(b, a, comparison))
    assert {(SWAPPED.get(c, c), SWAPPED.get(r, r)): n for (c, r), n in mirrored.items()} == counts
