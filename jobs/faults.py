"""Faults seeded into a healthy week: each at a key of its own, so that each has one right verdict."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from jobs.merchant import (
    ERP_AS_OF,
    NOW,
    STORE_AS_OF,
    BackendOrder,
    Fault,
    Merchant,
    OrderLine,
    Sale,
    by,
    next_wave,
)
from jobs.oracle import ORDERS_PAIR, SHELF, STORE_PAIR, WEB, WEB_PAIR, judge, open_documents
from reconcilers.schemas import Class, Reason

#: Old enough that whatever is still missing is overdue, and that a second document has shipped as well.
_AGED = timedelta(days=2)

#: How far a number may drift: a few units, as miscounts and lost messages do.
_DRIFTS = (-4, -3, -2, -1, 1, 2, 3, 4)

#: What a stale price list gets wrong.
_SURCHARGES = (Decimal("0.10"), Decimal("0.30"), Decimal("0.50"), Decimal(1))


def seed_faults(merchant: Merchant, seed: int) -> Merchant:
    """The merchant with its faults; another seed puts them elsewhere."""
    work = _Seeding(merchant, random.Random(f"faults {seed}"))  # noqa: S311 - a replay, not a secret
    for seed_one in _FAULTS:
        seed_one(work)
    return replace(work.merchant, faults=tuple(work.faults))


@dataclass
class _Seeding:
    """A merchant whose week goes wrong, one fault after the other."""

    merchant: Merchant
    rng: random.Random

    def __post_init__(self) -> None:
        self.faults: list[Fault] = []
        self.taken: set[str] = set()

    def choose_line(self) -> OrderLine:
        """An order of a single line that was placed, imported and shipped days ago."""
        lines_of: dict[str, int] = {}
        for line in self.merchant.orders:
            order = line.ref.split("-")[0]
            lines_of[order] = lines_of.get(order, 0) + 1
        return self.rng.choice(
            [
                line
                for line in self.merchant.orders
                if lines_of[line.ref.split("-")[0]] == 1
                and line.placed_at < NOW - _AGED
                and not line.cancelled
                and line.sku not in self.taken
            ]
        )

    def change_line(self, line: OrderLine, changed: OrderLine) -> None:
        orders = tuple(changed if each is line else each for each in self.merchant.orders)
        self.merchant = replace(self.merchant, orders=orders)

    def drift(self, system: str, sku: str, units: int) -> None:
        self.merchant = replace(self.merchant, drift={**self.merchant.drift, (system, sku): units})

    def calm_skus(self, pair: str) -> list[str]:
        """SKUs with nothing on its way and nothing wrong."""
        verdicts = judge(self.merchant).items()
        return [
            sku for (of, sku, _), (cls, _) in verdicts
            if of == pair and cls is Class.MATCHED and sku not in self.taken
        ]  # fmt: skip

    def add(
        self, kind: str, pair: str, sku: str, story: str, cls: Class, reason: Reason, order: str | None = None
    ) -> None:
        location = SHELF if pair == STORE_PAIR else WEB
        self.taken.add(sku)
        self.faults.append(Fault(kind, pair, sku, location, story, cls, reason, order))


def _lost_order(work: _Seeding) -> None:
    line = work.choose_line()
    work.change_line(line, replace(line, backend=()))
    story = f"order #{line.ref} ({_units(line.quantity)}) never reached the ERP"
    work.add("lost order", WEB_PAIR, line.sku, story, Class.LATE, Reason.ORDER_NOT_IMPORTED, line.order)


def _duplicated_import(work: _Seeding) -> None:
    line = work.choose_line()
    first = line.backend[0]
    again = BackendOrder(
        doc=f"{first.doc}-2",
        warehouse=first.warehouse,
        imported_at=first.imported_at + timedelta(minutes=15),
        shipped=first.shipped,
        shipped_at=next_wave(_shipped_at(line)),
    )
    work.change_line(line, replace(line, backend=(first, again)))
    key = (line.sku, first.warehouse)
    opening = {**work.merchant.opening, key: work.merchant.opening[key] + line.quantity}
    work.merchant = replace(work.merchant, opening=opening)
    story = f"order #{line.ref} ({_units(line.quantity)}) imported and shipped twice"
    verdict = Class.BREAK, Reason.DUPLICATE_BACKEND_ORDER
    work.add("duplicated import", WEB_PAIR, line.sku, story, *verdict, line.order)


def _visible_drift(work: _Seeding) -> None:
    sku = work.rng.choice(work.calm_skus(WEB_PAIR))
    units = work.rng.choice(_DRIFTS)
    work.drift("storefront", sku, units)
    story = f"the storefront shows {_units(abs(units))} too {_direction(units)}"
    work.add("drift", WEB_PAIR, sku, story, Class.BREAK, Reason.UNEXPLAINED)


def _hidden_drift(work: _Seeding) -> None:
    """The ERP's number was pushed over the storefront's, open orders and all: the numbers are equal."""
    shop, erp = work.merchant.storefront_stock(), work.merchant.erp_stock()
    waiting = [
        (sku, sum(erp[sku, place] for place in ("BER", "HAM")) - shop[sku])
        for (pair, sku, _), documents in sorted(open_documents(work.merchant).items())
        if pair == WEB_PAIR
        and sku not in work.taken
        and all(document.reason is Reason.ORDER_OPEN for document in documents)
    ]
    sku, units = work.rng.choice(waiting)
    work.drift("storefront", sku, units)
    story = f"numbers equal, though {_units(units)} on order have not shipped"
    work.add("hidden drift", WEB_PAIR, sku, story, Class.BREAK, Reason.UNEXPLAINED)


def _cancel_after_shipment(work: _Seeding) -> None:
    line = work.choose_line()
    at = _shipped_at(line) + timedelta(minutes=work.rng.randint(30, 600))
    work.change_line(line, replace(line, cancelled=line.quantity, cancelled_at=at))
    story = f"order #{line.ref} ({_units(line.quantity)}) cancelled after it had shipped"
    verdict = Class.CONFLICT, Reason.CANCEL_AFTER_SHIP
    work.add("cancel after shipment", WEB_PAIR, line.sku, story, *verdict, line.order)


def _skipped_sale(work: _Seeding) -> None:
    sale = work.rng.choice([sale for sale in work.merchant.sales if _overdue(sale) and sale.sku not in work.taken])
    sales = tuple(replace(each, posted_at=None) if each is sale else each for each in work.merchant.sales)
    work.merchant = replace(work.merchant, sales=sales)
    story = f"sale {sale.ref} ({_units(sale.quantity)}) left out at the close of business"
    work.add("skipped store sale", STORE_PAIR, sale.sku, story, Class.LATE, Reason.POS_SALE_NOT_POSTED)


def _store_drift(work: _Seeding) -> None:
    sku = work.rng.choice(work.calm_skus(STORE_PAIR))
    units = work.rng.choice(_DRIFTS)
    work.drift("store", sku, units)
    story = f"the store shows {_units(abs(units))} too {_direction(units)}"
    work.add("drift", STORE_PAIR, sku, story, Class.BREAK, Reason.UNEXPLAINED)


def _wrong_price(work: _Seeding) -> None:
    line = work.choose_line()
    price = line.price + work.rng.choice(_SURCHARGES)
    work.change_line(line, replace(line, backend=(replace(line.backend[0], price=price),)))
    story = f"order #{line.ref} is {price} a unit in the ERP, and was sold at {line.price}"
    work.add("wrong price", ORDERS_PAIR, line.sku, story, Class.BREAK, Reason.PRICE_DIFFERS, line.order)


#: What goes wrong, in this order: drifts need keys that nothing else has touched, a price touches none.
_FAULTS: tuple[Callable[[_Seeding], None], ...] = (
    _lost_order,
    _lost_order,
    _duplicated_import,
    _cancel_after_shipment,
    _skipped_sale,
    _skipped_sale,
    _visible_drift,
    _hidden_drift,
    _store_drift,
    _wrong_price,
)


def _shipped_at(line: OrderLine) -> datetime:
    return next(order.shipped_at for order in line.backend if order.shipped_at is not None)


def _overdue(sale: Sale) -> bool:
    return sale.sold_at < NOW - _AGED and by(sale.posted_at, ERP_AS_OF) and sale.sold_at <= STORE_AS_OF


def _units(quantity: int) -> str:
    return f"{quantity:,} unit" if quantity == 1 else f"{quantity:,} units"


def _direction(units: int) -> str:
    return "many" if units > 0 else "few"
