"""What a report says, as data. Text and HTML are functions of these records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Generic, TypeVar

from reconcilers.schemas import Class, Reason
from reports import words
from reports.nouns import STOCK, Nouns, reworded

if TYPE_CHECKING:
    from reports.comparison import ComparisonReport
    from reports.orders import Finding, OrdersReport, StockLink

#: The classes that somebody has to act on.
FAULTS = (Class.BREAK, Class.CONFLICT, Class.LATE)
#: From what cannot wait to what can.
SEVERITIES = ("critical", "high", "medium", "low")

Row = TypeVar("Row")


@dataclass(frozen=True)
class Listing(Generic[Row]):
    """The rows worth showing, and how many there are in all."""

    rows: tuple[Row, ...]
    total: int

    @property
    def more(self) -> int:
        """How many are not shown."""
        return self.total - len(self.rows)


@dataclass(frozen=True)
class Group:
    """Keys of a pair that mean the same to a reader: how many, how many units, and their value."""

    name: str
    words: str
    meaning: str
    keys: int
    units: Decimal
    value: Decimal


@dataclass(frozen=True)
class Cause:
    """Something that may be behind a difference: a reason, how much of it, and the document."""

    reason: str
    quantity: Decimal
    evidence: str

    @property
    def words(self) -> str:
        """What it is."""
        return words.name("", self.reason)


def suspect(reason: str | None, causes: Sequence[Cause]) -> Cause | None:
    """The most probable cause of a key whose reason is not known, or looks like another one.

    An order of a bundle that is booked elsewhere looks like one that never came.
    """
    unknown = reason in (None, Reason.UNEXPLAINED)
    return causes[0] if causes and (unknown or causes[0].reason == Reason.BUNDLE_NOT_EXPLODED) else None


@dataclass(frozen=True)
class Fault:
    """One key that somebody has to look after: a row of the breaks."""

    sku: str
    location: str
    class_name: str
    reason: str | None
    severity: str
    status: str
    quantity_a: Decimal | None
    quantity_b: Decimal | None
    expected_diff: Decimal | None
    unexplained: Decimal | None
    value: Decimal | None
    first_seen_run: str
    runs_seen: int
    causes: tuple[Cause, ...]
    nouns: Nouns = STOCK

    @property
    def rank(self) -> int:
        """The severity as a number, 0 for the worst."""
        return SEVERITIES.index(self.severity)

    @property
    def suspected(self) -> Cause | None:
        """The most probable cause of what the verdict alone does not explain, or wrongly."""
        return suspect(self.reason, self.causes)

    @property
    def words(self) -> str:
        """What it is, or what it probably is."""
        perhaps = f", perhaps {self.suspected.words}" if self.suspected else ""
        return words.name(self.class_name, self.reason) + perhaps

    @property
    def advice(self) -> str:
        """What to do about it."""
        advice = words.advice(self.class_name, self.suspected.reason if self.suspected else self.reason)
        return reworded(advice, self.nouns)


@dataclass(frozen=True)
class Document:
    """An order or movement that only one side has counted."""

    ref: str
    kind: str
    sku: str
    location: str
    quantity: Decimal
    posted_at: datetime | None
    clears_by: datetime | None
    class_name: str
    reason: str

    @property
    def words(self) -> str:
        """What it is."""
        return words.name("", self.reason)

    @property
    def state(self) -> str:
        """Whether it can still clear in time."""
        return {"LATE": "overdue", "CONFLICT": "never clears"}.get(self.class_name, "in time")


@dataclass(frozen=True)
class Flow:
    """Documents with one reason that are on their way, and between when they should have cleared."""

    reason: str
    documents: int
    units: Decimal
    first_due: datetime | None
    last_due: datetime | None

    @property
    def words(self) -> str:
        """What it is."""
        return words.name("", self.reason)


@dataclass(frozen=True)
class Correction:
    """What the target should be told about one key."""

    sku: str
    location: str
    change_from: Decimal | None
    value: Decimal
    delta: Decimal
    reason: str | None
    status: str

    @property
    def words(self) -> str:
        """Why."""
        return words.name("", self.reason) if self.reason else ""


@dataclass(frozen=True)
class Unjudged:
    """Keys of a pair that nothing can be said about, and why."""

    class_name: str
    words: str
    advice: str
    keys: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Alias:
    """A suggestion: what only the target knows may be what only the authority knows."""

    sku_a: str
    sku_b: str
    units: Decimal


@dataclass(frozen=True)
class PairReport:
    """What is known about one pair; `reasons` counts the keys of each (class, reason)."""

    name: str
    target: str
    authority: str
    keys: int
    groups: tuple[Group, ...]
    reasons: tuple[tuple[str, str, int], ...]
    price_known: float
    units_a: Decimal
    units_b: Decimal
    faults: Listing[Fault]
    overdue: Listing[Document]
    flows: tuple[Flow, ...]
    moving: Listing[Document]
    corrections: Listing[Correction]
    unjudged: tuple[Unjudged, ...]
    aliases: tuple[Alias, ...]
    lines_cut_off: int
    nouns: Nouns = STOCK

    def group(self, name: str) -> Group:
        """One of the groups."""
        return next(group for group in self.groups if group.name == name)

    @property
    def faulty(self) -> int:
        """How many keys need somebody."""
        return sum(self.group(name).keys for name in ("late", "conflict", "break"))


@dataclass(frozen=True)
class Quality:
    """One snapshot, and how it fared with its expectations; `rows` is None where none was taken."""

    system: str
    dataset: str
    snapshot_id: str
    as_of: datetime | None
    rows: int | None
    rejected: int
    reject_reasons: tuple[tuple[str, int], ...]
    evaluated: int
    failed: int
    critical: tuple[str, ...]
    messages: tuple[str, ...]

    @property
    def name(self) -> str:
        """System and dataset."""
        return f"{self.system}/{self.dataset}"

    @property
    def met(self) -> str:
        """How many expectations were met."""
        return f"{self.evaluated - self.failed:,} of {self.evaluated:,}" if self.evaluated else "not checked"


@dataclass(frozen=True)
class Gate:
    """A bound that the run was held to."""

    pair: str
    name: str
    value: Decimal
    bound: Decimal
    passed: bool


@dataclass(frozen=True)
class Report:
    """A run, ready to be shown; `status` is refused, attention, unjudged or good."""

    run_id: str
    job: str
    now: datetime
    finished_at: datetime
    tool_version: str
    status: str
    lead: str
    rest: str
    pairs: tuple[PairReport, ...]
    quality: tuple[Quality, ...]
    gates: tuple[Gate, ...]
    timings: tuple[tuple[str, float], ...]
    comparisons: tuple[ComparisonReport, ...] = ()
    orders: tuple[OrdersReport, ...] = ()

    def orders_of(self, pair: str, fault: Fault) -> list[tuple[str, Finding]]:
        """The findings of orders that the stock number of a fault is explained by, each with its place in the page."""
        return [
            (f"order-{number}-{place}", found)
            for number, of in enumerate(self.orders, 1)
            for place, found in enumerate(of.findings.rows, 1)
            if any((link.pair, link.sku, link.location) == (pair, fault.sku, fault.location) for link in found.stock)
        ]

    def place_of(self, link: StockLink) -> str | None:
        """Where the page shows a stock number that an order explains; None where it needs nobody."""
        for number, pair in enumerate(self.pairs, 1):
            for place, fault in enumerate(pair.faults.rows, 1):
                if (pair.name, fault.sku, fault.location) == (link.pair, link.sku, link.location):
                    return f"pair-{number}-fault-{place}"
        return None

    @property
    def verdict(self) -> str:
        """What a shop manager has to know, in one sentence."""
        return self.lead + self.rest

    @property
    def validated(self) -> bool:
        """Whether expectations were judged, so that there are pages about them."""
        return any(each.evaluated for each in self.quality)

    @property
    def refused(self) -> tuple[Quality, ...]:
        """Snapshots that failed a critical expectation: nothing was concluded from them."""
        return tuple(each for each in self.quality if each.critical)
