"""No false verdict and none missed: what the simulated merchants know, against what the kernel says."""

from __future__ import annotations

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


def reconciled(keys: list[Key], at_a, at_b) -> Reconciled:
    happened = world(keys)
    shop = happened.shown("a", A, at_a)
    for key in keys:
        shop[key.sku, "web"] += key.drift
    sides = [Side("shop", load(A), at_a), Side("erp", load(B), at_b)]
    pair = Pair("shop~erp", *sides, now=NOW, sla={Kind(kind): sla for kind, sla in SLA.items()})
    book = happened.shown("b", B, at_b)
    return reconcile_bucket(Inputs(stock(shop), stock(book), happened.feed("a"), happened.feed("b")), pair)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("a", "b"), READ)
def test_every_key_gets_the_verdict_that_somebody_who_watched_would_give(seed, a, b) -> None:
    keys = merchant(seed)
    said = {
        row["sku"]: (row["class"], row["unexplained"])
        for row in reconciled(keys, hours(a), hours(b)).levels.to_pylist()
    }
    known = {key.sku: key.verdict(hours(a), hours(b)) for key in keys}
    assert {sku: (said[sku], verdict) for sku, verdict in known.items() if said[sku] != verdict} == {}
    assert {verdict for verdict, _ in known.values()} == {"MATCHED", "IN_FLIGHT", "LATE", "CONFLICT", "BREAK"}


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
