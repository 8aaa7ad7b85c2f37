"""A merchant for the demo: a week of real order lines, replayed through three systems.

The storefront counts an order when it is placed. The ERP imports orders every quarter of an hour,
ships them from two warehouses in waves, and tells the storefront about receipts, returns and
corrections the next morning. A store counts a sale at the till; the ERP posts the day's sales when
the business day ends. What stands here is what happened; `jobs.merchant_exports` writes it down as
each system would.
"""

from __future__ import annotations

import csv
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import examples
from reconcilers.schemas import Class, Kind, Reason

LINES = Path(examples.__file__).parent / "online_retail.csv"

LONDON, BERLIN = ZoneInfo("Europe/London"), ZoneInfo("Europe/Berlin")

#: The night of the demo, and when each system's stock was exported: never at the same instant.
NOW = datetime(2026, 11, 23, 2, 15, tzinfo=UTC)
STOREFRONT_AS_OF = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
ERP_AS_OF = datetime(2026, 11, 22, 20, 30, tzinfo=UTC)
STORE_AS_OF = datetime(2026, 11, 22, 18, 30, tzinfo=UTC)
#: When the feeds were exported: after the numbers, so that nothing that they contain is missing.
FEED_AS_OF = datetime(2026, 11, 23, 2, 10, tzinfo=UTC)

#: The real week began on a Wednesday and ended on a Sunday; so does the replayed one.
SHIFT = datetime(2026, 11, 22) - datetime(2010, 12, 5)  # noqa: DTZ001 - a distance between wall clocks

WAREHOUSES = ("BER", "HAM")
STORE = "STORE-1"

#: When the ERP's warehouses ship, its business day ends, and the storefront learns of its stock entries.
WAVES = (time(9), time(13), time(17), time(21))
CLOSING = time(22)
NIGHTLY = time(5)

_STOCK_CODE = re.compile(r"\d{5}[A-Z]*")


@dataclass(frozen=True)
class SoldLine:
    """A line of the extract: `number` counts the lines of its invoice, `at` is the shop's wall clock."""

    invoice: str
    number: int
    code: str
    quantity: int
    at: datetime
    price: Decimal
    customer: str


@dataclass(frozen=True)
class BackendOrder:
    """An order line in the ERP: its own document, what it shipped and what it cancelled, so far or ever.

    `price` is what the ERP charges where that is not the line's own price.
    """

    doc: str
    warehouse: str
    imported_at: datetime
    shipped: int = 0
    shipped_at: datetime | None = None
    cancelled: int = 0
    cancelled_at: datetime | None = None
    price: Decimal | None = None


@dataclass(frozen=True)
class OrderLine:
    """A line of an order in the storefront, and the documents that it became in the ERP."""

    ref: str
    sku: str
    quantity: int
    price: Decimal
    placed_at: datetime
    cancelled: int = 0
    cancelled_at: datetime | None = None
    backend: tuple[BackendOrder, ...] = ()

    @property
    def order(self) -> str:
        """The order that it is a line of."""
        return self.ref.rpartition("-")[0]


@dataclass(frozen=True)
class Sale:
    """A line of a receipt in the store; `posted_at` is when the ERP has it, None is never."""

    ref: str
    sku: str
    quantity: int
    price: Decimal
    sold_at: datetime
    posted_at: datetime | None


@dataclass(frozen=True)
class StockEntry:
    """A receipt, a returned line or a correction (signed), posted in the ERP and later in the storefront."""

    kind: Kind
    ref: str
    sku: str
    warehouse: str
    quantity: int
    posted_at: datetime
    storefront_at: datetime


@dataclass(frozen=True)
class Fault:
    """Something that went wrong at one key, or with one order, and what a right verdict calls it."""

    kind: str
    pair: str
    sku: str
    location: str
    story: str
    cls: Class
    reason: Reason
    order: str | None = None


@dataclass(frozen=True)
class Merchant:
    """A week: what happened, what was there before, and what went wrong.

    `opening` is the stock of each (sku, place of the ERP) before the week, `drift` what a target's
    number shows beyond what happened, by (system, sku). `not_stock` counts the lines of the extract
    that are no goods (postage, discounts, fees), by code.
    """

    orders: tuple[OrderLine, ...]
    sales: tuple[Sale, ...]
    entries: tuple[StockEntry, ...]
    opening: Mapping[tuple[str, str], int]
    drift: Mapping[tuple[str, str], int] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    not_stock: Mapping[str, int] = field(default_factory=dict)

    def skus(self, place: str) -> list[str]:
        """The SKUs kept at a place of the ERP, in order."""
        return sorted(sku for sku, where in self.opening if where == place)

    def storefront_stock(self) -> dict[str, int]:
        """What the storefront says is available, by SKU."""
        stock = Counter({sku: sum(self.opening[sku, w] for w in WAREHOUSES) for sku in self.skus("BER")})
        for line in self.orders:
            stock[line.sku] -= line.quantity if line.placed_at <= STOREFRONT_AS_OF else 0
            stock[line.sku] += line.cancelled if by(line.cancelled_at, STOREFRONT_AS_OF) else 0
        for entry in self.entries:
            stock[entry.sku] += entry.quantity if entry.storefront_at <= STOREFRONT_AS_OF else 0
        return {sku: n + self.drift.get(("storefront", sku), 0) for sku, n in stock.items()}

    def erp_stock(self) -> dict[tuple[str, str], int]:
        """What the ERP says is on hand, by SKU and place."""
        stock = Counter(self.opening)
        for line in self.orders:
            for order in line.backend:
                if by(order.shipped_at, ERP_AS_OF):
                    stock[line.sku, order.warehouse] -= order.shipped
        for entry in self.entries:
            stock[entry.sku, entry.warehouse] += entry.quantity if entry.posted_at <= ERP_AS_OF else 0
        for sale in self.sales:
            stock[sale.sku, STORE] -= sale.quantity if by(sale.posted_at, ERP_AS_OF) else 0
        return dict(stock)

    def store_stock(self) -> dict[str, int]:
        """What the store says is on its shelves, by SKU."""
        stock = Counter({sku: self.opening[sku, STORE] for sku in self.skus(STORE)})
        for sale in self.sales:
            stock[sale.sku] -= sale.quantity if sale.sold_at <= STORE_AS_OF else 0
        return {sku: n + self.drift.get(("store", sku), 0) for sku, n in stock.items()}


def by(instant: datetime | None, limit: datetime) -> bool:
    """Whether something has happened by `limit`."""
    return instant is not None and instant <= limit


def read_lines(path: Path = LINES) -> list[SoldLine]:
    """The real order lines, as they are."""
    numbers: Counter[str] = Counter()
    lines = []
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            invoice = row["InvoiceNo"].strip()
            numbers[invoice] += 1
            lines.append(
                SoldLine(
                    invoice=invoice,
                    number=numbers[invoice],
                    code=row["StockCode"].strip(),
                    quantity=int(row["Quantity"]),
                    at=datetime.strptime(row["InvoiceDate"], "%m/%d/%y %H:%M"),  # noqa: DTZ007
                    price=Decimal(row["UnitPrice"]),
                    customer=row["CustomerID"].strip(),
                )
            )
    return lines


def replay(lines: Iterable[SoldLine], seed: int) -> Merchant:
    """A week in which everything went right; the seed chooses warehouses, delays and receipts."""
    return _Replay(random.Random(seed)).merchant(lines)  # noqa: S311 - a replay, not a secret


@dataclass
class _Replay:
    """A week under way."""

    rng: random.Random
    orders: list[OrderLine] = field(default_factory=list)
    sales: list[Sale] = field(default_factory=list)
    entries: list[StockEntry] = field(default_factory=list)
    not_stock: Counter[str] = field(default_factory=Counter)
    docs: dict[str, str] = field(default_factory=dict)
    bought: dict[tuple[str, str], int] = field(default_factory=dict)

    def merchant(self, lines: Iterable[SoldLine]) -> Merchant:
        for line in lines:
            self._step(line)(line)
        self._think_better()
        self._receive()
        return Merchant(
            orders=tuple(self.orders),
            sales=tuple(self.sales),
            entries=tuple(self.entries),
            opening=self._opening(),
            not_stock=dict(self.not_stock),
        )

    def _step(self, line: SoldLine) -> Callable[[SoldLine], None]:
        """What a line of the extract means."""
        if not _STOCK_CODE.fullmatch(line.code.upper()):
            return self._leave_out
        if line.price == 0 and not line.customer:
            return self._correct
        if line.invoice.startswith("C"):
            return self._take_back
        # sold over the counter: nobody on file, or one of the customers who collect at the store
        if not line.customer or line.invoice.endswith("7"):
            return self._sell
        return self._order

    def _leave_out(self, line: SoldLine) -> None:
        self.not_stock[line.code] += 1

    def _order(self, line: SoldLine) -> None:
        """Placed in the storefront, imported by the ERP, shipped with one of the next waves."""
        placed_at = _instant(line.at)
        imported_at = _next_import(placed_at)
        doc = self.docs.setdefault(line.invoice, f"AB-{50001 + len(self.docs)}")
        slips = self.rng.choices((0, 1, 2), (85, 12, 3))[0]
        order = BackendOrder(
            doc=doc,
            warehouse=self.rng.choices(WAREHOUSES, (65, 35))[0],
            imported_at=imported_at,
            shipped=line.quantity,
            shipped_at=next_wave(imported_at + timedelta(hours=4), slips),
        )
        ref, sku = f"{line.invoice}-{line.number}", line.code.upper()
        self.bought[line.customer, sku] = len(self.orders)
        self.orders.append(OrderLine(ref, sku, line.quantity, line.price, placed_at, backend=(order,)))

    def _take_back(self, line: SoldLine) -> None:
        """A cancellation of what has not shipped yet; of anything else, the goods come back."""
        sku, at = line.code.upper(), _instant(line.at)
        place = self.bought.get((line.customer, sku))
        if place is not None and self._cancel(place, -line.quantity, at):
            return
        ref = f"RMA-{line.invoice[1:]}-{line.number}"
        self.entries.append(self._entry(Kind.RETURN_RECV, ref, sku, -line.quantity, at))

    def _cancel(self, place: int, quantity: int, at: datetime) -> bool:
        line = self.orders[place]
        order = line.backend[0]
        told_at = max(_next_import(at), order.imported_at)
        if line.cancelled or quantity > line.quantity or order.shipped_at is None or told_at >= order.shipped_at:
            return False
        left = line.quantity - quantity
        self.orders[place] = replace(
            line,
            cancelled=quantity,
            cancelled_at=at,
            backend=(
                replace(
                    order,
                    cancelled=quantity,
                    cancelled_at=told_at,
                    shipped=left,
                    shipped_at=order.shipped_at if left else None,
                ),
            ),
        )
        return True

    def _correct(self, line: SoldLine) -> None:
        """Found or written off in the warehouse."""
        ref = f"KO-{line.invoice}-{line.number}"
        self.entries.append(self._entry(Kind.ADJUST, ref, line.code.upper(), line.quantity, _instant(line.at)))

    def _sell(self, line: SoldLine) -> None:
        sold_at = _instant(line.at)
        posted_at = _at(sold_at, BERLIN, CLOSING)
        ref = f"T1/{line.invoice}/{line.number}"
        self.sales.append(Sale(ref, line.code.upper(), line.quantity, line.price, sold_at, posted_at))

    def _think_better(self) -> None:
        """Some of Sunday's customers cancel overnight, the last of them before the ERP asks again."""
        open_places = [n for n, line in enumerate(self.orders) if not by(line.backend[0].shipped_at, NOW)]
        places = [n for n in open_places if not self.orders[n].cancelled]
        for number, place in enumerate(self.rng.sample(places, min(6, len(places)))):
            at = STOREFRONT_AS_OF - timedelta(minutes=1 + 55 * number)
            self._cancel(place, self.orders[place].quantity, at)

    def _receive(self) -> None:
        """Deliveries from suppliers, a few a day, on the Sunday too."""
        skus = sorted({line.sku for line in self.orders})
        days = sorted({line.placed_at.date() for line in self.orders})
        for number, sku in enumerate(self.rng.sample(skus, 4 * len(days))):
            at = datetime.combine(days[number // 4], time(11, 5 * (number % 4)), BERLIN).astimezone(UTC)
            quantity = self.rng.choice((24, 48, 96, 144))
            self.entries.append(self._entry(Kind.RECEIPT, f"WE-{number + 1:04d}", sku, quantity, at))

    def _entry(self, kind: Kind, ref: str, sku: str, quantity: int, at: datetime) -> StockEntry:
        """Posted in the ERP at once, in the storefront with the next morning's run."""
        morning = _at(at + timedelta(days=1), LONDON, NIGHTLY)
        return StockEntry(kind, ref, sku, self.rng.choice(WAREHOUSES), quantity, at, morning)

    def _opening(self) -> dict[tuple[str, str], int]:
        """Enough for the week, and some to spare: nothing is oversold in a week without faults."""
        needed = Counter({(sku, place): 0 for sku in self._web_skus() for place in WAREHOUSES})
        for line in self.orders:
            needed[line.sku, line.backend[0].warehouse] += line.quantity
        for entry in self.entries:
            needed[entry.sku, entry.warehouse] += max(0, -entry.quantity)
        for sale in self.sales:
            needed[sale.sku, STORE] += sale.quantity
        return {key: amount + self.rng.randint(2, 60) for key, amount in sorted(needed.items())}

    def _web_skus(self) -> set[str]:
        return {line.sku for line in self.orders} | {entry.sku for entry in self.entries}


def _instant(wall_clock: datetime) -> datetime:
    """The instant of the replayed week that a wall clock of the real one stands for."""
    return (wall_clock + SHIFT).replace(tzinfo=LONDON).astimezone(UTC)


def _at(instant: datetime, zone: ZoneInfo, clock: time) -> datetime:
    """This clock time on the instant's day there."""
    return datetime.combine(instant.astimezone(zone).date(), clock, zone).astimezone(UTC)


def _next_import(instant: datetime) -> datetime:
    """The ERP asks for news every quarter of an hour, and takes two minutes over it."""
    quarter = instant.replace(minute=instant.minute // 15 * 15, second=0)
    return quarter + timedelta(minutes=17)


def next_wave(instant: datetime, slips: int = 0) -> datetime:
    """The next wave after an instant, or one that is `slips` waves later."""
    waves = (wave for wave in _waves(instant) if wave > instant)
    for _ in range(slips):
        next(waves)
    return next(waves)


def _waves(instant: datetime) -> Iterator[datetime]:
    for day in range(4):
        for clock in WAVES:
            yield _at(instant + timedelta(days=day), BERLIN, clock)
