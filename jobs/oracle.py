"""The verdict on every key of the demo's merchant, out of what happened and not out of numbers.

Plain Python from the merchant's own records, without the kernel that it checks: what one side has
counted and the other has not (DOMAIN 2.1), what can still clear it and by when (DOMAIN 2.3).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs.merchant import (
    ERP_AS_OF,
    NOW,
    STORE,
    STORE_AS_OF,
    STOREFRONT_AS_OF,
    Merchant,
    OrderLine,
    Sale,
    StockEntry,
    by,
)
from reconcilers.schemas import Class, Kind, Reason

WEB_PAIR, STORE_PAIR = "storefront~erp", "store~erp"
WEB, SHELF = "web", "LDN-1"

#: (pair, sku, location of the target) and (class, reason).
Key = tuple[str, str, str]
Verdict = tuple[Class, Reason | None]

#: How long one side may wait for the other (the demo's configuration says the same).
SLA = {
    Kind.PLACE: timedelta(days=1),
    Kind.POS_SALE: timedelta(days=1),
    Kind.RECEIPT: timedelta(days=1),
    Kind.ADJUST: timedelta(days=1),
    Kind.RETURN_RECV: timedelta(days=3),
}

_WAITING = {
    Kind.RECEIPT: Reason.RECEIPT_NOT_POSTED,
    Kind.ADJUST: Reason.ADJUSTMENT_NOT_PROPAGATED,
    Kind.RETURN_RECV: Reason.RETURN_IN_QC,
}
_RANK = {Class.IN_FLIGHT: 0, Class.LATE: 1, Class.CONFLICT: 2}


@dataclass(frozen=True)
class OpenDocument:
    """A document that one side has counted and the other has not, or not yet."""

    cls: Class
    reason: Reason
    quantity: int
    since: datetime

    @property
    def weight(self) -> tuple[int, int, float, str]:
        """The worst document decides about its key, then the largest, then the oldest."""
        return (_RANK[self.cls], abs(self.quantity), -self.since.timestamp(), self.reason)


def judge(merchant: Merchant) -> dict[Key, Verdict]:
    """The right verdict on every key of both pairs."""
    documents = open_documents(merchant)
    duplicated = {(WEB_PAIR, line.sku, WEB) for line in merchant.orders if _shipped_twice(line)}
    drifted = {_drifted(system, sku) for (system, sku), units in merchant.drift.items() if units}
    verdicts: dict[Key, Verdict] = {}
    for key in keys(merchant):
        if key in duplicated:
            verdicts[key] = (Class.BREAK, Reason.DUPLICATE_BACKEND_ORDER)
        elif key in drifted:
            verdicts[key] = (Class.BREAK, Reason.UNEXPLAINED)
        elif key in documents:
            worst = max(documents[key], key=lambda document: document.weight)
            verdicts[key] = (worst.cls, worst.reason)
        else:
            verdicts[key] = (Class.MATCHED, None)
    return verdicts


def keys(merchant: Merchant) -> list[Key]:
    """Every key of both pairs."""
    web = [(WEB_PAIR, sku, WEB) for sku in merchant.skus("BER")]
    return web + [(STORE_PAIR, sku, SHELF) for sku in merchant.skus(STORE)]


def open_documents(merchant: Merchant) -> dict[Key, list[OpenDocument]]:
    """The documents that explain a part of a difference, by key."""
    found: dict[Key, list[OpenDocument]] = defaultdict(list)
    for line in merchant.orders:
        found[WEB_PAIR, line.sku, WEB] += _order(line)
    for entry in merchant.entries:
        found[WEB_PAIR, entry.sku, WEB] += _entry(entry)
    for sale in merchant.sales:
        found[STORE_PAIR, sale.sku, SHELF] += _sale(sale)
    return {key: documents for key, documents in found.items() if documents}


def _order(line: OrderLine) -> Iterator[OpenDocument]:
    order = line.backend[0] if line.backend else None
    ordered = -line.quantity if line.placed_at <= STOREFRONT_AS_OF else 0
    ordered += line.cancelled if by(line.cancelled_at, STOREFRONT_AS_OF) else 0
    shipped = order.shipped if order and by(order.shipped_at, ERP_AS_OF) else 0
    quantity = ordered + shipped
    if quantity == 0:
        return
    if order and order.shipped_at and line.cancelled_at and shipped > line.quantity - line.cancelled:
        after = line.cancelled_at >= order.shipped_at
        reason = Reason.CANCEL_AFTER_SHIP if after else Reason.CANCEL_NOT_PROPAGATED
        yield OpenDocument(Class.CONFLICT, reason, quantity, line.cancelled_at)
    elif line.placed_at + SLA[Kind.PLACE] >= NOW:
        yield OpenDocument(Class.IN_FLIGHT, Reason.ORDER_OPEN, quantity, line.placed_at)
    else:
        reason = Reason.SHIP_NOT_POSTED if order else Reason.ORDER_NOT_IMPORTED
        yield OpenDocument(Class.LATE, reason, quantity, line.placed_at)


def _entry(entry: StockEntry) -> Iterator[OpenDocument]:
    if entry.posted_at > ERP_AS_OF or entry.storefront_at <= STOREFRONT_AS_OF:
        return
    late = entry.posted_at + SLA[entry.kind] < NOW
    cls = Class.LATE if late else Class.IN_FLIGHT
    yield OpenDocument(cls, _WAITING[entry.kind], -entry.quantity, entry.posted_at)


def _sale(sale: Sale) -> Iterator[OpenDocument]:
    if sale.sold_at > STORE_AS_OF or by(sale.posted_at, ERP_AS_OF):
        return
    if sale.sold_at + SLA[Kind.POS_SALE] < NOW:
        yield OpenDocument(Class.LATE, Reason.POS_SALE_NOT_POSTED, -sale.quantity, sale.sold_at)
    else:
        yield OpenDocument(Class.IN_FLIGHT, Reason.POS_NOT_CLOSED, -sale.quantity, sale.sold_at)


def _shipped_twice(line: OrderLine) -> bool:
    return any(by(order.shipped_at, ERP_AS_OF) for order in line.backend[1:])


def _drifted(system: str, sku: str) -> Key:
    return (WEB_PAIR, sku, WEB) if system == "storefront" else (STORE_PAIR, sku, SHELF)
