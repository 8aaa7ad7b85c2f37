"""Gates before anything is published: each a pure function from facts to a verdict (DOMAIN 2.4).

A gate that trips holds its whole pair. A verdict names the value, the bound and the reason, because
somebody will have to decide whether the data or the bound is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from statistics import median

from reconcilers.durations import format_duration

Amount = Decimal | int | timedelta

#: Runs that a median needs before it says anything.
HISTORY = 3


@dataclass(frozen=True)
class SnapshotFacts:
    """A snapshot that a run stands on: rows now and in the runs before, ages of number and feed.

    `feed_age` is how long ago the feed ends (None: not a feed, or complete).
    """

    name: str
    rows: int
    earlier: tuple[int, ...] = ()
    age: timedelta | None = None
    feed_age: timedelta | None = None


@dataclass(frozen=True)
class Facts:
    """What the gates look at, for one pair of a run.

    `to_zero` counts keys that sell now and would not afterwards, `unmapped` keys that only one system
    knows, `units` and `value` are Σ|delta|, `largest` is max |delta|, `failed` counts critical
    expectations that failed. `superseded_by` is a later run that judged the same pair.
    """

    pair: str
    keys: int
    corrections: int
    units: Decimal
    value: Decimal
    largest: Decimal
    to_zero: int
    unmapped: int = 0
    failed: int = 0
    snapshots: tuple[SnapshotFacts, ...] = ()
    superseded_by: str | None = None


@dataclass(frozen=True)
class Bounds:
    """Up to where each gate stays open; None: it is not asked.

    `row_count`, `to_zero` and `unmapped` are shares, `units` and `largest` base units, `value` money.
    """

    row_count: Decimal | None = None
    to_zero: Decimal | None = None
    unmapped: Decimal | None = None
    corrections: int | None = None
    units: Decimal | None = None
    value: Decimal | None = None
    largest: Decimal | None = None
    age: timedelta | None = None
    feed_age: timedelta | None = None
    expectations: int | None = 0


@dataclass(frozen=True)
class Verdict:
    """What one gate says of one pair; `reason` is a sentence."""

    pair: str
    gate: str
    value: Amount
    bound: Amount
    passed: bool
    reason: str = field(default="")

    def document(self) -> dict[str, object]:
        """The verdict as a row of JSON."""
        shown = {name: _plain(getattr(self, name)) for name in ("value", "bound")}
        return {"pair": self.pair, "gate": self.gate, **shown, "passed": self.passed, "reason": self.reason}


def judge(facts: Facts, bounds: Bounds) -> list[Verdict]:
    """The verdicts of all gates that have a bound, in the order of `GATES`."""
    found = [verdict for gate in GATES.values() for verdict in gate(facts, bounds)]
    if facts.superseded_by is not None:
        reason = f"run {facts.superseded_by} has judged the pair since; publish that one"
        found.insert(0, Verdict(facts.pair, "superseded", 1, 0, False, reason))
    return found


def row_count(facts: Facts, bounds: Bounds) -> Iterator[Verdict]:
    """A snapshot with far fewer or more rows than usual was cut off, or is of something else."""
    if bounds.row_count is None:
        return
    for each in facts.snapshots:
        if len(each.earlier) >= HISTORY:
            usual = Decimal(str(median(each.earlier)))
            change = abs(each.rows - usual) / max(usual, Decimal(1))
            told = f"{each.name} has {each.rows:,} rows, usually {usual:,.0f}"
            yield _verdict(facts, "row_count", _share(change), bounds.row_count, told)


def to_zero(facts: Facts, bounds: Bounds) -> Iterator[Verdict]:
    """Many keys that go out of sale at once are a broken export more often than a sold-out shop."""
    told = f"{facts.to_zero:,} of {facts.keys:,} keys would go to zero"
    yield from _bounded(facts, "to_zero", _share(_of(facts.to_zero, facts.keys)), bounds.to_zero, told)


def unmapped(facts: Facts, bounds: Bounds) -> Iterator[Verdict]:
    """Many keys that only one system knows are a mapping that broke."""
    told = f"{facts.unmapped:,} of {facts.keys:,} keys are known to one system only"
    yield from _bounded(facts, "unmapped", _share(_of(facts.unmapped, facts.keys)), bounds.unmapped, told)


def corrections(facts: Facts, bounds: Bounds) -> Iterator[Verdict]:
    """How many corrections at once."""
    told = f"{facts.corrections:,} corrections"
    yield from _bounded(facts, "corrections", facts.corrections, bounds.corrections, told)


def units(facts: Facts, bounds: Bounds) -> Iterator[Verdict]:
    """How many units in all, added up and taken away alike."""
    yield from _bounded(facts, "units", facts.units, bounds.units, f"corrections of {_plain(facts.units)} units in all")


def value(facts: Facts, bounds: Bounds) -> Iterator[Verdict]:
    """How much money in all."""
    yield from _bounded(facts, "value", facts.value, bounds.value, f"corrections worth {_plain(facts.value)} in all")


def largest(facts: Facts, bounds: Bounds) -> Iterator[Verdict]:
    """The largest single correction."""
    told = f"the largest correction is of {_plain(facts.largest)} units"
    yield from _bounded(facts, "largest", facts.largest, bounds.largest, told)


def age(facts: Facts, bounds: Bounds) -> Iterator[Verdict]:
    """Numbers that are old say little about now; numbers of the future say that a clock is wrong."""
    for each in facts.snapshots:
        if bounds.age is not None and each.age is not None:
            told = f"{each.name} is {_hours(each.age)} old"
            passed = timedelta(0) <= each.age <= bounds.age
            yield Verdict(facts.pair, "age", each.age, bounds.age, passed, told)


def feed_age(facts: Facts, bounds: Bounds) -> Iterator[Verdict]:
    """Orders that are not known yet are not subtracted."""
    for each in facts.snapshots:
        if bounds.feed_age is not None and each.feed_age is not None:
            told = f"{each.name} ends {_hours(each.feed_age)} ago"
            yield _verdict(facts, "feed_age", each.feed_age, bounds.feed_age, told)


def expectations(facts: Facts, bounds: Bounds) -> Iterator[Verdict]:
    """Data that failed its expectations."""
    told = f"{facts.failed:,} critical expectations failed"
    yield from _bounded(facts, "expectations", facts.failed, bounds.expectations, told)


#: Every gate by the key of its bound, in the order in which they are told.
GATES: Mapping[str, Callable[[Facts, Bounds], Iterator[Verdict]]] = {
    gate.__name__: gate
    for gate in (expectations, age, feed_age, row_count, unmapped, to_zero, corrections, units, value, largest)
}


def _bounded(facts: Facts, gate: str, found: Amount, bound: Amount | None, told: str) -> Iterator[Verdict]:
    if bound is not None:
        yield _verdict(facts, gate, found, bound, told)


def _verdict(facts: Facts, gate: str, found: Amount, bound: Amount, told: str) -> Verdict:
    return Verdict(facts.pair, gate, found, bound, found <= bound, told)  # type: ignore[operator]


def _of(part: int, whole: int) -> Decimal:
    return Decimal(part) / whole if whole else Decimal(0)


def _share(exact: Decimal) -> Decimal:
    """A share to four places, rounded up so that what is beyond a bound never looks equal to it."""
    return exact.quantize(Decimal("0.0001"), rounding="ROUND_UP")


def _plain(amount: Amount) -> str | int:
    if isinstance(amount, timedelta):
        return _spoken(amount)
    return amount if isinstance(amount, int) else f"{amount.normalize():f}"


def _hours(span: timedelta) -> str:
    """`5 h 12 min`; a sign where it is of the future."""
    minutes = round(abs(span).total_seconds() / 60)
    return f"{'-' if span < timedelta(0) else ''}{minutes // 60} h {minutes % 60} min"


def _spoken(span: timedelta) -> str:
    whole = timedelta(seconds=round(abs(span).total_seconds()))
    return ("-" if span < timedelta(0) else "") + format_duration(whole)
