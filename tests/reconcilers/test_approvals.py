"""Which corrections wait for somebody, and who that may be."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pyarrow as pa
import pytest

from reconcilers.approvals import Policy, why
from reconcilers.errors import Refused
from reconcilers.schemas import corrections_schema


def needs(policy: Policy, **fields) -> str:
    row = {"delta": Decimal(5), "price": Decimal(2), "class": "BREAK", "reason": "UNEXPLAINED", **fields}
    return why(pa.Table.from_pylist([row], schema=corrections_schema()), policy).to_pylist()[0]


def test_up_to_a_bound_nobody_is_asked():
    policy = Policy(units=Decimal(5), value=Decimal(10))
    assert needs(policy) == ""
    assert needs(policy, delta=Decimal("5.0001")) == "more than 5 units"
    assert needs(policy, delta=Decimal(-6)) == "more than 5 units"
    assert needs(policy, price=Decimal("2.01")) == "worth more than 10"


def test_what_has_no_price_may_be_worth_anything():
    assert needs(Policy(value=Decimal(10)), price=None) == "worth more than 10"
    assert needs(Policy(units=Decimal(10)), price=None) == ""


def test_a_class_and_a_reason_may_always_need_somebody():
    assert needs(Policy(classes=("CONFLICT",)), **{"class": "CONFLICT"}) == "CONFLICT"
    assert needs(Policy(reasons=("UNEXPLAINED",))) == "UNEXPLAINED"
    assert needs(Policy(classes=("CONFLICT",), reasons=("UOM_MISMATCH",))) == ""


def test_a_large_number_at_a_high_price_does_not_overflow():
    assert needs(Policy(value=Decimal(10)), delta=Decimal("9" * 14), price=Decimal("9" * 14)) == "worth more than 10"


def test_nobody_approves_what_they_proposed():
    with pytest.raises(Refused, match="'ann' proposed it"):
        Policy().check_approver("Ann", "ann")
    Policy().check_approver("ann", "bob")
    Policy(four_eyes=False).check_approver("ann", "ann")


def test_the_version_changes_with_any_rule():
    policies = [Policy(), Policy(units=Decimal(1)), Policy(classes=("LATE",)), Policy(four_eyes=False)]
    assert len({policy.version for policy in policies}) == len(policies)
    assert Policy().version == replace(Policy(), name="default").version
    assert Policy().version.startswith("default@")
