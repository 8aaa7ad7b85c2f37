"""Modes, keys, and what to send to a target that moved between the read and the write."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcilers.corrections import Fresh, Mode, key_of, recompute, safest
from reconcilers.errors import ConfigError


def test_the_safest_mode_that_is_offered_is_taken():
    assert safest({Mode.ABSOLUTE, Mode.DELTA, Mode.SET}) is Mode.SET
    assert safest({Mode.ABSOLUTE, Mode.DELTA}) is Mode.DELTA
    assert safest({Mode.ABSOLUTE}) is Mode.ABSOLUTE
    with pytest.raises(ConfigError, match="no way"):
        safest(set())


def test_a_key_belongs_to_one_number():
    keys = {key_of(c, t, n) for c in ("1", "11") for t in ("1", "shop") for n in (1, 2, 11)}
    assert len(keys) == 12


@pytest.mark.parametrize(
    ("title", "fresh", "value"),
    [
        ("one sold since: the correction of -3 goes on top", Fresh(Decimal(9), Decimal(10), Decimal(-1)), 6),
        ("one came back", Fresh(Decimal(11), Decimal(10), Decimal(1)), 8),
        ("it has moved back by itself", Fresh(Decimal(10), Decimal(10), Decimal(0)), 7),
        ("somebody corrected it by hand already", Fresh(Decimal(7), Decimal(10), Decimal(0)), None),
        ("somebody changed it to something else", Fresh(Decimal(4), Decimal(10), Decimal(-1)), None),
        ("it changed, and no feed says why", Fresh(Decimal(9), Decimal(10), None), None),
        ("all of it sold: never below zero", Fresh(Decimal(1), Decimal(10), Decimal(-9)), 0),
    ],
)
def test_what_sold_meanwhile_is_not_taken_back_and_what_nobody_explains_is_not_guessed(title, fresh, value):
    """The shop showed 10, and should have shown 7."""
    assert recompute(Decimal(7), Decimal(10), fresh, never_below_zero=True).value == value


@given(*[st.integers(-50, 50).map(Decimal)] * 3)
def test_the_intended_change_stays_what_it_was(value, change_from, moved):
    fresh = Fresh(change_from + moved, change_from, moved)
    result = recompute(value, change_from, fresh, never_below_zero=False)
    if fresh.observed != value:
        assert result.value - fresh.observed == value - change_from
