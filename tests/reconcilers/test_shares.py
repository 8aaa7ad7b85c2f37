"""Largest remainder over channels, with caps."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcilers.errors import ConfigError
from reconcilers.shares import Shares

WEIGHTS = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 9), min_size=1).filter(lambda w: any(w.values()))
TOTALS = st.lists(st.integers(0, 10**9), min_size=1, max_size=20)


def split(total, weights, caps=None):
    found = Shares(weights, caps or {}).split(np.array([total]))
    return {name: int(units[0]) for name, units in found.items()}


@pytest.mark.parametrize(
    ("total", "weights", "caps", "expected"),
    [
        (10, {"web": 70, "amazon": 30}, {}, {"web": 7, "amazon": 3}),
        (1, {"web": 70, "amazon": 30}, {}, {"web": 1, "amazon": 0}),
        (2, {"web": 1, "amazon": 1, "ebay": 1}, {}, {"web": 1, "amazon": 1, "ebay": 0}),
        (10, {"web": 1, "amazon": 1}, {"amazon": 2}, {"web": 8, "amazon": 2}),
        (10, {"web": 1, "amazon": 1}, {"amazon": 2, "web": 3}, {"web": 3, "amazon": 2}),
        (9, {"web": 1, "amazon": 1, "ebay": 1}, {"web": 0, "amazon": 4}, {"web": 0, "amazon": 4, "ebay": 5}),
        (5, {"web": 1, "off": 0}, {}, {"web": 5, "off": 0}),
        (0, {"web": 1, "amazon": 1}, {}, {"web": 0, "amazon": 0}),
    ],
)
def test_by_hand(total, weights, caps, expected):
    assert split(total, weights, caps) == expected


@given(TOTALS, WEIGHTS)
def test_nothing_is_promised_twice_or_lost(totals, weights):
    found = Shares(weights).split(np.array(totals))
    assert sum(found.values()).tolist() == totals
    for name, units in found.items():
        for total, each in zip(totals, units.tolist(), strict=True):
            assert abs(each - Fraction(total * weights[name], sum(weights.values()))) < 1


@given(TOTALS, WEIGHTS, st.dictionaries(st.sampled_from("abcd"), st.integers(0, 10**6)))
def test_caps_hold_and_leave_no_more_than_they_must(totals, weights, caps):
    caps = {name: cap for name, cap in caps.items() if name in weights}
    found = Shares(weights, caps).split(np.array(totals))
    for place, total in enumerate(totals):
        given_out = {name: int(units[place]) for name, units in found.items()}
        assert all(given_out[name] <= cap for name, cap in caps.items())
        uncapped = [name for name, weight in weights.items() if weight and name not in caps]
        if uncapped:
            assert sum(given_out.values()) == total
        else:
            assert sum(given_out.values()) == min(total, sum(caps[name] for name, weight in weights.items() if weight))


@pytest.mark.parametrize(
    ("weights", "caps"), [({"a": -1}, {}), ({"a": 0}, {}), ({}, {}), ({"a": 1}, {"b": 1}), ({"a": 1}, {"a": -1})]
)
def test_shares_check_themselves(weights, caps):
    with pytest.raises(ConfigError, match="shares"):
        Shares(weights, caps)
