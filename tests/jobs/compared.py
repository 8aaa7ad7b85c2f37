"""A job that compares records and orders, with little data in which everything differs."""

from __future__ import annotations

import json
from pathlib import Path

PRICES, ORDERS = "shop.prices~erp.prices", "shop.web~erp.web"

RECORDS = """
now: 2030-01-03T00:00:00Z
systems:
  shop:
    records: {prices: {connector: files, path: prices-a.csv, as_of: AS_OF, key: [sku, class], columns: [sku, class, price]}}
    orders: {web: {connector: files, path: orders-a.csv, as_of: AS_OF, columns: COLUMNS}}
  erp:
    records: {prices: {connector: files, path: prices-b.csv, as_of: AS_OF, key: [sku, class], columns: [sku, class, price]}}
    orders: {web: {connector: files, path: orders-b.csv, as_of: AS_OF, columns: COLUMNS}}
pairs:
  shop.prices~erp.prices: {kind: records}
  shop.web~erp.web: {kind: orders}
jobs:
  nightly: {pairs: [shop.prices~erp.prices, shop.web~erp.web]}
"""  # noqa: E501


def of_records(directory: Path, **more: object) -> Path:
    """Two prices and two orders a side: one of each is not the same, one is only in the shop."""
    for name, lines in {
        "prices-a": ["sku,class,price", "A,1,10.00", "B,1,5.00"],
        "prices-b": ["sku,class,price", "A,1,11.00"],
        "orders-a": ["ref,sku,price,placed_at", *(f"{n},TEA,4.50,2030-01-01T00:00:00Z" for n in (1, 2))],
        "orders-b": ["ref,sku,price,placed_at", "1,TEA,5.00,2030-01-01T00:00:00Z"],
    }.items():
        (directory / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = RECORDS.replace("AS_OF", '{from: value, value: "2030-01-03T00:00:00Z"}')
    text = text.replace("COLUMNS", "{ref: ref, sku: sku, price: price, placed_at: placed_at}")
    path = directory / "recon.yaml"
    path.write_text(text + "".join(f"{key}: {json.dumps(value)}\n" for key, value in more.items()), encoding="utf-8")
    return path
