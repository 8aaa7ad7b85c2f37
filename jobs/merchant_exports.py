"""The merchant's week as its three systems export it: each in its own words, formats and time zone."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import examples
from jobs.merchant import (
    BERLIN,
    ERP_AS_OF,
    FEED_AS_OF,
    STORE,
    STORE_AS_OF,
    STOREFRONT_AS_OF,
    BackendOrder,
    Merchant,
    OrderLine,
    by,
)
from reconcilers.schemas import Kind

CONFIG = Path(examples.__file__).parent / "demo.yaml"

#: The storefront's and the ERP's words for a stock entry; returned goods are sellable once restocked.
_ACTIVITIES = {Kind.RECEIPT: "received", Kind.RETURN_RECV: "restocked", Kind.ADJUST: "corrected"}
_BUCHUNGSARTEN = {Kind.RECEIPT: "Wareneingang", Kind.RETURN_RECV: "Rücknahme", Kind.ADJUST: "Korrektur"}

Rows = Iterable[Sequence[object]]


def write_exports(merchant: Merchant, directory: Path) -> None:
    """Write `recon.yaml`, the alias tables and every export below `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    # the configuration comes first: it marks the directory as a demo's
    (directory / "recon.yaml").write_text(CONFIG.read_text(encoding="utf-8"), encoding="utf-8")
    for name, write in _FILES.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write(merchant, path)


def article(merchant: Merchant) -> dict[str, str]:
    """The ERP's article number of each SKU."""
    return {sku: f"A-{10001 + n}" for n, sku in enumerate(_all_skus(merchant))}


def plu(merchant: Merchant) -> dict[str, str]:
    """The number that the store's tills use for each SKU."""
    return {sku: f"{n + 1:05d}" for n, sku in enumerate(merchant.skus(STORE))}


def _all_skus(merchant: Merchant) -> list[str]:
    return sorted({sku for sku, _ in merchant.opening})


def _storefront_stock(merchant: Merchant, path: Path) -> None:
    prices = {line.sku: line.price for line in merchant.orders}
    stock = merchant.storefront_stock()
    rows = [(sku, prices.get(sku, ""), quantity) for sku, quantity in stock.items()]
    _write_csv(path, ("Variant SKU", "Variant Price", "Available"), rows)


def _storefront_orders(merchant: Merchant, path: Path) -> None:
    header = (
        "Name", "Line", "Lineitem sku", "Lineitem quantity", "Lineitem price", "Status", "Created at",
        "Cancelled quantity", "Cancelled at",
    )  # fmt: skip
    _write_csv(
        path,
        header,
        (
            (
                f"#{line.order}", f"#{line.ref}", line.sku, line.quantity, line.price,
                storefront_status(line), _rfc3339(line.placed_at),
                *((line.cancelled, _rfc3339(line.cancelled_at)) if by(line.cancelled_at, FEED_AS_OF) else (0, "")),
            )
            for line in merchant.orders
        ),
    )  # fmt: skip


def storefront_status(line: OrderLine) -> str:
    """What has become of a line, as the storefront says; it hears at once of what has shipped."""
    if line.cancelled == line.quantity and by(line.cancelled_at, FEED_AS_OF):
        return "cancelled"
    shipped = any(order.shipped and by(order.shipped_at, FEED_AS_OF) for order in line.backend)
    return "fulfilled" if shipped else "open"


def erp_status(line: OrderLine, order: BackendOrder) -> str:
    """What has become of a document of a line, as the ERP says."""
    if order.cancelled == line.quantity and by(order.cancelled_at, FEED_AS_OF):
        return "storniert"
    return "geliefert" if order.shipped and by(order.shipped_at, FEED_AS_OF) else "offen"


def _storefront_adjustments(merchant: Merchant, path: Path) -> None:
    _write_csv(
        path,
        ("Reference", "Activity", "Variant SKU", "Change", "Applied at"),
        (
            (f"ERP/{e.ref}", _ACTIVITIES[e.kind], e.sku, e.quantity, _rfc3339(e.storefront_at))
            for e in merchant.entries
            if e.storefront_at <= FEED_AS_OF
        ),
    )


def _erp_stock(merchant: Merchant, path: Path) -> None:
    articles = article(merchant)
    rows = ((articles[sku], place, _german(n)) for (sku, place), n in merchant.erp_stock().items())
    _write_csv(path, ("Artikel", "Lager", "Bestand"), rows, german=True)


def _erp_orders(merchant: Merchant, path: Path) -> None:
    articles = article(merchant)
    header = (
        "Auftrag", "Kundenauftrag", "Kundenreferenz", "Artikel", "Lager", "Bestellt", "Preis", "Status", "Angelegt am",
        "Geliefert", "Geliefert am", "Storniert", "Storniert am",
    )  # fmt: skip
    rows = (row for line in merchant.orders for row in _erp_lines(line, articles[line.sku]))
    _write_csv(path, header, rows, german=True)


def _erp_lines(line: OrderLine, article_no: str) -> Rows:
    """The documents of an order line, as far as they have got."""
    for order in line.backend:
        if order.imported_at <= FEED_AS_OF:
            yield (
                order.doc, f"WEB-{line.order}", f"WEB-{line.ref}", article_no, order.warehouse,
                _german(line.quantity), _german_price(line.price if order.price is None else order.price),
                erp_status(line, order), _berlin(order.imported_at),
                *_erp_step(order.shipped, order.shipped_at), *_erp_step(order.cancelled, order.cancelled_at),
            )  # fmt: skip


def _erp_step(quantity: int, at: datetime | None) -> tuple[str, str]:
    return (_german(quantity), _berlin(at)) if quantity and at is not None and at <= FEED_AS_OF else (_german(0), "")


def _erp_postings(merchant: Merchant, path: Path) -> None:
    """Stock entries, and the store's sales as the end of the business day posts them."""
    articles = article(merchant)
    entries = [
        (e.ref, _BUCHUNGSARTEN[e.kind], articles[e.sku], e.warehouse, _german(e.quantity), _berlin(e.posted_at))
        for e in merchant.entries
    ]
    sales = [
        (f"KASSE-{s.ref}", "Kassenverkauf", articles[s.sku], STORE, _german(s.quantity), _berlin(s.posted_at))
        for s in merchant.sales
        if s.posted_at is not None
    ]
    header = ("Beleg", "Buchungsart", "Artikel", "Lager", "Menge", "Gebucht am")
    _write_csv(path, header, entries + sales, german=True)


def _store_stock(merchant: Merchant, path: Path) -> None:
    prices = {sale.sku: sale.price for sale in merchant.sales}
    numbers, stock = plu(merchant), merchant.store_stock()
    table = pa.table(
        {
            "plu": pa.array([numbers[sku] for sku in stock], pa.string()),
            "on_hand": pa.array(stock.values(), pa.int64()),
            "price": pa.array([prices[sku] for sku in stock], pa.decimal128(9, 2)),
        }
    )
    pq.write_table(table, path)


def _store_sales(merchant: Merchant, path: Path) -> None:
    numbers = plu(merchant)
    with path.open("w", encoding="utf-8") as file:
        for sale in merchant.sales:
            row = {
                "receipt_line": sale.ref,
                "type": "sale",
                "plu": numbers[sale.sku],
                "pieces": sale.quantity,
                "sold_at": _rfc3339(sale.sold_at),
            }
            file.write(json.dumps(row) + "\n")


def _erp_aliases(merchant: Merchant, path: Path) -> None:
    _write_csv(path, ("raw", "sku"), ((number, sku) for sku, number in article(merchant).items()))


def _store_aliases(merchant: Merchant, path: Path) -> None:
    _write_csv(path, ("raw", "sku"), ((number, sku) for sku, number in plu(merchant).items()))


def _utc(as_of: datetime) -> str:
    return f"{as_of:%Y%m%dT%H%M%SZ}"


def _local(as_of: datetime) -> str:
    return f"{as_of.astimezone(BERLIN):%Y%m%d_%H%M}"


_FILES: dict[str, Callable[[Merchant, Path], None]] = {
    f"exports/storefront/stock-{_utc(STOREFRONT_AS_OF)}.csv": _storefront_stock,
    f"exports/storefront/orders-{_utc(FEED_AS_OF)}.csv": _storefront_orders,
    f"exports/storefront/adjustments-{_utc(FEED_AS_OF)}.csv": _storefront_adjustments,
    f"exports/erp/bestand_{_local(ERP_AS_OF)}.csv": _erp_stock,
    f"exports/erp/auftraege_{_local(FEED_AS_OF)}.csv": _erp_orders,
    f"exports/erp/buchungen_{_local(FEED_AS_OF)}.csv": _erp_postings,
    f"exports/store/stock-{_utc(STORE_AS_OF)}.parquet": _store_stock,
    f"exports/store/sales-{_utc(FEED_AS_OF)}.jsonl": _store_sales,
    "aliases-erp.csv": _erp_aliases,
    "aliases-store.csv": _store_aliases,
}

#: Everything that `write_exports` writes, relative to its directory.
WRITTEN = ("recon.yaml", *_FILES)


def _write_csv(path: Path, header: Sequence[str], rows: Rows, *, german: bool = False) -> None:
    """Comma and UTF-8, or what a German ERP calls CSV."""
    encoding, delimiter, ends = ("cp1252", ";", "\r\n") if german else ("utf-8", ",", "\n")
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator=ends)
        writer.writerow(header)
        writer.writerows(rows)


def _german(number: int) -> str:
    """A number as `1.824,00`."""
    return f"{number:,}".replace(",", ".") + ",00"


def _german_price(price: Decimal) -> str:
    """A price as `1.824,50`."""
    return f"{price:,}".translate(str.maketrans(",.", ".,"))


def _berlin(instant: datetime) -> str:
    return f"{instant.astimezone(BERLIN):%d.%m.%Y %H:%M}"


def _rfc3339(instant: datetime | None) -> str:
    return "" if instant is None else f"{instant:%Y-%m-%dT%H:%M:%SZ}"
