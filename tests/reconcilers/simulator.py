"""A merchant at work: stories of every kind of event, healthy and faulty, and the verdict each deserves.

A story is one line or document of a key: what happened, when either side posted it, and what a person who
watched it knows: by when it should clear, whether it can, and what of it nobody expects. The verdict of a
key follows from its stories by DOMAIN 2.3; the code under test sees only numbers and feeds.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from merchants import EFFECTS, Event, World, hours

A, B = "storefront.available", "erp.on_hand"
NOW = hours(240)
SLA = {
    "PLACE": timedelta(hours=72),
    "SHIP": timedelta(hours=24),
    "RETURN_RECV": timedelta(hours=48),
    "RESTOCK": timedelta(hours=48),
    "HOLD": timedelta(hours=2),
    "POS_SALE": timedelta(hours=30),
    "RECEIPT": timedelta(hours=24),
    "XFER_OUT": timedelta(hours=24),
    "XFER_IN": timedelta(hours=24),
    "ADJUST": timedelta(hours=12),
    "CANCEL": timedelta(hours=12),
}
RETURNS = ("RETURN_ANNOUNCED", "RETURN_RECV", "RESTOCK", "SCRAP")


@dataclass(frozen=True)
class Story:
    """One line or document.

    `due_a` is by when what only the target has counted should clear, `due_b` the same for the authority;
    `conflict` names what can never clear. `extra` is how much the difference A − B is off because of it,
    and `because` what that is called.
    """

    events: tuple[Event, ...]
    due_a: datetime = NOW
    due_b: datetime = NOW
    late: str | None = None
    conflict: str | None = None
    extra: Decimal = Decimal(0)
    because: str | None = None

    def counted(self, side: str, at: datetime) -> Decimal:
        """What the side's number contains at an instant of the chain that ends the story: the order, or the return."""
        effects = EFFECTS[A if side == "a" else B]
        chain = [e for e in self.events if (e.kind in RETURNS) == (self.events[-1].kind in RETURNS)]
        posted = [e for e in chain if getattr(e, side) is not None and getattr(e, side) <= at]
        return sum((e.quantity * effects.get(e.kind, 0) for e in posted), Decimal(0))


@dataclass
class Key:
    """The stories of one key, and by how much either number is simply wrong."""

    sku: str
    stories: list[Story] = field(default_factory=list)
    drift: Decimal = Decimal(0)

    def verdict(self, at_a: datetime, at_b: datetime) -> tuple[str, Decimal]:
        """The class and the unexplained difference that somebody who watched would say."""
        unexplained = self.drift + sum((s.extra for s in self.stories), Decimal(0))
        if unexplained:
            return "BREAK", unexplained
        classes = {_state(story, at_a, at_b) for story in self.stories}
        return next((c for c in ("CONFLICT", "LATE", "IN_FLIGHT") if c in classes), "MATCHED"), unexplained


def _state(story: Story, at_a: datetime, at_b: datetime) -> str:
    a, b = story.counted("a", at_a), story.counted("b", at_b)
    if a == b:
        return "MATCHED"
    if story.conflict:
        return "CONFLICT"
    due = story.due_a if abs(a) > abs(b) else story.due_b
    return "LATE" if due < NOW else "IN_FLIGHT"


class Clerk:
    """Writes down one story: its key, its reference, its events."""

    def __init__(self, rng: random.Random, sku: str, number: int) -> None:
        self.rng, self.sku, self.ref = rng, sku, f"{sku}/{number}"
        self.events: list[Event] = []

    def post(
        self,
        kind: str,
        quantity: int,
        a: float | None = None,
        b: float | None = None,
        doc: str | None = None,
        document: int | None = None,
    ) -> None:
        """An event, in hours after the start; None: that side never posts it."""
        at = [None if each is None else hours(each) for each in (a, b)]
        size = None if document is None else Decimal(document)
        self.events.append(Event(kind, self.ref, Decimal(quantity), *at, self.sku, "web", doc, document=size))

    def hour(self, low: float, high: float) -> float:
        """Some hour between."""
        return round(self.rng.uniform(low, high), 2)

    def told(self, due_a: float = 240, due_b: float = 240, **known: object) -> Story:
        """The story, with what is known of it."""
        return Story(tuple(self.events), hours(due_a), hours(due_b), **known)  # type: ignore[arg-type]


def ordered(c: Clerk, placed: float, quantity: int) -> None:
    """Placed in the shop, imported within the hour."""
    c.post("PLACE", quantity, placed, placed + 1, doc=f"SO-{c.ref}")


def shipped(c: Clerk, when: float, quantity: int) -> None:
    """The authority sends it; the shop hears of it, and its number does not care."""
    c.post("SHIP", quantity, when + 2, when, doc=f"SO-{c.ref}")


def order(c: Clerk) -> Story:
    """An order that ships in one to three parcels, the last perhaps still to come."""
    placed, quantity = c.hour(0, 238), c.rng.randint(1, 9)
    ordered(c, placed, quantity)
    left, when = quantity, placed
    while left and (when := when + c.hour(2, 40)) < 239.9:
        parcel = c.rng.randint(1, left)
        shipped(c, when, parcel)
        left -= parcel
    first = min((e.b for e in c.events if e.kind == "SHIP" and e.b), default=None)
    due_b = 240.0 if first is None else (first - hours(0)) / timedelta(hours=1) + 24
    return c.told(placed + 72, due_b)


def cancelled(c: Clerk) -> Story:
    """A cancel of what has not shipped: all of it, or what is left after a parcel."""
    placed, quantity = c.hour(0, 150), c.rng.randint(2, 9)
    ordered(c, placed, quantity)
    parcel = c.rng.randint(0, quantity - 1)
    if parcel:
        shipped(c, placed + 5, parcel)
    c.post("CANCEL", quantity - parcel, placed + 8, placed + 9)
    return c.told()


def returned(c: Clerk) -> Story:
    """Shipped, announced, received, and put back on sale after the inspection, or still in it."""
    placed, quantity = c.hour(0, 60), c.rng.randint(1, 5)
    ordered(c, placed, quantity)
    shipped(c, placed + 4, quantity)
    back, received = c.rng.randint(1, quantity), c.hour(80, 238)
    c.post("RETURN_ANNOUNCED", back, received - 10)
    c.post("RETURN_RECV", back, None, received)
    restocked = received + c.hour(1, 40)
    if restocked < 240:
        c.post("RESTOCK", back, restocked)
    return c.told(due_a=restocked + 48, due_b=received + 48)


def scrapped(c: Clerk) -> Story:
    """A return that is received and thrown away: the shop never hears of it."""
    placed = c.hour(0, 60)
    ordered(c, placed, 2)
    shipped(c, placed + 4, 2)
    received = c.hour(80, 200)
    c.post("RETURN_RECV", 1, None, received)
    c.post("SCRAP", 1, None, received + 3)
    return c.told(due_b=received + 48)


def refunded(c: Clerk) -> Story:
    """Money back, goods kept: no number moves."""
    placed = c.hour(0, 200)
    ordered(c, placed, 3)
    shipped(c, placed + 4, 3)
    return c.told(due_a=placed + 72, due_b=placed + 28)


def held(c: Clerk) -> Story:
    """A cart that holds goods, and lets them go or still holds them."""
    at = c.hour(0, 239.9)
    c.post("HOLD", c.rng.randint(1, 3), at)
    if at + 0.5 < 240:
        c.post("RELEASE", int(c.events[0].quantity), at + 0.5)
    return c.told(due_a=at + 2)


def received(c: Clerk) -> Story:
    """Goods in, at the shop some hours later; the document says how many."""
    at, quantity = c.hour(0, 238), c.rng.randint(5, 50)
    shop = at + c.hour(0.2, 12)
    c.post("RECEIPT", quantity, shop if shop < 240 else None, at, document=quantity)
    return c.told(due_a=shop + 24, due_b=at + 24)


def received_in_parts(c: Clerk) -> Story:
    """Two pallets of one delivery: the authority books it whole, the shop each as it is unpacked."""
    at, first, second = c.hour(200, 238), c.rng.randint(1, 20), c.rng.randint(1, 20)
    shop = at + c.hour(0.2, 1)
    c.post("RECEIPT", first + second, None, at, document=first + second)
    c.post("RECEIPT", first, shop, document=first + second)
    c.post("RECEIPT", second, c.hour(shop, 239.9), document=first + second)
    return c.told(due_a=shop + 24, due_b=at + 24)


def adjusted(c: Clerk) -> Story:
    """Broken or found: the authority books it, the shop follows."""
    at, quantity = c.hour(0, 238), c.rng.choice([-3, -1, 1, 4])
    shop = at + c.hour(0.1, 6)
    c.post("ADJUST", quantity, shop if shop < 240 else None, at)
    return c.told(due_a=shop + 12, due_b=at + 12)


def sold_in_store(c: Clerk) -> Story:
    """A store sale: the shop's number at once, the authority's when the day is closed at 22."""
    at = c.hour(0, 239)
    close = at // 24 * 24 + 22
    close += 24 if close < at else 0
    c.post("POS_SALE", 1, at, close if close < 240 else None)
    return c.told(due_a=at + 30, due_b=close + 30)


def moved_in(c: Clerk) -> Story:
    """A transfer that arrives whole; the shop follows."""
    at, quantity = c.hour(0, 236), c.rng.randint(2, 12)
    shop = at + c.hour(0.1, 10)
    c.post("XFER_IN", quantity, shop if shop < 240 else None, at, document=quantity)
    return c.told(due_a=shop + 24, due_b=at + 24)


HEALTHY: tuple[Callable[[Clerk], Story], ...] = (
    order, order, order, cancelled, returned, scrapped, refunded, held, received, received_in_parts, adjusted,
    sold_in_store, moved_in,
)  # fmt: skip


def never_imported(c: Clerk) -> Story:
    placed = c.hour(0, 160)
    c.post("PLACE", c.rng.randint(1, 9), placed)
    return c.told(due_a=placed + 72, late="ORDER_NOT_IMPORTED")


def never_shipped(c: Clerk) -> Story:
    placed = c.hour(0, 160)
    ordered(c, placed, c.rng.randint(1, 9))
    return c.told(due_a=placed + 72, late="SHIP_NOT_POSTED")


def imported_twice(c: Clerk) -> Story:
    placed, quantity = c.hour(0, 160), c.rng.randint(1, 9)
    ordered(c, placed, quantity)
    shipped(c, placed + 6, quantity)
    c.post("PLACE", quantity, None, placed + 2, doc=f"SO2-{c.ref}")
    c.post("SHIP", quantity, None, placed + 9, doc=f"SO2-{c.ref}")
    return c.told(extra=Decimal(quantity), because="DUPLICATE_BACKEND_ORDER")


def cancelled_after_it_shipped(c: Clerk) -> Story:
    placed, quantity = c.hour(0, 160), c.rng.randint(1, 9)
    ordered(c, placed, quantity)
    shipped(c, placed + 6, quantity)
    c.post("CANCEL", quantity, placed + 20)
    return c.told(conflict="CANCEL_AFTER_SHIP")


def shipped_after_it_was_cancelled(c: Clerk) -> Story:
    placed, quantity = c.hour(0, 160), c.rng.randint(1, 9)
    ordered(c, placed, quantity)
    c.post("CANCEL", quantity, placed + 3)
    shipped(c, placed + 6, quantity)
    return c.told(conflict="CANCEL_NOT_PROPAGATED")


def restocked_twice(c: Clerk) -> Story:
    placed = c.hour(0, 100)
    ordered(c, placed, 2)
    shipped(c, placed + 6, 2)
    c.post("RETURN_RECV", 2, None, placed + 40)
    c.post("RESTOCK", 2, placed + 45)
    c.post("RESTOCK", 2, placed + 46)
    return c.told(conflict="RESTOCK_TWICE")


def another_article_sent(c: Clerk) -> Story:
    placed = c.hour(0, 150)
    c.post("PLACE", 2, placed, placed + 1)
    c.post("CANCEL", 2, None, placed + 5)
    c.post("SHIP", 2, placed + 7)
    return c.told(conflict="SUBSTITUTED")


def store_sale_left_out(c: Clerk) -> Story:
    at = c.hour(0, 200)
    c.post("POS_SALE", c.rng.randint(1, 3), at)
    return c.told(due_a=at + 30, late="POS_SALE_NOT_POSTED")


def adjustment_kept_back(c: Clerk) -> Story:
    at = c.hour(0, 200)
    c.post("ADJUST", c.rng.choice([-4, -2, 3]), None, at)
    return c.told(due_b=at + 12, late="ADJUSTMENT_NOT_PROPAGATED")


def receipt_kept_back(c: Clerk) -> Story:
    at = c.hour(0, 200)
    c.post("RECEIPT", 20, None, at)
    return c.told(due_b=at + 24, late="RECEIPT_NOT_POSTED")


def return_forgotten(c: Clerk) -> Story:
    placed = c.hour(0, 60)
    ordered(c, placed, 3)
    shipped(c, placed + 4, 3)
    c.post("RETURN_RECV", 1, None, placed + 60)
    return c.told(due_b=placed + 108, late="RETURN_IN_QC")


def short_transfer(c: Clerk) -> Story:
    at, lost = c.hour(0, 200), c.rng.randint(1, 4)
    c.post("XFER_IN", 10, at + 1, document=10)
    c.post("XFER_IN", 10 - lost, None, at, document=10)
    return c.told(extra=Decimal(lost), because="TRANSFER_SHORT")


def over_receipt(c: Clerk) -> Story:
    at, more = c.hour(0, 200), c.rng.randint(1, 4)
    c.post("XFER_IN", 10, at + 1, document=10)
    c.post("XFER_IN", 10 + more, None, at, document=10)
    return c.told(extra=Decimal(-more), because="TRANSFER_OVER")


FAULTY: tuple[Callable[[Clerk], Story], ...] = (
    never_imported, never_shipped, imported_twice, cancelled_after_it_shipped, shipped_after_it_was_cancelled,
    restocked_twice, another_article_sent, store_sale_left_out, adjustment_kept_back, receipt_kept_back,
    return_forgotten, short_transfer, over_receipt,
)  # fmt: skip


def merchant(seed: int, keys: int = 150) -> list[Key]:
    """A merchant's keys: healthy stories everywhere, a fault at a third of the keys, drift at some."""
    rng = random.Random(seed)
    found = []
    for number in range(keys):
        key = Key(f"S{number:04d}")
        stories = [rng.choice(HEALTHY) for _ in range(rng.randint(0, 4))]
        if rng.random() < 0.3:
            stories.append(rng.choice(FAULTY))
        elif rng.random() < 0.1:
            key.drift = Decimal(rng.choice([-7, -2, -1, 1, 3, 12]))
        rng.shuffle(stories)
        key.stories = [story(Clerk(rng, key.sku, n)) for n, story in enumerate(stories)]
        found.append(key)
    return found


def world(keys: list[Key]) -> World:
    """Everything that happened to all of them; plenty of stock, so that no number is clamped."""
    events = [event for key in keys for story in key.stories for event in story.events]
    return World(tuple(events), {(key.sku, "web"): Decimal(500) for key in keys})
