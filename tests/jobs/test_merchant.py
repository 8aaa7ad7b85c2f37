"""The replayed merchant: the oracle against the real kernel, at many seeds and without any file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest

from jobs.faults import seed_faults
from jobs.merchant import (
    ERP_AS_OF,
    FEED_AS_OF,
    NOW,
    STORE,
    STORE_AS_OF,
    STOREFRONT_AS_OF,
    WAREHOUSES,
    Merchant,
    SoldLine,
    by,
    next_wave,
    read_lines,
    replay,
)
from jobs.merchant_exports import erp_status, storefront_status
from jobs.oracle import ORDERS_PAIR, SHELF, SLA, STORE_PAIR, WEB, WEB_PAIR, judge, judge_orders
from reconcilers import profiles
from reconcilers.memory import compare_orders, reconcile
from reconcilers.orders import Orders
from reconcilers.pairs import Pair, Side
from reconcilers.schemas import Class, Kind, Reason, events_schema, stock_schema
from reconcilers.stock import Reconciled

LINES = read_lines()


def seeded(seed: int) -> Merchant:
    return seed_faults(replay(LINES, seed), seed)


def side(system: str, profile: str, as_of: datetime) -> Side:
    return Side(system, profiles.load(profile), as_of)


def stock(rows: Iterable[tuple[str, str, int]]) -> pa.Table:
    return pa.Table.from_pylist(
        [{"sku": sku, "location": place, "quantity": Decimal(n)} for sku, place, n in rows], stock_schema()
    )


def events(rows: Iterable[tuple[str, str, str | None, str, str, int, datetime | None]]) -> pa.Table:
    """Rows of (kind, ref, doc, sku, place, quantity, posted_at); what is still to come is left out."""
    names = ("kind", "ref", "doc", "sku", "location", "quantity", "posted_at")
    known = [row for row in rows if row[5] and row[6] is not None and row[6] <= NOW]
    columns = dict(zip(names, map(list, zip(*known, strict=True)), strict=True))
    columns["quantity"] = [Decimal(n) for n in columns["quantity"]]
    schema = events_schema()
    return pa.table([pa.array(columns.get(f.name, [None] * len(known)), f.type) for f in schema], schema=schema)


def kernel_verdicts(merchant: Merchant) -> dict[tuple[str, str, str], tuple[str, str | None]]:
    """What the kernel says about every key."""
    rows = web_pair(merchant).levels.to_pylist() + store_pair(merchant).levels.to_pylist()
    return {(row["pair"], row["sku"], row["location"]): (row["class"], row["reason"]) for row in rows}


def web_pair(merchant: Merchant) -> Reconciled:
    pair = Pair(
        WEB_PAIR,
        side("storefront", "storefront.available", STOREFRONT_AS_OF),
        side("erp", "erp.on_hand", ERP_AS_OF),
        NOW,
        sla=SLA,
        locations={WEB: WAREHOUSES},
    )
    shop = stock((sku, WEB, n) for sku, n in merchant.storefront_stock().items())
    return reconcile(shop, erp_stock(merchant), pair, storefront_events(merchant), erp_events(merchant))


def store_pair(merchant: Merchant) -> Reconciled:
    pair = Pair(
        STORE_PAIR,
        side("store", "pos.on_hand", STORE_AS_OF),
        side("erp", "erp.on_hand", ERP_AS_OF),
        NOW,
        sla=SLA,
        locations={SHELF: (STORE,)},
    )
    shelf = stock((sku, SHELF, n) for sku, n in merchant.store_stock().items())
    sales = events(("POS_SALE", s.ref, None, s.sku, SHELF, s.quantity, s.sold_at) for s in merchant.sales)
    return reconcile(shelf, erp_stock(merchant), pair, sales, erp_events(merchant))


def erp_stock(merchant: Merchant) -> pa.Table:
    return stock((sku, place, n) for (sku, place), n in merchant.erp_stock().items())


def storefront_events(merchant: Merchant) -> pa.Table:
    told = {Kind.RETURN_RECV: "RESTOCK"}
    return events(
        [("PLACE", o.ref, None, o.sku, WEB, o.quantity, o.placed_at) for o in merchant.orders]
        + [("CANCEL", o.ref, None, o.sku, WEB, o.cancelled, o.cancelled_at) for o in merchant.orders]
        + [
            (told.get(e.kind, str(e.kind)), e.ref, None, e.sku, WEB, e.quantity, e.storefront_at)
            for e in merchant.entries
        ]
    )


def erp_events(merchant: Merchant) -> pa.Table:
    orders = [(o, b) for o in merchant.orders for b in o.backend]
    return events(
        [("PLACE", o.ref, b.doc, o.sku, b.warehouse, o.quantity, b.imported_at) for o, b in orders]
        + [("SHIP", o.ref, b.doc, o.sku, b.warehouse, b.shipped, b.shipped_at) for o, b in orders]
        + [("CANCEL", o.ref, b.doc, o.sku, b.warehouse, b.cancelled, b.cancelled_at) for o, b in orders]
        + [(str(e.kind), e.ref, None, e.sku, e.warehouse, e.quantity, e.posted_at) for e in merchant.entries]
        + [("POS_SALE", s.ref, None, s.sku, STORE, s.quantity, s.posted_at) for s in merchant.sales]
    )


@pytest.mark.parametrize("seed", range(6))
def test_the_kernel_gives_every_key_the_oracles_verdict(seed: int) -> None:
    merchant = seeded(seed)
    assert kernel_verdicts(merchant) == judge(merchant)


def ordered(rows: Iterable[dict[str, object]]) -> pa.Table:
    """Canonical order lines of these rows."""
    instant = pa.timestamp("us", tz="UTC")
    amounts = dict.fromkeys(("quantity", "price"), pa.decimal128(18, 4))
    texts = dict.fromkeys(("ref", "line", "doc", "sku", "status"), pa.string())
    types = {**texts, **amounts, "placed_at": instant, "changed_at": instant}
    return pa.Table.from_pylist(list(rows), schema=pa.schema(types.items()))


def storefront_orders(merchant: Merchant) -> pa.Table:
    words = {"fulfilled": "shipped"}
    return ordered(
        {
            "ref": line.order,
            "line": line.ref,
            "sku": line.sku,
            "quantity": Decimal(line.quantity),
            "price": line.price,
            "status": words.get(storefront_status(line), storefront_status(line)),
            "placed_at": line.placed_at,
            "changed_at": line.cancelled_at if by(line.cancelled_at, FEED_AS_OF) else None,
        }
        for line in merchant.orders
    )


def erp_orders(merchant: Merchant) -> pa.Table:
    words = {"offen": "open", "geliefert": "shipped", "storniert": "cancelled"}
    told = [(line, order) for line in merchant.orders for order in line.backend if order.imported_at <= FEED_AS_OF]
    return ordered(
        {
            "ref": line.order,
            "line": line.ref,
            "doc": order.doc,
            "sku": line.sku,
            "quantity": Decimal(line.quantity),
            "price": order.price or line.price,
            "status": words[erp_status(line, order)],
            "placed_at": order.imported_at,
            "changed_at": next(
                (at for at in (order.cancelled_at, order.shipped_at) if at is not None and at <= FEED_AS_OF), None
            ),
        }
        for line, order in told
    )


@pytest.mark.parametrize("seed", range(3))
def test_the_kernel_finds_of_orders_what_the_oracle_does(seed: int) -> None:
    merchant = seeded(seed)
    rules = Orders(as_of_a=FEED_AS_OF, as_of_b=FEED_AS_OF, sla=SLA[Kind.PLACE])
    found = compare_orders(storefront_orders(merchant), erp_orders(merchant), rules)
    told = {(row["ref"], row["line"] or row["doc"], row["class"], row["reason"]) for row in found.findings.to_pylist()}
    assert told == {(each.order, each.where, each.cls, each.reason) for each in judge_orders(merchant)}
    assert sum(found.verdicts.values()) == len({line.order for line in merchant.orders})


@pytest.mark.parametrize("seed", [*range(12), -1, 10**12])
def test_the_oracle_finds_the_seeded_faults_and_no_others(seed: int) -> None:
    merchant = seeded(seed)
    faulty = {
        key: verdict for key, verdict in judge(merchant).items() if verdict[0] not in (Class.MATCHED, Class.IN_FLIGHT)
    }
    assert faulty == {(f.pair, f.sku, f.location): (f.cls, f.reason) for f in merchant.faults if f.pair != ORDERS_PAIR}
    of_orders = {(f.order, f.cls, f.reason) for f in judge_orders(merchant) if f.cls is not Class.IN_FLIGHT}
    assert of_orders == {(f.order, f.cls, f.reason) for f in merchant.faults if f.order is not None}
    assert Counter(fault.kind for fault in merchant.faults) == {
        "lost order": 2,
        "duplicated import": 1,
        "cancel after shipment": 1,
        "skipped store sale": 2,
        "drift": 2,
        "hidden drift": 1,
        "wrong price": 1,
    }


@pytest.mark.parametrize("seed", range(0, 50, 12))
def test_a_week_without_faults_has_none(seed: int) -> None:
    verdicts = judge(replay(LINES, seed)).values()
    assert {cls for cls, _ in verdicts} == {Class.MATCHED, Class.IN_FLIGHT}
    assert {reason for _, reason in verdicts} >= {
        None,
        Reason.ORDER_OPEN,
        Reason.POS_NOT_CLOSED,
        Reason.RECEIPT_NOT_POSTED,
        Reason.RETURN_IN_QC,
    }


@pytest.mark.parametrize("seed", range(0, 50, 12))
def test_hidden_drift_hides_and_nothing_is_oversold(seed: int) -> None:
    merchant = seeded(seed)
    shop, erp, store = merchant.storefront_stock(), merchant.erp_stock(), merchant.store_stock()
    hidden = next(fault for fault in merchant.faults if fault.kind == "hidden drift")
    assert shop[hidden.sku] == sum(erp[hidden.sku, place] for place in WAREHOUSES)
    drifted = {sku for _, sku in merchant.drift}
    assert min(n for sku, n in shop.items() if sku not in drifted) > 0
    assert min(erp.values()) > 0
    assert min(n for sku, n in store.items() if sku not in drifted) > 0


def test_the_same_seed_is_the_same_week_and_another_one_is_not() -> None:
    assert seeded(7) == seeded(7)
    assert seeded(7).faults != seeded(8).faults
    assert seeded(7).opening != seeded(8).opening


def test_every_line_of_the_extract_is_replayed_or_counted() -> None:
    merchant = replay(LINES, 7)
    cancels = sum(line.cancelled > 0 for line in merchant.orders)
    overnight = 6
    receipts = sum(entry.kind is Kind.RECEIPT for entry in merchant.entries)
    replayed = len(merchant.orders) + len(merchant.sales) + len(merchant.entries) - receipts + cancels - overnight
    assert replayed + sum(merchant.not_stock.values()) == len(LINES) == 10_144
    assert set(merchant.not_stock) == {"POST", "D", "C2", "DOT", "M", "BANK CHARGES"}


def sold(invoice: str, quantity: int, at: str, customer: str = "12345", price: str = "2.55") -> SoldLine:
    return SoldLine(invoice, 1, "85123a", quantity, datetime.fromisoformat(at), Decimal(price), customer)


#: Other products on Sunday, for the receipts and the overnight cancellations to happen to.
OTHERS = [SoldLine("537240", n, f"{20000 + n}", 1, datetime(2010, 12, 5, 16, 30), Decimal(1), "1") for n in range(9)]


def replay_one(*lines: SoldLine) -> Merchant:
    return replay([*OTHERS, *lines], 1)


def test_a_wall_clock_in_london_becomes_the_same_one_a_week_before_the_night() -> None:
    line = replay_one(sold("536365", 6, "2010-12-01T08:26")).orders[-1]
    assert line.placed_at == datetime(2026, 11, 18, 8, 26, tzinfo=UTC)
    assert (line.ref, line.sku, line.quantity) == ("536365-1", "85123A", 6)
    # asked for at 08:30, told two minutes later; ready at 12:32 and so with the wave of 17:00 in Berlin or later
    assert line.backend[0].imported_at == datetime(2026, 11, 18, 8, 32, tzinfo=UTC)
    assert line.backend[0].shipped_at is not None
    assert line.backend[0].shipped_at >= datetime(2026, 11, 18, 16, tzinfo=UTC)


def test_a_cancellation_before_the_shipment_cancels_and_after_it_the_goods_come_back() -> None:
    soon = replay_one(sold("536365", 6, "2010-12-01T08:26"), sold("C536366", -4, "2010-12-01T08:40")).orders[-1]
    assert (soon.cancelled, soon.backend[0].cancelled, soon.backend[0].shipped) == (4, 4, 2)
    assert soon.backend[0].cancelled_at == datetime(2026, 11, 18, 8, 47, tzinfo=UTC)

    late = replay_one(sold("536365", 6, "2010-12-01T08:26"), sold("C536980", -4, "2010-12-03T14:00"))
    assert late.orders[-1].cancelled == 0
    back = next(entry for entry in late.entries if entry.kind is Kind.RETURN_RECV)
    assert (back.sku, back.quantity, back.ref) == ("85123A", 4, "RMA-536980-1")
    assert back.posted_at == datetime(2026, 11, 20, 14, tzinfo=UTC)
    assert back.storefront_at == datetime(2026, 11, 21, 5, tzinfo=UTC)


def test_sales_without_a_customer_are_the_stores_and_free_lines_are_corrections() -> None:
    merchant = replay_one(
        sold("536544", 2, "2010-12-01T14:32", customer=""),
        sold("536589", -10, "2010-12-01T16:50", customer="", price="0"),
    )
    (sale,) = merchant.sales
    assert sale.sold_at == datetime(2026, 11, 18, 14, 32, tzinfo=UTC)
    assert sale.posted_at == datetime(2026, 11, 18, 21, tzinfo=UTC)
    found = next(entry for entry in merchant.entries if entry.kind is Kind.ADJUST)
    assert found.quantity == -10


def test_waves_are_berlins() -> None:
    assert next_wave(datetime(2026, 11, 18, 8, 0, tzinfo=UTC)) == datetime(2026, 11, 18, 12, tzinfo=UTC)
    assert next_wave(datetime(2026, 11, 18, 7, 59, tzinfo=UTC)) == datetime(2026, 11, 18, 8, tzinfo=UTC)
    assert next_wave(datetime(2026, 11, 18, 20, 0, tzinfo=UTC), 1) == datetime(2026, 11, 19, 12, tzinfo=UTC)
    assert next_wave(NOW) - NOW < timedelta(hours=6)


def promisable(merchant: Merchant) -> dict[str, int]:
    """What the storefront may promise at the present instant, by SKU.

    On hand in the ERP, less the demand that is still open in any system, less what came back and is
    not checked yet (DOMAIN 2.4). A second import of an order is no demand.
    """
    now = Counter({sku: sum(merchant.opening[sku, place] for place in WAREHOUSES) for sku in merchant.skus("BER")})
    for line in merchant.orders:
        shipped = [b.shipped if b.shipped_at and b.shipped_at <= NOW else 0 for b in line.backend] or [0]
        cancelled = line.cancelled if line.cancelled_at and line.cancelled_at <= NOW else 0
        now[line.sku] -= sum(shipped) + max(0, line.quantity - cancelled - shipped[0])
    for entry in merchant.entries:
        unchecked = entry.kind is Kind.RETURN_RECV and entry.storefront_at > NOW
        now[entry.sku] += entry.quantity if entry.posted_at <= NOW and not unchecked else 0
    return now


@pytest.mark.parametrize("seed", [7, 8])
def test_what_to_publish_is_what_is_on_hand_less_open_orders(seed: int) -> None:
    merchant = seeded(seed)
    levels = web_pair(merchant).levels
    published = {row["sku"]: (row["atp"], row["publish"]) for row in levels.to_pylist()}
    assert published == {sku: (n, max(0, n)) for sku, n in promisable(merchant).items()}
