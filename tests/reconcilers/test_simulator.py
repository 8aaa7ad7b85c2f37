"""No false verdict and none missed: what the simulated merchants know, against what the kernel says."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest

from reconcilers.pairs import Pair, Side
from reconcilers.profiles import load
from reconcilers.schemas import Kind
from reconcilers.stock import Inputs, Reconciled, reconcile_bucket

sys.path.insert(0, str(Path(__file__).parent))
from merchants import hours, stock
from simulator import FAULTY, HEALTHY, NOW, SLA, A, B, Clerk, Key, merchant, world

#: As-of instants of the two numbers, in hours: read together, and either one before the other.
READ = [(240, 240), (238, 239.5), (239.5, 237)]


def reconciled(keys: list[Key], at_a, at_b, shows: str = A) -> Reconciled:
    """The verdicts where both numbers are configured as what they are, but for one of the shop that `shows` another."""
    happened = world(keys)
    shop = happened.shown("a", shows, at_a)
    for key in keys:
        shop[key.sku, "web"] += key.drift
    sides = [Side("shop", load(A), at_a), Side("erp", load(B), at_b)]
    pair = Pair("shop~erp", *sides, now=NOW, sla={Kind(kind): sla for kind, sla in SLA.items()})
    book = happened.shown("b", B, at_b)
    return reconcile_bucket(Inputs(stock(shop), stock(book), happened.feed("a"), happened.feed("b")), pair)


#: What only a wrong configuration brings about.
CONFIGURED = {"BASIS_MISMATCH", "TIMEZONE", "ROUNDING"}


def causes(result: Reconciled) -> dict[str, set[str]]:
    """The causes of each kind of configuration that are told, and at which SKUs."""
    told: dict[str, set[str]] = {}
    for row in result.breaks.to_pylist():
        for cause in json.loads(row["causes"]):
            told.setdefault(cause["reason"], set()).add(row["sku"])
    return {reason: skus for reason, skus in told.items() if reason in CONFIGURED}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("a", "b"), READ)
def test_every_key_gets_the_verdict_that_somebody_who_watched_would_give(seed, a, b) -> None:
    keys = merchant(seed)
    result = reconciled(keys, hours(a), hours(b))
    said = {row["sku"]: (row["class"], row["unexplained"]) for row in result.levels.to_pylist()}
    assert causes(result) == {}
    known = {key.sku: key.verdict(hours(a), hours(b)) for key in keys}
    assert {sku: (said[sku], verdict) for sku, verdict in known.items() if said[sku] != verdict} == {}
    assert {verdict for verdict, _ in known.values()} == {"MATCHED", "IN_FLIGHT", "LATE", "CONFLICT", "BREAK"}


@pytest.mark.parametrize("seed", range(4))
def test_a_number_of_another_kind_is_told_at_every_key_that_it_breaks(seed) -> None:
    """The shop shows what is on the shelf, and is configured to show what can be promised."""
    rng = random.Random(seed)
    keys = [Key(f"S{n}") for n in range(100)]
    for key in keys:
        key.stories = [rng.choice(HEALTHY)(Clerk(rng, key.sku, n)) for n in range(rng.randint(0, 3))]
    result = reconciled(keys, NOW, NOW, shows="erp.on_hand")
    broken = {row["sku"] for row in result.levels.to_pylist() if row["class"] == "BREAK"}
    assert causes(result) == {"BASIS_MISMATCH": broken}


@pytest.mark.parametrize("fault", FAULTY, ids=lambda fault: fault.__name__)
def test_a_fault_is_called_by_its_name_whatever_else_happens_to_the_key(fault) -> None:
    rng = random.Random(fault.__name__)
    keys = [Key(f"S{n}") for n in range(40)]
    for key in keys:
        others = [rng.choice(HEALTHY)(Clerk(rng, key.sku, n)) for n in range(1, rng.randint(1, 4))]
        key.stories = [fault(Clerk(rng, key.sku, 0)), *others]
    result = reconciled(keys, NOW, NOW)
    documents = {row["ref"]: (row["class"], row["reason"]) for row in result.in_flight.to_pylist()}
    reasons = {row["sku"]: row["reason"] for row in result.levels.to_pylist()}
    for key in keys:
        story = key.stories[0]
        if story.because:
            assert reasons[key.sku] == story.because
        else:
            wanted = ("CONFLICT", story.conflict) if story.conflict else ("LATE", story.late)
            assert documents[story.events[0].ref] == wanted
