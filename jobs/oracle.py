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
    FEED_AS_OF,
    NOW,
    STORE,
    STORE_AS_OF,
    STOREFRONT_AS_OF,
    BackendOrder,
    Merchant,
    OrderLine,
    Sale,
    StockEntry,
    by,
)
from reconcilers.schemas import Class, Kind, Reason

WEB_PAIR, STORE_PAIR = "storefront~erp", "store~erp"
ORDERS_PAIR = "storefront.web~erp.web"
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


@dataclass(frozen=True)
class OrderFinding:
    """What is to be found about an order: its line or second document, and the stock numbers that it explains."""

    order: str
    where: str | None
    cls: Class
    reason: Reason
    stock: frozenset[Key] = frozenset()


def judge_orders(merchant: Merchant) -> set[OrderFinding]:
    """Everything that is to be found about the orders of the storefront; all others agree."""
    lines_of: dict[str, list[OrderLine]] = defaultdict(list)
    for line in merchant.orders:
        lines_of[line.order].append(line)
    return {finding for order, lines in lines_of.items() for finding in _of_order(order, lines)}


def _of_order(order: str, lines: list[OrderLine]) -> Iterator[OrderFinding]:
    stock = frozenset((WEB_PAIR, line.sku, WEB) for line in lines)
    if not any(_imported(line) for line in lines):
        if all(_status(line) == "cancelled" for line in lines):
            return
        if min(line.placed_at for line in lines) + SLA[Kind.PLACE] < FEED_AS_OF:
            yield OrderFinding(order, None, Class.LATE, Reason.ORDER_NOT_IMPORTED, stock)
        else:
            yield OrderFinding(order, None, Class.IN_FLIGHT, Reason.ORDER_OPEN)
        return
    for doc in {each.doc for line in lines for each in _imported(line)[1:]}:
        yield OrderFinding(order, doc, Class.BREAK, Reason.DUPLICATE_BACKEND_ORDER, stock)
    for line in lines:
        first = _imported(line)[0]
        if first.price is not None and first.price != line.price:
            yield OrderFinding(order, line.ref, Class.BREAK, Reason.PRICE_DIFFERS)
    yield from _of_states(order, [line for line in lines if _status(line) == "cancelled"])


def _of_states(order: str, cancelled: list[OrderLine]) -> Iterator[OrderFinding]:
    """Cancelled lines that the ERP has shipped, or has not heard about."""
    found: dict[tuple[Class, Reason], list[OrderLine]] = defaultdict(list)
    for line in cancelled:
        first = _imported(line)[0]
        if first.cancelled == line.quantity and by(first.cancelled_at, FEED_AS_OF):
            continue
        if line.cancelled_at is not None and first.shipped_at is not None and by(first.shipped_at, FEED_AS_OF):
            after = line.cancelled_at >= first.shipped_at
            reason = Reason.CANCEL_AFTER_SHIP if after else Reason.CANCEL_NOT_PROPAGATED
            found[Class.CONFLICT, reason].append(line)
        elif line.cancelled_at is not None:
            late = line.cancelled_at + SLA[Kind.PLACE] < FEED_AS_OF
            found[Class.LATE if late else Class.IN_FLIGHT, Reason.CANCEL_NOT_PROPAGATED].append(line)
    for (cls, reason), lines in found.items():
        where = lines[0].ref if len(lines) == 1 else None
        stock = frozenset((WEB_PAIR, line.sku, WEB) for line in lines)
        yield OrderFinding(order, where, cls, reason, frozenset() if cls is Class.IN_FLIGHT else stock)


def _imported(line: OrderLine) -> list[BackendOrder]:
    return [order for order in line.backend if order.imported_at <= FEED_AS_OF]


def _status(line: OrderLine) -> str:
    return "cancelled" if line.cancelled == line.quantity and by(line.cancelled_at, FEED_AS_OF) else "open"
