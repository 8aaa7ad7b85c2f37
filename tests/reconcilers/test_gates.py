"""Every gate is open up to its bound, and shut beyond it."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from decimal import Decimal

import pytest

from reconcilers.gates import GATES, Bounds, Facts, SnapshotFacts, judge

QUIET = Facts("shop~erp", keys=100, corrections=3, units=Decimal(12), value=Decimal("99.50"), largest=Decimal(8),
              to_zero=5, unmapped=4, failed=0)  # fmt: skip

#: Gate → a bound, facts that just reach it, facts that are just beyond.
CASES = {
    "to_zero": (Decimal("0.05"), {"to_zero": 5}, {"to_zero": 6}),
    "unmapped": (Decimal("0.04"), {"unmapped": 4}, {"unmapped": 5}),
    "corrections": (3, {"corrections": 3}, {"corrections": 4}),
    "units": (Decimal(12), {"units": Decimal(12)}, {"units": Decimal("12.0001")}),
    "value": (Decimal(100), {"value": Decimal(100)}, {"value": Decimal("100.01")}),
    "largest": (Decimal(8), {"largest": Decimal(8)}, {"largest": Decimal(9)}),
    "expectations": (1, {"failed": 1}, {"failed": 2}),
    "age": (timedelta(hours=6), {"age": timedelta(hours=6)}, {"age": timedelta(hours=6, seconds=1)}),
    "feed_age": (timedelta(hours=1), {"feed_age": timedelta(hours=1)}, {"feed_age": timedelta(hours=2)}),
    "row_count": (Decimal("0.3"), {"rows": 700}, {"rows": 699}),
}


def facts_of(changes: dict) -> Facts:
    of_snapshot = {f.name for f in fields(SnapshotFacts)}
    snapshot = SnapshotFacts("erp/stock", rows=1000, earlier=(990, 1000, 5000))
    inside = {name: value for name, value in changes.items() if name in of_snapshot}
    outside = {name: value for name, value in changes.items() if name not in of_snapshot}
    return replace(QUIET, snapshots=(replace(snapshot, **inside),), **outside)


@pytest.mark.parametrize("gate", GATES)
def test_a_gate_is_open_up_to_its_bound_and_shut_beyond(gate):
    bound, at, beyond = CASES[gate]
    bounds = replace(Bounds(expectations=None), **{gate: bound})
    assert [v.passed for v in judge(facts_of(at), bounds)] == [True]
    (tripped,) = judge(facts_of(beyond), bounds)
    assert not tripped.passed
    assert tripped.gate == gate
    assert tripped.document()["value"] != tripped.document()["bound"]
    assert tripped.reason


def test_every_bound_is_a_gate_and_every_gate_has_a_bound():
    assert {field.name for field in fields(Bounds)} == set(GATES) == set(CASES)


def test_a_gate_without_a_bound_is_not_asked():
    assert judge(facts_of(CASES["units"][2]), Bounds(expectations=None)) == []


def test_a_share_just_beyond_its_bound_never_looks_equal():
    facts = replace(QUIET, keys=10_000_000, to_zero=500_001)
    (verdict,) = judge(facts, Bounds(to_zero=Decimal("0.05"), expectations=None))
    assert not verdict.passed
    assert verdict.document()["value"] == "0.0501"


def test_too_few_runs_say_nothing_about_rows():
    facts = replace(QUIET, snapshots=(SnapshotFacts("erp/stock", rows=1, earlier=(1000, 1000)),))
    assert judge(facts, Bounds(row_count=Decimal("0.3"), expectations=None)) == []


def test_more_rows_than_usual_are_as_odd_as_fewer():
    (verdict,) = judge(facts_of({"rows": 1301}), Bounds(row_count=Decimal("0.3"), expectations=None))
    assert not verdict.passed
    assert verdict.reason == "erp/stock has 1,301 rows, usually 1,000"


def test_a_snapshot_of_the_future_trips():
    (verdict,) = judge(facts_of({"age": timedelta(minutes=-5)}), Bounds(age=timedelta(days=1), expectations=None))
    assert not verdict.passed


def test_a_run_that_was_judged_again_is_not_published():
    (verdict,) = judge(replace(QUIET, superseded_by="run-2"), Bounds(expectations=None))
    assert (verdict.gate, verdict.passed) == ("superseded", False)
    assert "run-2" in verdict.reason
