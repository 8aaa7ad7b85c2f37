"""The expectations that a merchant needs beyond Great Expectations' own, on data small enough to check by eye."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal

import great_expectations as gx
import pyarrow as pa
import pytest

from expectations import judge, memory
from expectations.domain import (
    ExpectColumnDriftToBeBetween,
    ExpectKeysToBeKept,
    ExpectKeysToBeKnown,
    ExpectOrderLinesToAddUp,
    ExpectReservationsToCloseAtZero,
    ExpectShareInEveryGroupToBeAtMost,
)
from expectations.results import messages
from reconcilers.errors import ConfigError
from reconcilers.schemas import events_schema, levels_schema, stock_schema

AT = datetime(2026, 11, 22, tzinfo=UTC)


def stock(*rows):
    found = [{"sku": sku, "location": place, "quantity": Decimal(quantity)} for sku, place, quantity in rows]
    return pa.Table.from_pylist(found, schema=stock_schema())


def events(*rows):
    found = [
        {"kind": kind, "ref": ref, "sku": sku, "location": "w", "quantity": Decimal(quantity), "posted_at": AT}
        for ref, sku, kind, quantity in rows
    ]
    return pa.Table.from_pylist(found, schema=events_schema())


def judged(rows, expectation, buckets, **others):
    suite = gx.ExpectationSuite("mine", expectations=[expectation])
    return memory.validate(rows, suite, buckets, others=others)


@pytest.mark.parametrize("buckets", [1, 4])
def test_keys_that_were_there_last_time(buckets) -> None:
    before = stock(("A", "w", 1), ("B", "w", 1), ("C", "w", 1), ("C", "x", 1))
    now = stock(("A", "w", 9), ("C", "x", 0), ("D", "w", 1))
    asked = {"column_list": ["sku", "location"]}
    found = judged(now, ExpectKeysToBeKept(**asked, mostly=0.6), buckets, previous=before)
    assert not found.result.success
    assert found.result.results[0].result["unexpected_count"] == 2
    assert judged(now, ExpectKeysToBeKept(**asked, mostly=0.5), buckets, previous=before).result.success
    assert judged(now, ExpectKeysToBeKept(**asked), buckets).result.success, "the first snapshot has none before it"


@pytest.mark.parametrize("buckets", [1, 4])
def test_references_that_the_other_system_has_whatever_it_puts_before_them(buckets) -> None:
    shop = events(("WEB-#1", "A", "PLACE", 1), ("WEB-#2", "A", "PLACE", 1), ("WEB-#02", "B", "PLACE", 1))
    erp = events(("1", "A", "SHIP", 1), ("2", "B", "SHIP", 1))
    asked = {"column_list": ["ref", "sku"], "other": "erp/events", "strip_prefix": ["WEB-", "WEB-#"]}
    found = judged(shop, ExpectKeysToBeKnown(**asked), buckets, **{"erp/events": erp})
    unknown = {(row["ref"], row["sku"]) for row in found.result.results[0].result["partial_unexpected_list"]}
    assert unknown == {("2", "A"), ("02", "B")}, "leading zeros are significant, and the article counts"


def test_keys_without_the_sku_are_refused_because_buckets_are_by_sku() -> None:
    suite = gx.ExpectationSuite("mine", expectations=[ExpectKeysToBeKnown(column_list=["ref"], other="erp/events")])
    with pytest.raises(ConfigError, match="'sku' has to be one of their columns"):
        judge.plan(suite, events_schema())


def test_keys_of_records_are_whole_and_compared_with_the_last_snapshot() -> None:
    schema, key = pa.schema([("sku", pa.string()), ("shop", pa.string())]), ("sku", "shop")
    refused = {
        "'shop' has to be one": ExpectKeysToBeKept(column_list=["sku"]),
        "with those of `previous` only": ExpectKeysToBeKnown(column_list=["sku", "shop"], other="erp/stock"),
    }
    for words, rule in refused.items():
        with pytest.raises(ConfigError, match=words):
            judge.plan(gx.ExpectationSuite("mine", expectations=[rule]), schema, key)
    whole = ExpectKeysToBeKept(column_list=["sku", "shop"])
    assert judge.plan(gx.ExpectationSuite("mine", expectations=[whole]), schema, key).metrics


@pytest.mark.parametrize("buckets", [1, 4])
def test_order_lines_of_which_more_left_than_was_ordered(buckets) -> None:
    rows = events(
        ("1", "A", "PLACE", 3), ("1", "A", "SHIP", 2), ("1", "A", "CANCEL", 1),
        ("2", "A", "PLACE", 3), ("2", "A", "SHIP", 3), ("2", "A", "CANCEL", 1),
        ("3", "B", "SHIP", 5),
    )  # fmt: skip
    found = judged(rows, ExpectOrderLinesToAddUp(), buckets).result.results[0].result
    assert (found["element_count"], found["partial_unexpected_list"]) == (2, [{"ref": "2", "sku": "A"}])


@pytest.mark.parametrize("buckets", [1, 4])
def test_reservations_of_closed_lines_come_to_zero(buckets) -> None:
    rows = events(
        ("ok", "A", "PLACE", 3), ("ok", "A", "ALLOCATE", 3), ("ok", "A", "SHIP", 3),
        ("cancelled", "A", "PLACE", 2), ("cancelled", "A", "ALLOCATE", 2), ("cancelled", "A", "CANCEL", 2),
        ("given back", "B", "PLACE", 2), ("given back", "B", "ALLOCATE", 2), ("given back", "B", "CANCEL", 2),
        ("given back", "B", "DEALLOC", 2),
        ("open", "B", "PLACE", 2), ("open", "B", "ALLOCATE", 2),
    )  # fmt: skip
    found = judged(rows, ExpectReservationsToCloseAtZero(), buckets)
    assert found.result.results[0].result["partial_unexpected_list"] == [{"ref": "cancelled", "sku": "A"}]
    assert {row["sku"] for row in found.unexpected.to_pylist()} == {"A"}


@pytest.mark.parametrize("buckets", [1, 4])
def test_drift_is_the_population_stability_index(buckets) -> None:
    before = stock(*[(f"S{n}", "w", 0 if n < 50 else 5) for n in range(100)])
    now = stock(*[(f"S{n}", "w", 0 if n < 80 else 5) for n in range(100)])
    index = (0.8 - 0.5) * math.log(0.8 / 0.5) + (0.2 - 0.5) * math.log(0.2 / 0.5)
    asked = {"column_list": ["quantity"], "edges": [0, 1], "other": "previous"}
    for bound, met in ((index + 0.01, True), (index - 0.01, False)):
        rule = ExpectColumnDriftToBeBetween(**asked, max_value=bound)
        assert judged(now, rule, buckets, previous=before).result.success == met
    assert judged(now, ExpectColumnDriftToBeBetween(**asked, max_value=0.0001), buckets, previous=now).result.success


@pytest.mark.parametrize("buckets", [1, 4])
def test_one_location_where_everything_fails(buckets) -> None:
    rows = [
        ("BREAK" if place == "bad" or n == 0 else "MATCHED", place, n) for place in ("bad", "ok") for n in range(60)
    ]
    rows += [("BREAK", "small", n) for n in range(5)]
    levels = pa.Table.from_pylist(
        [{"class": verdict, "location": place, "sku": f"S{n}"} for verdict, place, n in rows], schema=levels_schema()
    )
    rule = ExpectShareInEveryGroupToBeAtMost(column_list=["location", "class"], value_set=["BREAK"], max_value=0.5)
    found = judged(levels, rule, buckets).result
    assert found.results[0].result["partial_unexpected_list"] == ["bad (100%)"]
    assert "bad (100%)" in messages(found)[0]
