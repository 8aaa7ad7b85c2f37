"""Orders of a shop as stock events: placed, cancelled, sent, put back, each at its own instant and location.

A bulk query may not go into the lines of refunds, nor of fulfilments (a connection within a list). What
each order has is in the export; the lines are asked for afterwards, and only where they are needed: for
orders with a refund, and for those with several fulfilments.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from pipelines.connectors.shopify_api import Api
from reconcilers.errors import Unreachable

_EXPORT = """
{
  orders(sortKey: ID, query: "%s") {
    edges { node {
      id name createdAt
      refunds { id }
      fulfillments { createdAt status location { id name } }
      lineItems { edges { node { id sku quantity %s } } }
      fulfillmentOrders { edges { node {
        id status
        assignedLocation { location { id name } }
        lineItems { edges { node { id totalQuantity remainingQuantity lineItem { id } } } }
      } } }
    } }
  }
}
"""

_LINES = """
query ($ids: [ID!]!) {
  nodes(ids: $ids) {
    ... on Order {
      id name
      refunds {
        id createdAt
        refundLineItems(first: 100) {
          nodes { id quantity restockType location { id name } lineItem { id } }
          pageInfo { hasNextPage }
        }
      }
      fulfillments {
        id createdAt status location { id name }
        fulfillmentLineItems(first: 100) {
          nodes { id quantity lineItem { id } }
          pageInfo { hasNextPage }
        }
      }
    }
  }
}
"""

#: Orders whose lines are asked for at once: they cost points.
_AT_ONCE = 10

#: What stock makes of a refund; without a restock it makes nothing of it.
_RESTOCKS = {"CANCEL": "CANCEL", "RETURN": "RESTOCK", "LEGACY_RESTOCK": "RESTOCK"}

_NEEDED = """
select id from line
where
    parent is null
    and (json_array_length(json, '$.refunds') > 0 or json_array_length(json, '$.fulfillments') > 1)
order by number
"""

_DETAILS = """
create or replace table detail as
select kind, id, order_id, line_id, quantity, posted_at, location_id, location
from read_json($path, format = 'newline_delimited', columns = {
    kind: 'varchar', id: 'varchar', order_id: 'varchar', line_id: 'varchar', quantity: 'bigint', posted_at: 'varchar',
    location_id: 'varchar', location: 'varchar'
})
"""

COLUMNS = (
    "kind", "ref", "order_id", "line_id", "sku", "variant_id", "location", "location_id", "quantity", "posted_at",
    "event_id",
)  # fmt: skip

EVENTS = (Path(__file__).parent / "shopify_orders.sql").read_text(encoding="utf-8")


def export(since: datetime, products: bool, begin: int | None) -> str:
    """The bulk query: orders that changed since, and all that are still open, from one on.

    What a line sells has an id only for an app that may read `products`.
    """
    wanted = f"(updated_at:>='{since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}' OR status:open)"
    variant = "variant { id }" if products else ""
    return _EXPORT % (wanted if begin is None else f"{wanted} AND id:>={begin}", variant)


def add_details(api: Api, connection: duckdb.DuckDBPyConnection, directory: Path) -> None:
    """Make the table `detail` for the orders of the table `line`. Raises `Unreachable`."""
    needed = [row[0] for row in connection.execute(_NEEDED).fetchall()]
    path = directory / "details.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for place in range(0, len(needed), _AT_ONCE):
            for order in api.query(_LINES, ids=needed[place : place + _AT_ONCE])["nodes"]:
                # An order that was deleted meanwhile has no lines; its PLACE went with it.
                for row in _rows(api, order) if order is not None else ():
                    file.write(json.dumps(row) + "\n")
    connection.execute(_DETAILS, {"path": str(path)})


def _rows(api: Api, order: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for refund in order["refunds"]:
        for line in _all(api, order, refund["refundLineItems"]):
            kind = _RESTOCKS.get(line["restockType"])
            if kind is not None:
                yield _row(kind, refund, order, line, line["location"])
    sent = [each for each in order["fulfillments"] if each["status"] == "SUCCESS"]
    for fulfilment in sent if len(sent) > 1 else ():
        for line in _all(api, order, fulfilment["fulfillmentLineItems"]):
            yield _row("SHIP", fulfilment, order, line, fulfilment["location"])


def _row(
    kind: str, document: dict[str, Any], order: dict[str, Any], line: dict[str, Any], location: dict[str, Any] | None
) -> dict[str, Any]:
    return {
        "kind": kind,
        "id": str(line["id"] or document["id"]).rsplit("/", 1)[-1],
        "order_id": order["id"],
        "line_id": line["lineItem"]["id"],
        "quantity": line["quantity"],
        "posted_at": document["createdAt"],
        "location_id": location["id"] if location else None,
        "location": location["name"] if location else None,
    }


def _all(api: Api, order: dict[str, Any], connection: dict[str, Any]) -> list[dict[str, Any]]:
    if connection["pageInfo"]["hasNextPage"]:
        raise Unreachable(f"{api.where}: order {order['name']} has more than 100 lines in one refund or fulfilment")
    found: list[dict[str, Any]] = connection["nodes"]
    return found
