"""Balances by the formula of stock: the laws hold for kinds of any name and any effect."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcilers.memory import reconcile
from reconcilers.pairs import Pair, Side
from reconcilers.profiles import EffectProfile

START = datetime(2026, 3, 1, tzinfo=UTC)
MEMBERS = ("00123", *(f"M-{n}" for n in range(1, 12)))
instants = st.integers(0, 47).map(lambda hour: START + timedelta(hours=hour))


@dataclass(frozen=True)
class Movement:
    """Something that happened, and when each side posted it (None: never)."""

    kind: str
    ref: str
    member: str
    quantity: Decimal
    a: datetime | None
    b: datetime | None


@dataclass(frozen=True)
class Programme:
    """What each side's number does on each kind, and what happened."""

    a: dict[str, int]
    b: dict[str, int]
    movements: tuple[Movement, ...]

    def shown(self, side: str, at: datetime) -> dict[str, Decimal]:
        """The numbers of a side, added up in plain Python."""
        effects = getattr(self, side)
        numbers = dict.fromkeys(MEMBERS, Decimal(100))
        for each in self.movements:
            posted = getattr(each, side)
            if posted is not None and posted <= at:
                numbers[each.member] += effects.get(each.kind, 0) * each.quantity
        return numbers

    def feed(self, side: str) -> pa.Table:
        """What a side posted."""
        rows = [
            {
                "kind": each.kind,
                "ref": each.ref,
                "sku": each.member,
                "location": "points",
                "quantity": each.quantity,
                "posted_at": getattr(each, side),
            }
            for each in self.movements
            if getattr(each, side) is not None
        ]
        names = ("kind", "ref", "sku", "location", "quantity", "posted_at")
        return pa.table({name: [row[name] for row in rows] for name in names}) if rows else None


@st.composite
def programmes(
    draw: st.DrawFn, names: tuple[str, ...] = ("EARN", "BURN", "PLACE", "CANCEL", "earn points")
) -> Programme:
    """Kinds of any name and effect, and a few events that each side posts in its own time, or never."""
    effects = st.fixed_dictionaries(dict.fromkeys(names, st.sampled_from([-1, 0, 1]))).filter(lambda e: any(e.values()))
    movements = [
        Movement(
            draw(st.sampled_from(names)),
            f"T-{draw(st.integers(0, 3))}",
            draw(st.sampled_from(MEMBERS)),
            Decimal(draw(st.integers(1, 400))) / 4,
            draw(st.none() | instants),
            draw(st.none() | instants),
        )
        for _ in range(draw(st.integers(0, 32)))
    ]
    return Programme(draw(effects), draw(effects), tuple(movements))


def judged(programme: Programme, at_a: datetime, at_b: datetime, drift: Decimal = Decimal(0)) -> list[dict]:
    sides = [
        Side(f"{side}.points", EffectProfile(f"{side}.points", getattr(programme, side), "balance"), at)
        for side, at in (("a", at_a), ("b", at_b))
    ]
    pair = Pair("a.points~b.points", *sides, now=max(at_a, at_b), own_kinds=True, correct=False)
    numbers = {side: programme.shown(side, at) for side, at in (("a", at_a), ("b", at_b))}
    numbers["a"]["M-1"] += drift
    figures = [
        pa.table({"sku": list(n), "location": ["points"] * len(n), "quantity": list(n.values())})
        for n in (numbers["a"], numbers["b"])
    ]
    found = reconcile(*figures, pair, programme.feed("a"), programme.feed("b"))
    assert not len(found.corrections)
    return sorted(found.levels.to_pylist(), key=lambda level: level["sku"])


@settings(max_examples=10)
@given(programmes(), instants, instants, st.integers(-9, 9))
def test_what_is_unexplained_is_the_drift_and_nothing_else(programme, at_a, at_b, drift):
    """Whatever the kinds are called and do, and whenever each side was read."""
    levels = judged(programme, at_a, at_b, Decimal(drift))
    assert {level["sku"]: level["unexplained"] for level in levels} == {**dict.fromkeys(MEMBERS, 0), "M-1": drift}
    broken = {level["sku"] for level in levels if level["class"] == "BREAK"}
    assert broken == ({"M-1"} if drift else set())


@settings(max_examples=6)
@given(programmes(names=("EARN", "BURN", "FEE")), instants, instants)
def test_what_a_kind_is_called_changes_nothing(programme, at_a, at_b):
    """`CANCEL` of a balance is not that of an order."""
    other = {"EARN": "RECEIPT", "BURN": "CANCEL", "FEE": "SHIP"}
    renamed = Programme(
        {other[kind]: effect for kind, effect in programme.a.items()},
        {other[kind]: effect for kind, effect in programme.b.items()},
        tuple(Movement(other[m.kind], m.ref, m.member, m.quantity, m.a, m.b) for m in programme.movements),
    )
    assert judged(renamed, at_a, at_b) == judged(programme, at_a, at_b)
