"""Small merchants for the laws: events as business facts, and what each system's number then is.

The effect of an event on a number is computed here in plain Python from the table of DOMAIN 2.1, not
by the code under test.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa

from reconcilers.schemas import events_schema, stock_schema

START = datetime(2026, 11, 20, tzinfo=UTC)

#: DOMAIN 2.1, restated: what one unit of a kind does to a number.
EFFECTS = {
    "storefront.available": {
        "PLACE": -1, "CANCEL": 1, "RESTOCK": 1, "POS_SALE": -1, "POS_RETURN": 1, "HOLD": -1, "RELEASE": 1,
        "RECEIPT": 1, "XFER_IN": 1, "XFER_OUT": -1, "ADJUST": 1,
    },
    "erp.available": {
        "PLACE": -1, "CANCEL": 1, "RESTOCK": 1, "POS_SALE": -1, "POS_RETURN": 1, "HOLD": -1, "RELEASE": 1,
        "RECEIPT": 1, "XFER_IN": 1, "XFER_OUT": -1, "ADJUST": 1,
    },
    "erp.on_hand": {
        "SHIP": -1, "RETURN_RECV": 1, "SCRAP": -1, "POS_SALE": -1, "POS_RETURN": 1,
        "RECEIPT": 1, "XFER_IN": 1, "XFER_OUT": -1, "ADJUST": 1,
    },
    "wms.on_hand": {"SHIP": -1, "RETURN_RECV": 1, "RECEIPT": 1, "XFER_IN": 1, "XFER_OUT": -1, "ADJUST": 1},
    "pos.on_hand": {
        "SHIP": -1, "RETURN_RECV": 1, "POS_SALE": -1, "POS_RETURN": 1,
        "RECEIPT": 1, "XFER_IN": 1, "XFER_OUT": -1, "ADJUST": 1,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Event:
    """A business event and when each side posted it (None: never)."""

    kind: str
    ref: str
    quantity: Decimal
    a: datetime | None = None
    b: datetime | None = None
    sku: str = "S1"
    location: str = "L1"
    doc: str | None = None
    event_id: str | None = None
    document: Decimal | None = None


@dataclass(frozen=True)
class World:
    """What happened, and the numbers that both systems would show at any instant."""

    events: tuple[Event, ...]
    opening: dict[tuple[str, str], Decimal] = field(default_factory=dict)

    def shown(self, side: str, profile: str, at: datetime) -> dict[tuple[str, str], Decimal]:
        """The number of each key that a system with `profile` shows at an instant."""
        numbers = dict(self.opening)
        for event in self.events:
            posted = getattr(event, side)
            if posted is not None and posted <= at:
                key = (event.sku, event.location)
                change = event.quantity * EFFECTS[profile].get(event.kind, 0)
                numbers[key] = numbers.get(key, Decimal(0)) + change
        return numbers

    def feed(self, side: str) -> pa.Table:
        """The event feed of one side."""
        return pa.Table.from_pylist(
            [
                {
                    "event_id": event.event_id,
                    "kind": event.kind,
                    "ref": event.ref,
                    "doc": event.doc if side == "b" else None,
                    "sku": event.sku,
                    "location": event.location,
                    "quantity": event.quantity,
                    "document_quantity": event.document,
                    "posted_at": getattr(event, side),
                }
                for event in self.events
                if getattr(event, side) is not None
            ],
            schema=events_schema(),
        )


def stock(numbers: dict[tuple[str, str], Decimal]) -> pa.Table:
    """A stock export of these numbers."""
    rows = [{"sku": sku, "location": place, "quantity": q} for (sku, place), q in numbers.items()]
    return pa.Table.from_pylist(rows, schema=stock_schema())


def hours(value: float) -> datetime:
    """An instant, in hours after the start."""
    return START + timedelta(hours=value)
