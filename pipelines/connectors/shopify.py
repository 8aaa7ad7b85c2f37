"""Connector `shopify`: stock levels and orders by bulk operation, corrections by compare-and-set.

A bulk operation says itself when it began and ended, by Shopify's own clock: stock is as of some instant in
between, and the feed of orders is complete up to when its operation began. So stock is exported before
orders.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pipelines.connectors import Batch, Context, Plan, json_parents, shopify_bulk, shopify_orders
from pipelines.connectors.csv_text import with_origin
from pipelines.connectors.option_values import Duration
from pipelines.connectors.shopify_api import Access, Api
from pipelines.connectors.shopify_sink import Sink, SinkOptions
from reconcilers.errors import ConfigError, Unreachable
from reconcilers.schemas import rejects_schema

__all__ = ["EXAMPLE", "SUMMARY", "Options", "Sink", "SinkOptions", "Source"]

SUMMARY = "Shopify (Admin API 2026-04): stock levels and orders by bulk operation, corrections by compare-and-set"

EXAMPLE = """\
stock:
  connector: shopify
  shop: my-shop.myshopify.com
  client_id: ${SHOPIFY_CLIENT_ID}      # of an app of the Dev Dashboard; or token, of an older one
  client_secret: ${SHOPIFY_CLIENT_SECRET}
  profile: shopify.available
  columns: {quantity: available}       # or on_hand, committed, incoming
events:
  connector: shopify                   # kind, ref, sku, location, quantity and posted_at as they are
  shop: my-shop.myshopify.com
  client_id: ${SHOPIFY_CLIENT_ID}
  client_secret: ${SHOPIFY_CLIENT_SECRET}
  since: P60D
"""

_SHOP = """
query {
  shop { myshopifyDomain }
  currentAppInstallation { accessScopes { handle } }
}
"""

_COUNT = "query { productVariantsCount(limit: null) { count } }"

_STOCK_EXPORT = """
{
  inventoryItems%s {
    edges { node {
      id sku tracked
      inventoryLevels { edges { node {
        id updatedAt
        location { id name }
        available: quantities(names: ["available"]) { quantity }
        on_hand: quantities(names: ["on_hand"]) { quantity }
        committed: quantities(names: ["committed"]) { quantity }
        incoming: quantities(names: ["incoming"]) { quantity }
      } } }
    } }
  }
}
"""

STOCK = (Path(__file__).parent / "shopify_stock.sql").read_text(encoding="utf-8")

_STOCK_COLUMNS = (
    "sku", "location", "location_id", "inventory_item_id", "available", "on_hand", "committed", "incoming",
    "updated_at",
)  # fmt: skip

_SCOPES = {
    "stock": ("read_inventory", "read_locations"),
    "events": ("read_orders", "read_locations", "read_merchant_managed_fulfillment_orders"),
}

_BATCH = 65_536


class Options(Access):
    """What a dataset in a shop says."""

    since: Duration = Field(
        timedelta(days=60), description="events: orders that changed since then, and all open ones; P60D"
    )
    lag: Duration = Field(
        timedelta(0), description="events: complete up to so long before the export began; for a shop that posts late"
    )
    patience: Duration = Field(timedelta(hours=2), description="how long an export may take altogether")


@dataclass(frozen=True)
class Split:
    """The whole dataset: one bulk operation."""


class Source:
    """The stock levels or the orders of one shop."""

    def __init__(self, options: Options, context: Context) -> None:
        self.options = options
        self.context = context
        self._stock = context.dataset == "stock"
        self._now: datetime | None = None
        self._products = False
        self._export: shopify_bulk.Export | None = None

    @property
    def name(self) -> str:
        """What the rows say that they come from."""
        what = "inventory levels" if self._stock else "orders"
        return f"{self.options.shop.removeprefix('http://')}: {what}"

    def plan(self, now: datetime) -> Plan:
        """Look whether the shop answers, and whether the app may read what is wanted.

        Raises:
            Unreachable: no answer, or a scope is missing.
        """
        with Api(self.options) as api:
            found = api.query(_SHOP)
            granted = {scope["handle"] for scope in found["currentAppInstallation"]["accessScopes"]}
            missing = [scope for scope in _SCOPES["stock" if self._stock else "events"] if not _granted(scope, granted)]
            if missing:
                raise Unreachable(f"{api.where}: the app's token has no scope {', '.join(missing)}")
            self._products = _granted("read_products", granted)
            count = api.query(_COUNT)["productVariantsCount"] if self._products else None
        self._now = now
        return Plan(
            splits=(Split(),),
            as_of=now,
            as_of_kind="bulk_operation",
            estimated_rows=count["count"] if count else 0,
            sources=(self.name,),
            watermark=None if self._stock else now,
            local=True,
            clock=api.clock,
            columns=_STOCK_COLUMNS if self._stock else shopify_orders.COLUMNS,
        )

    def read(self, split: Split) -> Iterator[Batch]:
        """Export, download and read it as batches of raw rows. Raises `Unreachable`."""
        with (
            Api(self.options) as api,
            tempfile.TemporaryDirectory(prefix="recon-shopify-") as scratch,
            json_parents.opened(Path(scratch)) as connection,
        ):
            directory = Path(scratch)
            since = self._since()
            orders = partial(shopify_orders.export, since, self._products)
            query = _stock_export if self._stock else orders
            self._export = shopify_bulk.run(api, query, directory, self.options.patience)
            if not self._export.paths:
                return
            json_parents.load(connection, self._export.paths, "__parentId", self.name)
            if not self._stock:
                shopify_orders.add_details(api, connection, directory)
            yield from self._batches(connection, STOCK if self._stock else shopify_orders.EVENTS)

    def settled(self, plan: Plan) -> Plan:
        """The instants that the bulk operation came to."""
        if self._export is None:
            return plan
        begun, done = self._export.created_at, self._export.completed_at
        if self._stock:
            return replace(plan, as_of=begun, as_of_hi=done if done > begun else None)
        return replace(plan, as_of=begun, watermark=begun - self.options.lag)

    def _since(self) -> datetime:
        if self._now is None:
            raise ConfigError(f"{self.name}: read before it was planned")
        return self._now - self.options.since

    def _batches(self, connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[Batch]:
        for batch in connection.sql(query).to_arrow_reader(_BATCH):
            table = pa.Table.from_batches([batch])
            rejects = None
            if "untracked" in table.column_names:
                rejects = self._untracked(table.filter(pc.is_valid(table["untracked"])))
                table = table.filter(pc.is_null(table["untracked"])).drop_columns("untracked")
            lines = table["source_line"].combine_chunks()
            yield Batch(with_origin(table.drop_columns("source_line"), self.name, lines), rejects)

    def _untracked(self, table: pa.Table) -> pa.Table | None:
        if not len(table):
            return None
        told = {"source_file": self.name, "column": "tracked", "reason": "not tracked by the shop"}
        columns = {name: pa.repeat(pa.scalar(value), len(table)) for name, value in told.items()}
        columns |= {"source_line": table["source_line"], "raw": table["untracked"]}
        return pa.table([columns[name] for name in rejects_schema().names], schema=rejects_schema())


def _stock_export(begin: int | None) -> str:
    return _STOCK_EXPORT % ("" if begin is None else f'(query: "id:>={begin}")')


def _granted(scope: str, granted: set[str]) -> bool:
    """A scope to write is one to read, too."""
    return scope in granted or scope.replace("read_", "write_", 1) in granted
