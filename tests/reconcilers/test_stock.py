"""The laws of the formula, on generated merchants."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcilers.pairs import Pair, Side, Tolerance
from reconcilers.profiles import load
from reconcilers.references import Normaliser
from reconcilers.schemas import Kind
from reconcilers.stock import Inputs, Reconciled, reconcile_bucket

sys.path.insert(0, str(Path(__file__).parent))
from merchants import EFFECTS, Event, World, hours, stock

SLA = {kind: timedelta(days=30) for kind in Kind}

instants = st.integers(0, 96).map(hours)
quantities = st.integers(1, 9).map(Decimal)
#: A call of the kernel takes as long for many keys as for one: an example has many, and there are few examples.
KEYS = [(sku, place) for sku in ("00123", *(f"S{n}" for n in range(1, 9))) for place in ("L1", "L2")]
keys = st.sampled_from(KEYS)
amounts = st.integers(-9, 9).filter(bool).map(Decimal)
drifts = st.dictionaries(keys, amounts, min_size=1, max_size=6)
laws = settings(max_examples=12)


@st.composite
def order_lines(draw: st.DrawFn, number: int) -> list[Event]:
    """One line's whole life: placed, imported, shipped in parts, the rest perhaps cancelled, returned."""
    sku, location = draw(keys)
    ordered = draw(st.integers(1, 6))
    ref = f"web/{1000 + number}/1"
    at = draw(st.integers(0, 60))

    def event(kind: str, quantity: int, a: int | None, b: int | None) -> Event:
        return Event(
            kind,
            ref,
            Decimal(quantity),
            None if a is None else hours(a),
            None if b is None else hours(b),
            sku,
            location,
        )

    events = [event("PLACE", ordered, at, draw(st.none() | st.just(at + 1)))]
    shipped = draw(st.integers(0, ordered))
    if shipped:
        events.append(event("SHIP", shipped, None, at + draw(st.integers(2, 30))))
    if shipped < ordered and draw(st.booleans()):
        cancelled_at = at + draw(st.integers(2, 30))
        events.append(event("CANCEL", ordered - shipped, cancelled_at, None))
    if shipped and draw(st.booleans()):
        back = draw(st.integers(1, shipped))
        restocked_at = draw(st.none() | st.integers(32, 90))
        received_at = draw(st.none() | st.integers(32, 90))
        if restocked_at is not None:
            events.append(event("RESTOCK", back, restocked_at, None))
        if received_at is not None:
            events.append(event("RETURN_RECV", back, None, received_at))
    return events


@st.composite
def movements(draw: st.DrawFn, number: int) -> list[Event]:
    """A receipt, transfer, adjustment or store sale that each side posts in its own time, in parts, or never."""
    sku, location = draw(keys)
    kind = draw(st.sampled_from(["RECEIPT", "XFER_IN", "XFER_OUT", "ADJUST", "POS_SALE", "POS_RETURN"]))
    quantity = draw(st.integers(-5, 5).filter(bool)) if kind == "ADJUST" else draw(st.integers(1, 5))
    a, b = draw(st.none() | instants), draw(st.none() | instants)
    whole = Event(kind, f"doc/{number}", Decimal(quantity), a, b, sku, location)
    if a is None or quantity < 2 or draw(st.booleans()):
        return [whole]
    parts = [(quantity - 1, a, None), (1, draw(instants), None), (quantity, None, b)]
    return [replace(whole, quantity=Decimal(part), a=at_a, b=at_b) for part, at_a, at_b in parts]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Lines and movements, one or two a key on average."""
    events: list[Event] = []
    for number in range(draw(st.integers(0, 30))):
        events += draw(order_lines(number) if draw(st.booleans()) else movements(number))
    return World(tuple(events), {key: Decimal(draw(st.integers(0, 50))) for key in KEYS})


def reconcile_world(
    world: World,
    at_a,
    at_b,
    profile_a: str = "storefront.available",
    profile_b: str = "erp.on_hand",
    drift: dict[tuple[str, str], Decimal] | None = None,
    **pair,
) -> Reconciled:
    numbers = world.shown("a", profile_a, at_a)
    for key, amount in (drift or {}).items():
        numbers[key] += amount
    inputs = Inputs(
        stock(numbers),
        stock(world.shown("b", profile_b, at_b)),
        world.feed("a"),
        world.feed("b"),
    )
    sides = [Side(name.split(".")[0], load(name), at) for name, at in ((profile_a, at_a), (profile_b, at_b))]
    pair = {"now": max(at_a, at_b), "sla": SLA, **pair}
    return reconcile_bucket(inputs, Pair("a~b", *sides, **pair))


def unexplained(result: Reconciled) -> dict[tuple[str, str], Decimal]:
    return {(r["sku"], r["location"]): r["unexplained"] for r in result.levels.to_pylist()}


def classes(result: Reconciled) -> dict[tuple[str, str], str]:
    return {(r["sku"], r["location"]): r["class"] for r in result.levels.to_pylist()}


@laws
@given(
    worlds(),
    instants,
    instants,
    st.sampled_from(["storefront.available"]),
    st.sampled_from(["erp.on_hand", "wms.on_hand"]),
)
def test_whatever_the_two_instants_nothing_is_unexplained(world, at_a, at_b, a, b) -> None:
    """Cutoff invariance: the formula holds for any pair of as-of instants, so for any common cutoff too."""
    if b == "wms.on_hand":
        world = World(tuple(e for e in world.events if not e.kind.startswith("POS_")), world.opening)
    result = reconcile_world(world, at_a, at_b, a, b)
    assert set(unexplained(result).values()) <= {Decimal(0)}
    assert not {"BREAK", "AMBIGUOUS"} & set(classes(result).values())


@laws
@given(worlds(), instants, instants, drifts)
def test_drift_is_found_to_the_unit_wherever_it_hides(world, at_a, at_b, drift) -> None:
    result = reconcile_world(world, at_a, at_b, drift=drift)
    assert {k: u for k, u in unexplained(result).items() if u} == drift
    assert {k for k, c in classes(result).items() if c == "BREAK"} == set(drift)


@laws
@given(worlds(), instants, instants, drifts)
def test_swapping_target_and_authority_negates_what_is_unexplained(world, at_a, at_b, drift) -> None:
    forward = reconcile_world(world, at_a, at_b, drift=drift)
    mirror = World(
        tuple(Event(e.kind, e.ref, e.quantity, e.b, e.a, e.sku, e.location) for e in world.events),
        world.opening,
    )
    numbers = world.shown("a", "storefront.available", at_a)
    for key, amount in drift.items():
        numbers[key] += amount
    backward = reconcile_bucket(
        Inputs(stock(world.shown("b", "erp.on_hand", at_b)), stock(numbers), mirror.feed("a"), mirror.feed("b")),
        Pair(
            "b~a",
            Side("erp", load("erp.on_hand"), at_b),
            Side("storefront", load("storefront.available"), at_a),
            now=max(at_a, at_b),
            sla=SLA,
        ),
    )
    assert unexplained(backward) == {k: -u for k, u in unexplained(forward).items()}


@laws
@given(st.data())
def test_order_and_redelivery_of_feed_rows_change_nothing(data) -> None:
    world = data.draw(worlds())
    numbered = World(
        tuple(
            Event(e.kind, e.ref, e.quantity, e.a, e.b, e.sku, e.location, None, f"E{i}")
            for i, e in enumerate(world.events)
        ),
        world.opening,
    )
    again = data.draw(st.lists(st.sampled_from(numbered.events), max_size=15)) if numbered.events else []
    shuffled = World(tuple(data.draw(st.permutations([*numbered.events, *again]))), world.opening)
    at_a, at_b = data.draw(instants), data.draw(instants)
    numbers = (
        stock(numbered.shown("a", "storefront.available", at_a)),
        stock(numbered.shown("b", "erp.on_hand", at_b)),
    )
    pair = Pair(
        "a~b",
        Side("storefront", load("storefront.available"), at_a),
        Side("erp", load("erp.on_hand"), at_b),
        now=max(at_a, at_b),
        sla=SLA,
    )
    once = reconcile_bucket(Inputs(*numbers, numbered.feed("a"), numbered.feed("b")), pair)
    twice = reconcile_bucket(Inputs(*numbers, shuffled.feed("a"), shuffled.feed("b")), pair)
    assert rows(once.levels) == rows(twice.levels)
    assert rows(once.in_flight) == rows(twice.in_flight)


@laws
@given(worlds(), instants, instants)
def test_the_documents_in_flight_add_up_to_the_expected_difference(world, at_a, at_b) -> None:
    result = reconcile_world(world, at_a, at_b)
    explained: Counter[tuple[str, str]] = Counter()
    for document in result.in_flight.to_pylist():
        explained[document["sku"], document["location"]] += document["quantity"]
    for row in result.levels.to_pylist():
        assert row["raw_diff"] == row["quantity_a"] - row["quantity_b"]
        assert row["expected_diff"] == explained[row["sku"], row["location"]]
        assert row["unexplained"] == row["raw_diff"] - row["expected_diff"]


@laws
@given(
    st.lists(st.tuples(st.sampled_from(["S1", "S2", "S3"]), st.integers(1, 9), instants, st.none() | instants)),
    instants,
)
def test_a_transfer_changes_no_network_total(transfers, at) -> None:
    """Conservation: both legs posted by one system at one instant leave the sum over places as it was."""
    events: list[Event] = []
    for number, (sku, quantity, a, b) in enumerate(transfers):
        for kind, place in (("XFER_OUT", "L1"), ("XFER_IN", "L2")):
            events.append(Event(kind, f"transfer/{number}", Decimal(quantity), a, b, sku, place))
    opening = {(sku, place): Decimal(100) for sku in ("S1", "S2", "S3") for place in ("L1", "L2")}
    result = reconcile_world(World(tuple(events), opening), at, at, "pos.on_hand", "erp.on_hand")
    for sku in ("S1", "S2", "S3"):
        levels = [row for row in result.levels.to_pylist() if row["sku"] == sku]
        assert sum(r["expected_diff"] for r in levels) == 0
        assert sum(r["quantity_a"] for r in levels) == sum(r["quantity_b"] for r in levels) == 200


@laws
@given(st.lists(st.tuples(keys, st.integers(1, 9), instants, st.none() | instants)), instants, instants)
def test_a_transfer_inside_a_pool_is_on_its_way_or_nothing(transfers, at_a, at_b) -> None:
    """The shop's one number for both places never reacts; out and in are booked in any order, or out alone."""
    events = []
    for number, ((sku, place), quantity, out, arrived) in enumerate(transfers):
        leg = Event("XFER_OUT", f"transfer/{number}", Decimal(quantity), None, out, sku, place)
        events += [leg, replace(leg, kind="XFER_IN", b=arrived, location="L1" if place == "L2" else "L2")]
    opening = dict.fromkeys(KEYS, Decimal(100))
    pooled = Inputs(
        stock({(sku, "web"): Decimal(200) for sku, _ in KEYS}),
        stock(World(tuple(events), opening).shown("b", "erp.on_hand", at_b)),
        World(()).feed("a"),
        World(tuple(events)).feed("b"),
    )
    sides = Side("storefront", load("storefront.available"), at_a), Side("erp", load("erp.on_hand"), at_b)
    pair = Pair("a~b", *sides, now=max(at_a, at_b), sla=SLA, locations={"web": ("L1", "L2")})
    result = reconcile_bucket(pooled, pair)
    assert set(unexplained(result).values()) == {Decimal(0)}
    assert {r["reason"] for r in result.in_flight.to_pylist()} <= {"TRANSFER_IN_TRANSIT"}


@laws
@given(worlds(), instants, instants)
def test_closed_lines_may_be_left_out_of_the_feeds(world, at_a, at_b) -> None:
    """Closing lemma: a line that both sides have counted to the end adds nothing."""
    early = min(at_a, at_b)

    def closed(ref: str) -> bool:
        line = [e for e in world.events if e.ref == ref]
        posted = [t for e in line for t in (e.a, e.b) if t is not None]
        # what went out and what came back are two chains: an open order is not closed by a return as large
        chains = [[e for e in line if (e.kind in ("RESTOCK", "RETURN_RECV")) is back] for back in (False, True)]
        return max(posted, default=early) <= early and all(
            counted(chain, "a", "storefront.available") == counted(chain, "b", "erp.on_hand") for chain in chains
        )

    def counted(chain: list[Event], side: str, profile: str) -> Decimal:
        return sum((e.quantity * EFFECTS[profile].get(e.kind, 0) for e in chain if getattr(e, side)), Decimal(0))

    full = reconcile_world(world, at_a, at_b)
    open_only = World(tuple(e for e in world.events if not closed(e.ref)), world.opening)
    inputs = Inputs(
        stock(world.shown("a", "storefront.available", at_a)),
        stock(world.shown("b", "erp.on_hand", at_b)),
        open_only.feed("a"),
        open_only.feed("b"),
    )
    pair = Pair(
        "a~b",
        Side("storefront", load("storefront.available"), at_a),
        Side("erp", load("erp.on_hand"), at_b),
        now=max(at_a, at_b),
        sla=SLA,
    )
    assert rows(reconcile_bucket(inputs, pair).levels) == rows(full.levels)


def rows(table: pa.Table) -> Counter[tuple]:
    return Counter(tuple(row.items()) for row in table.to_pylist())


def orders(*quantities_: int) -> World:
    events = tuple(Event("PLACE", f"#10{i}", Decimal(q), hours(1), None) for i, q in enumerate(quantities_))
    return World(events, {("S1", "L1"): Decimal(20)})


def one(result: Reconciled) -> dict:
    (row,) = result.levels.to_pylist()
    return row


def test_references_of_both_sides_meet_after_their_prefixes_are_off() -> None:
    world = World(
        (
            Event("PLACE", "#1001", Decimal(2), hours(1)),
            Event("SHIP", "WEB-1001", Decimal(2), None, hours(5)),
        ),
        {("S1", "L1"): Decimal(20)},
    )
    apart = reconcile_world(world, hours(6), hours(6))
    together = reconcile_world(
        world, hours(6), hours(6), references_a=Normaliser(("#",)), references_b=Normaliser(("WEB-",))
    )
    assert one(apart)["class"] == "BREAK"  # the shipment's beginning is nowhere, so it does not count
    assert one(together)["class"] == "MATCHED"


def test_leading_zeros_of_a_reference_are_significant() -> None:
    assert Normaliser(("#",)).sql("ref") != Normaliser().sql("ref")
    world = World(
        (
            Event("PLACE", "#0042", Decimal(2), hours(1)),
            Event("SHIP", "42", Decimal(2), None, hours(5)),
        ),
        {("S1", "L1"): Decimal(20)},
    )
    result = reconcile_world(world, hours(6), hours(6), references_a=Normaliser(("#",)))
    assert {d["ref"] for d in result.in_flight.to_pylist()} == {"0042"}


def test_one_pooled_number_against_two_warehouses() -> None:
    numbers_a = {("S1", "web"): Decimal(28), ("S9", "shop"): Decimal(1)}
    numbers_b = {("S1", "BER"): Decimal(20), ("S1", "HAM"): Decimal(10), ("S1", "STORE"): Decimal(5)}
    pair = Pair(
        "a~b",
        Side("storefront", load("storefront.available"), hours(6)),
        Side("erp", load("erp.on_hand"), hours(6)),
        now=hours(6),
        locations={"web": ("BER", "HAM")},
        sla=SLA,
    )
    placed = World((Event("PLACE", "1", Decimal(2), hours(1), None, "S1", "web"),))
    shipped = World((Event("SHIP", "1", Decimal(1), None, hours(2), "S1", "HAM"),))
    numbers_b["S1", "HAM"] -= 1
    result = reconcile_bucket(Inputs(stock(numbers_a), stock(numbers_b), placed.feed("a"), shipped.feed("b")), pair)
    row = one(result)
    assert (row["quantity_b"], row["expected_diff"], row["unexplained"]) == (29, -1, 0)
    assert row["class"] == "IN_FLIGHT"


def test_a_key_that_only_one_side_lists_is_missing_unless_the_export_leaves_out_zeros() -> None:
    inputs = Inputs(stock({("S1", "L1"): Decimal(4)}), stock({("S2", "L1"): Decimal(5)}))
    a, b = (Side(n.split(".")[0], load(n), hours(1)) for n in ("storefront.available", "erp.on_hand"))
    assert classes(reconcile_bucket(inputs, Pair("a~b", a, b, hours(1)))) == {
        ("S1", "L1"): "MISSING_IN_B",
        ("S2", "L1"): "MISSING_IN_A",
    }
    sparse = Side("erp", load("erp.on_hand"), hours(1), absent=Decimal(0))
    levels = reconcile_bucket(inputs, Pair("a~b", a, sparse, hours(1)))
    assert classes(levels)["S1", "L1"] == "BREAK"
    assert unexplained(levels)["S1", "L1"] == 4


@pytest.mark.parametrize(
    ("shown", "tolerance", "verdict"),
    [
        (21, Tolerance(absolute=Decimal(1)), "MATCHED"),
        (22, Tolerance(absolute=Decimal(1)), "BREAK"),
        (22, Tolerance(relative=Decimal("0.1")), "MATCHED"),
        (23, Tolerance(relative=Decimal("0.1")), "BREAK"),
    ],
)
def test_tolerance_absolute_and_relative(shown, tolerance, verdict) -> None:
    drift = {("S1", "L1"): Decimal(shown - 20)}
    world = World((), {("S1", "L1"): Decimal(20)})
    assert one(reconcile_world(world, hours(1), hours(1), drift=drift, tolerance=tolerance))["class"] == verdict


def test_tolerance_never_crosses_zero() -> None:
    world = World((), {("S1", "L1"): Decimal(0)})
    result = reconcile_world(
        world, hours(1), hours(1), drift={("S1", "L1"): Decimal(1)}, tolerance=Tolerance(Decimal(1))
    )
    assert one(result)["class"] == "BREAK"  # the shop sells one that does not exist
    assert result.breaks.to_pylist()[0]["severity"] == "critical"


def test_the_same_break_keeps_its_identity_and_grows_older() -> None:
    world = World((), {("S1", "L1"): Decimal(5)})
    drift = {("S1", "L1"): Decimal(2)}
    numbers = {("S1", "L1"): Decimal(7)}
    pair = Pair(
        "a~b",
        Side("storefront", load("storefront.available"), hours(1)),
        Side("erp", load("erp.on_hand"), hours(1)),
        now=hours(1),
        debounce=2,
    )
    wrong = Inputs(stock(numbers), stock(world.opening))
    right = Inputs(stock(world.opening), stock(world.opening))
    first = reconcile_bucket(wrong, pair, "run1")
    second = reconcile_bucket(wrong, pair, "run2", first.breaks.select(first.closed.column_names))
    third = reconcile_bucket(right, pair, "run3", second.breaks.select(first.closed.column_names))
    fourth = reconcile_bucket(wrong, pair, "run4", third.closed)
    ages = [
        (b["break_id"], b["first_seen_run"], b["last_seen_run"], b["runs_seen"], b["status"])
        for r in (first, second, fourth)
        for b in r.breaks.to_pylist()
    ]
    (identity,) = {age[0] for age in ages}
    assert [age[1:] for age in ages] == [
        ("run1", "run1", 1, "OPEN"),
        ("run1", "run2", 2, "OPEN"),
        ("run4", "run4", 1, "REOPENED"),
    ]
    assert [c["break_id"] for c in third.closed.to_pylist()] == [identity]
    assert not third.breaks.num_rows
    assert [r.corrections.num_rows for r in (first, second, third, fourth)] == [0, 1, 0, 0]
    assert drift[("S1", "L1")] == -second.corrections.to_pylist()[0]["delta"]


def test_a_break_that_closes_into_an_open_order_stays_one_break() -> None:
    """Broken, then only an order on its way, then broken again: one row and one correction a run."""
    placed = World((Event("PLACE", "web/1/1", Decimal(2), hours(0)),), {("S1", "L1"): Decimal(9)})
    sides = [Side(name.split(".")[0], load(name), hours(1)) for name in ("storefront.available", "erp.on_hand")]
    pair = Pair("a~b", *sides, now=hours(1), sla=SLA)
    shown = placed.shown("a", "storefront.available", hours(1))
    right = Inputs(stock(shown), stock(placed.opening), placed.feed("a"), placed.feed("b"))
    wrong = Inputs(stock({("S1", "L1"): shown["S1", "L1"] + 3}), right.stock_b, right.events_a, right.events_b)
    previous, seen = None, []
    for number, inputs in enumerate((wrong, right, wrong, right, right)):
        result = reconcile_bucket(inputs, pair, f"run{number}", previous)
        seen += [(b["class"], b["status"], b["runs_seen"]) for b in result.breaks.to_pylist()]
        assert result.corrections.num_rows == (inputs is wrong)
        names = result.closed.column_names
        previous = pa.concat_tables([result.breaks.select(names), result.closed])
    assert seen == [
        ("BREAK", "OPEN", 1),
        ("IN_FLIGHT", "TRANSIENT", 1),
        ("BREAK", "REOPENED", 1),
        ("IN_FLIGHT", "TRANSIENT", 1),
        ("IN_FLIGHT", "TRANSIENT", 2),
    ]


def test_counts_close() -> None:
    result = reconcile_world(orders(2, 3), hours(2), hours(2), drift={("S1", "L1"): Decimal(1)})
    tally = result.tally.to_pylist()
    assert sum(t["keys"] for t in tally) == result.levels.num_rows
    assert [(t["class"], t["units"]) for t in tally] == [("BREAK", 1)]
