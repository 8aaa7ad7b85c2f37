"""A merchant on real servers: an ERP in PostgreSQL, a shop, tills on a topic, BigQuery for the results.

The configuration is `examples/systems.yaml` with the addresses of the emulators in it. What is wrong is known:
`VERDICTS` says by hand what a run has to find.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from string import Template
from typing import Any

import pubsub
import shopify
import yaml

import examples

EXAMPLE = Path(examples.__file__).parent / "systems.yaml"

#: Where its results go: the tests of other modules have a `recon` of their own.
DATASET = "merchant"

#: sku, location → class, reason, and what no document explains.
VERDICTS = {
    ("AGREES", "Warehouse"): ("MATCHED", None, Decimal(0)),
    ("SHIPPED", "Warehouse"): ("MATCHED", None, Decimal(0)),
    ("LOST", "Warehouse"): ("LATE", "ORDER_NOT_IMPORTED", Decimal(0)),
    ("UNDER-WAY", "Warehouse"): ("IN_FLIGHT", "ORDER_OPEN", Decimal(0)),
    ("LATE", "Warehouse"): ("LATE", "SHIP_NOT_POSTED", Decimal(0)),
    ("DRIFT", "Warehouse"): ("BREAK", "UNEXPLAINED", Decimal(3)),
    ("SOLD", "Store"): ("IN_FLIGHT", "POS_NOT_CLOSED", Decimal(0)),
}

_ERP = """
drop table if exists item_stock, order_lines, till_sales;
create table item_stock (item_no text, whse text, qty_oh numeric(12, 3), primary key (item_no, whse));
create table order_lines (customer_ref text, item_no text, whse text, ordered int, imported_at timestamptz,
    shipped int, shipped_at timestamptz);
create table till_sales (receipt text, item_no text, whse text, pieces int, booked_at timestamptz);
insert into item_stock values ('AGREES', 'BER', 20), ('AGREES', 'HAM', 5), ('SHIPPED', 'BER', 7), ('LOST', 'BER', 10),
    ('UNDER-WAY', 'HAM', 12), ('LATE', 'BER', 10), ('DRIFT', 'BER', 50), ('SOLD', 'ST-1', 6);
insert into order_lines values
    ('WEB-1001', 'SHIPPED', 'BER', 2, now() - interval '3 days', 2, now() - interval '2 days'),
    ('WEB-1003', 'UNDER-WAY', 'HAM', 3, now() - interval '50 minutes', 0, null),
    ('WEB-1004', 'LATE', 'BER', 4, now() - interval '3 days', 0, null);
insert into till_sales values ('T1/76', 'SOLD', 'ST-1', 1, now() - interval '20 hours');
"""


@dataclass(frozen=True)
class Merchant:
    """Its configuration, and where a till tells of what it sells."""

    config: Path
    shop: shopify.Shop
    emulator: pubsub.Emulator
    topic: str
    tap: str

    def sells(self, receipt: str, sku: str, pieces: int, ago: timedelta) -> None:
        """A till sold something; the shop's own number is as of after that."""
        sold_at = (datetime.now(UTC) - ago).isoformat()
        told = {"id": f"sale-{receipt}", "type": "sale", "receipt": receipt, "article": sku, "pieces": pieces,
                "sold_at": sold_at}  # fmt: skip
        self.emulator.publish(self.topic, json.dumps(told).encode())


def merchant(directory: Path, postgresql: Any, shop: shopify.Shop, emulator: Any, warehouse: Any) -> Merchant:
    """Fill the servers, and write the configuration that reads them into a directory."""
    postgresql.run(_ERP)
    _stock(shop)
    topic = emulator.topic()
    found = Merchant(directory / "recon.yaml", shop, emulator, topic, emulator.subscription(topic))
    found.sells("T1/76", "SOLD", 1, timedelta(days=1, hours=4))
    found.sells("T1/77", "SOLD", 2, timedelta(hours=1))
    places = {"SHOP": shop.server.url, "SHOPIFY_TOKEN": shopify.TOKEN, "PROJECT": pubsub.PROJECT, "TILLS": found.tap,
              "ERP_URL": postgresql.url}  # fmt: skip
    document = yaml.safe_load(Template(EXAMPLE.read_text(encoding="utf-8")).substitute(places))
    document["systems"]["storefront"]["events"][1] |= {"endpoint": emulator.endpoint, "quiet": "PT1S"}
    document["outputs"]["bigquery"] |= {**warehouse.endpoint, "dataset": DATASET}
    found.config.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return found


def _stock(shop: shopify.Shop) -> None:
    """What the shop shows, and the orders that it took."""
    warehouse, _ = shop.location("Warehouse"), shop.location("Store")
    now = datetime.now(UTC)
    for sku, available in {"AGREES": 25, "SHIPPED": 7, "LOST": 8, "UNDER-WAY": 9, "LATE": 6, "DRIFT": 53}.items():
        shop.item(sku, Warehouse=available)
    shop.item("SOLD", Store=4)
    days = timedelta(days=1)
    sent = shop.order("#1001", [("SHIPPED", 2)], now - 3 * days, warehouse)
    shop.fulfil(sent, {0: 2}, now - 2 * days)
    shop.order("#1002", [("LOST", 2)], now - 3 * days, warehouse)
    shop.order("#1003", [("UNDER-WAY", 3)], now - days / 24, warehouse)
    shop.order("#1004", [("LATE", 4)], now - 3 * days, warehouse)
