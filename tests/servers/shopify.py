"""A shop that speaks the documented contract of Shopify's Admin GraphQL API 2026-04, as far as recon uses it.

It is strict where the real one is: a query is validated against the schema below, a bulk query against the
documented limits (five connections, two levels of nesting, no connection within a list, an `id` where there
are children), an inventory mutation without `@idempotent(key:)` or an explicit `changeFromQuantity` is an
error, and one line with a user error changes nothing at all. Quantities, cost, keys and errors behave as
documented on shopify.dev (mutations inventorySetQuantities and inventoryAdjustQuantities, bulk operations,
idempotent requests, API limits).
"""

from __future__ import annotations

import json
import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

import web
from graphql import (
    FieldNode,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    build_schema,
    get_directive_values,
    get_named_type,
    graphql_sync,
    parse,
    validate,
    visit,
)
from graphql.error import GraphQLError

TOKEN = "shpat_5ecret"
CLIENT_ID, CLIENT_SECRET = "c1ient", "shpss_hush"
VERSION = "2026-04"

SCHEMA = build_schema(
    """
    directive @idempotent(key: String!) on FIELD
    scalar DateTime
    scalar URL
    scalar UnsignedInt64
    interface Node { id: ID! }
    type PageInfo { hasNextPage: Boolean! endCursor: String }
    type AccessScope { handle: String! }
    type AppInstallation { accessScopes: [AccessScope!]! }
    type Count { count: Int! precision: String! }
    type Shop { id: ID! name: String! myshopifyDomain: String! ianaTimezone: String! }
    type Location implements Node { id: ID! name: String! isActive: Boolean! }
    type LocationEdge { node: Location! }
    type LocationConnection { nodes: [Location!]! edges: [LocationEdge!]! pageInfo: PageInfo! }
    type InventoryQuantity { id: ID! name: String! quantity: Int! updatedAt: DateTime }
    type InventoryLevel implements Node {
        id: ID! location: Location! item: InventoryItem! updatedAt: DateTime!
        quantities(names: [String!]!): [InventoryQuantity!]!
    }
    type InventoryLevelEdge { node: InventoryLevel! }
    type InventoryLevelConnection { nodes: [InventoryLevel!]! edges: [InventoryLevelEdge!]! pageInfo: PageInfo! }
    type InventoryItem implements Node {
        id: ID! sku: String tracked: Boolean!
        inventoryLevels(first: Int, after: String, includeInactive: Boolean = false): InventoryLevelConnection!
        inventoryLevel(locationId: ID!): InventoryLevel
    }
    type InventoryItemEdge { node: InventoryItem! }
    type InventoryItemConnection { nodes: [InventoryItem!]! edges: [InventoryItemEdge!]! pageInfo: PageInfo! }
    type ProductVariant implements Node { id: ID! }
    type LineItem implements Node {
        id: ID! sku: String quantity: Int! currentQuantity: Int! unfulfilledQuantity: Int! variant: ProductVariant
    }
    type LineItemEdge { node: LineItem! }
    type LineItemConnection { nodes: [LineItem!]! edges: [LineItemEdge!]! pageInfo: PageInfo! }
    enum RefundLineItemRestockType { CANCEL LEGACY_RESTOCK NO_RESTOCK RETURN }
    type RefundLineItem {
        id: ID lineItem: LineItem! quantity: Int! restockType: RefundLineItemRestockType! restocked: Boolean!
        location: Location
    }
    type RefundLineItemEdge { node: RefundLineItem! }
    type RefundLineItemConnection { nodes: [RefundLineItem!]! edges: [RefundLineItemEdge!]! pageInfo: PageInfo! }
    type Refund implements Node {
        id: ID! createdAt: DateTime refundLineItems(first: Int, after: String): RefundLineItemConnection!
    }
    type Order implements Node {
        id: ID! name: String! createdAt: DateTime! updatedAt: DateTime! cancelledAt: DateTime test: Boolean!
        lineItems(first: Int, after: String): LineItemConnection! refunds(first: Int): [Refund!]!
        fulfillments(first: Int): [Fulfillment!]!
        fulfillmentOrders(first: Int, after: String): FulfillmentOrderConnection!
    }
    type OrderEdge { node: Order! }
    type OrderConnection { nodes: [Order!]! edges: [OrderEdge!]! pageInfo: PageInfo! }
    enum OrderSortKeys { ID PROCESSED_AT UPDATED_AT }
    enum FulfillmentOrderStatus { CANCELLED CLOSED INCOMPLETE IN_PROGRESS ON_HOLD OPEN SCHEDULED }
    enum FulfillmentStatus { CANCELLED ERROR FAILURE SUCCESS }
    type FulfillmentOrderAssignedLocation { name: String! location: Location }
    type FulfillmentOrderLineItem implements Node {
        id: ID! totalQuantity: Int! remainingQuantity: Int! lineItem: LineItem!
    }
    type FulfillmentOrderLineItemEdge { node: FulfillmentOrderLineItem! }
    type FulfillmentOrderLineItemConnection {
        nodes: [FulfillmentOrderLineItem!]! edges: [FulfillmentOrderLineItemEdge!]! pageInfo: PageInfo!
    }
    type FulfillmentLineItem implements Node { id: ID! quantity: Int lineItem: LineItem! }
    type FulfillmentLineItemEdge { node: FulfillmentLineItem! }
    type FulfillmentLineItemConnection {
        nodes: [FulfillmentLineItem!]! edges: [FulfillmentLineItemEdge!]! pageInfo: PageInfo!
    }
    type Fulfillment implements Node {
        id: ID! createdAt: DateTime! status: FulfillmentStatus! location: Location
        fulfillmentLineItems(first: Int, after: String): FulfillmentLineItemConnection!
    }
    type FulfillmentOrder implements Node {
        id: ID! status: FulfillmentOrderStatus! orderId: ID! assignedLocation: FulfillmentOrderAssignedLocation!
        lineItems(first: Int, after: String): FulfillmentOrderLineItemConnection!
    }
    type FulfillmentOrderEdge { node: FulfillmentOrder! }
    type FulfillmentOrderConnection { nodes: [FulfillmentOrder!]! edges: [FulfillmentOrderEdge!]! pageInfo: PageInfo! }
    enum BulkOperationStatus { CANCELED CANCELING COMPLETED CREATED EXPIRED FAILED RUNNING }
    enum BulkOperationErrorCode { ACCESS_DENIED INTERNAL_SERVER_ERROR TIMEOUT }
    type BulkOperation implements Node {
        id: ID! status: BulkOperationStatus! errorCode: BulkOperationErrorCode createdAt: DateTime!
        completedAt: DateTime objectCount: UnsignedInt64! rootObjectCount: UnsignedInt64! fileSize: UnsignedInt64
        url: URL partialDataUrl: URL query: String!
    }
    enum BulkOperationUserErrorCode { INVALID LIMIT_REACHED OPERATION_IN_PROGRESS }
    type BulkOperationUserError { code: BulkOperationUserErrorCode field: [String!] message: String! }
    type BulkOperationRunQueryPayload { bulkOperation: BulkOperation userErrors: [BulkOperationUserError!]! }
    input InventoryQuantityInput {
        inventoryItemId: ID! locationId: ID! quantity: Int! changeFromQuantity: Int
    }
    input InventorySetQuantitiesInput {
        name: String! reason: String! referenceDocumentUri: String quantities: [InventoryQuantityInput!]!
    }
    input InventoryChangeInput {
        delta: Int! inventoryItemId: ID! locationId: ID! ledgerDocumentUri: String changeFromQuantity: Int
    }
    input InventoryAdjustQuantitiesInput {
        name: String! reason: String! referenceDocumentUri: String changes: [InventoryChangeInput!]!
    }
    type InventoryAdjustmentGroup { id: ID! createdAt: DateTime! reason: String! referenceDocumentUri: String }
    type InventoryUserError { code: String field: [String!] message: String! }
    type InventoryPayload { inventoryAdjustmentGroup: InventoryAdjustmentGroup userErrors: [InventoryUserError!]! }
    type Query {
        shop: Shop!
        currentAppInstallation: AppInstallation!
        productVariantsCount(limit: Int = 10000, query: String): Count
        locations(first: Int, after: String, includeInactive: Boolean = false): LocationConnection!
        inventoryItems(first: Int, after: String, query: String): InventoryItemConnection!
        orders(first: Int, after: String, query: String, sortKey: OrderSortKeys = PROCESSED_AT): OrderConnection!
        node(id: ID!): Node
        nodes(ids: [ID!]!): [Node]!
    }
    type Mutation {
        bulkOperationRunQuery(query: String!, groupObjects: Boolean = true): BulkOperationRunQueryPayload
        inventorySetQuantities(input: InventorySetQuantitiesInput!): InventoryPayload
        inventoryAdjustQuantities(input: InventoryAdjustQuantitiesInput!): InventoryPayload
    }
    """
)

REASONS = {
    "correction", "cycle_count_available", "damaged", "movement_canceled", "movement_created", "movement_received",
    "movement_updated", "other", "promotion", "quality_control", "received", "reservation_created",
    "reservation_deleted", "reservation_updated", "restock", "safety_stock", "shrinkage",
}  # fmt: skip


#: Fields of an order that need more than the scope to read orders.
FIELD_SCOPES = {
    ("LineItem", "variant"): "read_products",
    ("Order", "fulfillmentOrders"): "read_merchant_managed_fulfillment_orders",
}


def gid(kind, number):
    """Shopify's global id of an object."""
    return f"gid://shopify/{kind}/{number}"


def instant(value):
    """An instant as the API writes it."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Object:
    """Attributes by their GraphQL names; connections are lists."""

    def __init__(self, kind, number, **fields):
        self.kind = kind
        self.number = number
        self.id = gid(kind, number)
        self.__dict__.update(fields)


@dataclass
class Bulk:
    """What becomes of bulk operations: `fail_after` root objects the next ones fail, once each."""

    polls: int = 0
    fail_after: list[int] = field(default_factory=list)
    error: str = "INTERNAL_SERVER_ERROR"
    partial: bool = True
    at_once: int = 5


class Shop:
    """The state of a shop and what it answers."""

    def __init__(self, server, clock=lambda: datetime.now(UTC)):
        self.server = server
        self.clock = clock
        self.lock = threading.RLock()
        self.objects = {}
        self.locations, self.items, self.orders = [], [], []
        self.scopes = ["read_inventory", "write_inventory", "read_orders", "read_products", "read_locations",
                       "read_merchant_managed_fulfillment_orders"]  # fmt: skip
        self.tokens = [TOKEN]
        self.bulk = Bulk()
        self.operations = {}
        self.files = {}
        self.keys = {}
        self.applied = []
        self.maximum, self.restore_rate = 2000.0, 100.0
        self.available, self.refilled_at = self.maximum, time.monotonic()
        self.throttled = 0
        # Answers instead of the next ones, and instead of those to the next mutations, which are done all the same.
        self.faults, self.lost = [], []
        self.queries = []
        self.before_mutation = lambda: None
        self._number = 1000
        server.answer = self.answer

    # What is in the shop ---------------------------------------------------------------------------

    def _new(self, kind, number=None, **fields):
        self._number += 1
        found = _Object(kind, number or self._number, **fields)
        self.objects[found.id] = found
        return found

    def location(self, name):
        found = self._new("Location", name=name, isActive=True)
        self.locations.append(found)
        return found

    def item(self, sku, tracked=True, mutable=True, **available):
        """An inventory item with what is available at each location, by the name of the location."""
        found = self._new("InventoryItem", sku=sku, tracked=tracked, mutable=mutable, inventoryLevels=[])
        for location in self.locations:
            if location.name in available:
                self._stock(found, location, available[location.name])
        self.items.append(found)
        return found

    def _stock(self, item, location, count):
        numbers = {"available": count, "committed": 0, "on_hand": count, "incoming": 0}
        level = self._new("InventoryLevel", location=location, item=item, updatedAt=instant(self.clock()),
                          numbers=numbers)  # fmt: skip
        item.inventoryLevels.append(level)

    def order(self, name, lines, at, location, test=False):
        """An order of (sku, quantity) that is to be fulfilled from a location."""
        order = self._new("Order", name=name, createdAt=instant(at), updatedAt=instant(at), cancelledAt=None,
                          test=test, lineItems=[], refunds=[], fulfillments=[], fulfillmentOrders=[])  # fmt: skip
        for sku, quantity in lines:
            order.lineItems.append(self._new("LineItem", sku=sku, quantity=quantity, currentQuantity=quantity,
                                             unfulfilledQuantity=quantity, variant=None))  # fmt: skip
        self.orders.append(order)
        self._route(order, location, [(line, line.quantity) for line in order.lineItems])
        return order

    def _route(self, order, location, quantities):
        routed = self._new("FulfillmentOrder", status="OPEN", orderId=order.id, lineItems=[], fulfillments=[],
                           assignedLocation=_Object("", 0, name=location.name, location=location))  # fmt: skip
        for line, quantity in quantities:
            routed.lineItems.append(self._new("FulfillmentOrderLineItem", totalQuantity=quantity,
                                              remainingQuantity=quantity, lineItem=line))  # fmt: skip
        order.fulfillmentOrders.append(routed)
        return routed

    def fulfil(self, order, quantities, at):
        """Send quantities of the order's lines, by their place, from where they were routed to."""
        routed = order.fulfillmentOrders[0]
        lines = []
        for place, quantity in quantities.items():
            line = order.lineItems[place]
            line.unfulfilledQuantity -= quantity
            next(each for each in routed.lineItems if each.lineItem is line).remainingQuantity -= quantity
            lines.append(self._new("FulfillmentLineItem", quantity=quantity, lineItem=line))
        order.fulfillments.append(self._new("Fulfillment", createdAt=instant(at), status="SUCCESS",
                                            location=routed.assignedLocation.location,
                                            fulfillmentLineItems=lines))  # fmt: skip
        order.updatedAt = instant(at)

    def refund(self, order, quantities, restock, at, location=None):
        """Refund quantities of the order's lines, by their place; CANCEL takes them out of what is to be sent."""
        routed = order.fulfillmentOrders[0]
        lines = []
        for place, quantity in quantities.items():
            line = order.lineItems[place]
            line.currentQuantity -= quantity
            if restock == "CANCEL":
                line.unfulfilledQuantity -= quantity
                part = next(each for each in routed.lineItems if each.lineItem is line)
                part.totalQuantity -= quantity
                part.remainingQuantity -= quantity
            lines.append(self._new("RefundLineItem", lineItem=line, quantity=quantity, restockType=restock,
                                   restocked=restock != "NO_RESTOCK", location=location))  # fmt: skip
        order.refunds.append(self._new("Refund", createdAt=instant(at), refundLineItems=lines))
        order.updatedAt = instant(at)

    def number(self, sku, location, name="available"):
        """What the shop shows."""
        levels = next(item for item in self.items if item.sku == sku).inventoryLevels
        return next(level for level in levels if level.location.name == location).numbers[name]

    # HTTP ------------------------------------------------------------------------------------------

    def answer(self, asked):
        if asked.path.startswith("/bulk/"):
            return self._file(asked)
        if asked.path == "/admin/oauth/access_token":
            return self._granted(asked)
        if asked.path != f"/admin/api/{VERSION}/graphql.json" or asked.method != "POST":
            return web.Answer({"errors": "Not Found"}, 404)
        if asked.headers.get("x-shopify-access-token") not in self.tokens:
            message = "[API] Invalid API key or access token (unrecognized login or wrong password)"
            return web.Answer({"errors": message}, 401)
        if asked.headers.get("content-type") != "application/json":
            return web.Answer({"errors": "Unsupported Media Type"}, 415)
        query, variables = asked.json["query"], asked.json.get("variables") or {}
        self.queries.append((query, variables))
        if self.faults:
            return self.faults.pop(0)
        answer = web.Answer(self._execute(query, variables))
        lost = self.lost.pop(0) if self.lost and query.lstrip().startswith("mutation") else None
        return answer if lost is None else lost

    def _granted(self, asked):
        """The client credentials grant: a token for a day."""
        form = dict(parse_qsl(asked.body.decode()))
        if form != {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}:
            return web.Answer({"error": "application_cannot_be_found"}, 400)
        self.tokens.append(f"shpat_granted{len(self.tokens)}")
        told = {"access_token": self.tokens[-1], "scope": ",".join(self.scopes), "expires_in": 86399}
        return web.Answer(told)

    def _file(self, asked):
        assert "x-shopify-access-token" not in asked.headers, "the token went to another server"
        parts = urlsplit(asked.path)
        content = self.files.get(parts.path)
        if content is None or asked.params.get("signature") != "signed":
            return web.Answer(b"<Error>AccessDenied</Error>", 403)
        fault = self.faults.pop(0) if self.faults else None
        begin = int(asked.headers.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        headers = {"Content-Range": f"bytes {begin}-{len(content) - 1}/{len(content)}"} if begin else {}
        cut = fault.cut if fault else None
        return web.Answer(content[begin:], 206 if begin else 200, headers, cut=cut)

    def _execute(self, query, variables):
        with self.lock:
            cost, refusal = self._pay(query)
            if refusal is not None:
                return refusal
            self.before_mutation() if query.lstrip().startswith("mutation") else None
            result = graphql_sync(SCHEMA, query, self._root(), self, variables, field_resolver=_resolve,
                                  type_resolver=lambda value, *_: value.kind)  # fmt: skip
            told = {"extensions": {"cost": cost}}
            if result.errors:
                told["errors"] = [each.formatted for each in result.errors]
            if result.data is not None:
                told["data"] = result.data
            return told

    def _pay(self, query):
        """Calculated cost: an object is a point, a mutation ten, what a connection holds its share of them."""
        now = time.monotonic()
        self.available = min(self.maximum, self.available + (now - self.refilled_at) * self.restore_rate)
        self.refilled_at = now
        wanted = 10 if query.lstrip().startswith("mutation") else 1 + query.count("{")
        refused = self.available < wanted
        if not refused:
            self.available -= wanted
        status = {"maximumAvailable": self.maximum, "currentlyAvailable": int(self.available),
                  "restoreRate": self.restore_rate}  # fmt: skip
        cost = {"requestedQueryCost": wanted, "actualQueryCost": None if refused else wanted, "throttleStatus": status}
        if not refused:
            return cost, None
        self.throttled += 1
        error = {"message": "Throttled", "extensions": {"code": "THROTTLED"}}
        return cost, {"errors": [error], "extensions": {"cost": cost}}

    # Queries ---------------------------------------------------------------------------------------

    def _root(self):
        return {
            "shop": _Object("Shop", 1, name="Shop", myshopifyDomain="shop.myshopify.com", ianaTimezone="Europe/Berlin"),
            "currentAppInstallation": {"accessScopes": [{"handle": scope} for scope in self.scopes]},
            "productVariantsCount": self._count,
            "locations": self._locations,
            "inventoryItems": self._inventory_items,
            "orders": self._orders,
            "node": lambda info, id: self._node(id),
            "nodes": lambda info, ids: [self._node(each) for each in ids],
            "bulkOperationRunQuery": self._run_bulk,
            "inventorySetQuantities": self._set,
            "inventoryAdjustQuantities": self._adjust,
        }

    def _count(self, info, **_):
        self._scoped("read_products", "productVariantsCount")
        return {"count": len(self.items), "precision": "EXACT"}

    def _locations(self, info, first=None, **_):
        self._scoped("read_locations", "locations")
        return _page(self.locations, first)

    def _scoped(self, scope, name):
        if not {scope, scope.replace("read_", "write_", 1)} & set(self.scopes):
            raise GraphQLError(
                f"Access denied for {name} field. Required access: `{scope}` access scope.",
                extensions={"code": "ACCESS_DENIED", "requiredAccess": f"`{scope}` access scope."},
            )

    def _inventory_items(self, info, first=None, after=None, query=None):
        self._scoped("read_inventory", "inventoryItems")
        return _page(_matching(self.items, query), first, after)

    def _orders(self, info, first=None, query=None, sortKey="PROCESSED_AT", **_):  # noqa: N803
        self._scoped("read_orders", "orders")
        found = _matching(self.orders, query)
        return _page(sorted(found, key=lambda each: each.number) if sortKey == "ID" else found[::-1], first)

    def _node(self, wanted):
        if "/BulkOperation/" in wanted:
            return self._polled(wanted)
        return self.objects.get(wanted)

    # Bulk operations -------------------------------------------------------------------------------

    def _run_bulk(self, info, query, groupObjects=True):  # noqa: N803
        running = [each for each in self.operations.values() if each.status in ("CREATED", "RUNNING")]
        if len(running) >= self.bulk.at_once:
            told = "The maximum number of concurrent bulk query operations for this app and shop has been reached."
            return {"bulkOperation": None, "userErrors": [{"code": "LIMIT_REACHED", "field": None, "message": told}]}
        wrong = bulk_errors(query)
        if wrong:
            errors = [{"code": "INVALID", "field": ["query"], "message": message} for message in wrong]
            return {"bulkOperation": None, "userErrors": errors}
        operation = self._new("BulkOperation", status="CREATED", errorCode=None, createdAt=instant(self.clock()),
                              completedAt=None, objectCount="0", rootObjectCount="0", fileSize=None, url=None,
                              partialDataUrl=None, query=query, polls=self.bulk.polls)  # fmt: skip
        self.operations[operation.id] = operation
        self._prepare(operation, query, groupObjects)
        return {"bulkOperation": operation, "userErrors": []}

    def _prepare(self, operation, query, grouped):
        """Execute now, as of when it was created; what comes of it shows when it was polled often enough."""
        result = graphql_sync(SCHEMA, query, self._root(), self, field_resolver=_resolve,
                              type_resolver=lambda value, *_: value.kind)  # fmt: skip
        if result.errors:
            operation.outcome = {"status": "FAILED", "errorCode": "ACCESS_DENIED"}
            return
        roots = [edge["node"] for edge in next(iter(result.data.values()))["edges"]]
        fail_after = self.bulk.fail_after.pop(0) if self.bulk.fail_after else None
        content, objects = _json_lines(roots if fail_after is None else roots[:fail_after], grouped)
        name = f"/bulk/{operation.number}.jsonl"
        self.files[name] = content
        url = f"{self.server.url}{name}?signature=signed" if content else None
        counted = {
            "objectCount": str(objects),
            "rootObjectCount": str(len(roots)),
            "completedAt": instant(self.clock()),
        }
        if fail_after is None:
            operation.outcome = {"status": "COMPLETED", "url": url, "fileSize": str(len(content)), **counted}
        else:
            partial = url if self.bulk.partial else None
            operation.outcome = {"status": "FAILED", "errorCode": self.bulk.error, "partialDataUrl": partial, **counted}

    def _polled(self, wanted):
        operation = self.operations.get(wanted)
        if operation is not None:
            operation.polls -= 1
            operation.status = "RUNNING"
            if operation.polls < 0:
                operation.__dict__.update(operation.outcome)
        return operation

    # Inventory mutations ---------------------------------------------------------------------------

    def _set(self, info, input):
        return self._change(info, input, input["quantities"], "quantities")

    def _adjust(self, info, input):
        return self._change(info, input, input["changes"], "changes")

    def _change(self, info, given, lines, listed):
        key = _idempotency_key(info)
        self._scoped("write_inventory", info.field_name)
        for place, line in enumerate(lines):
            if "changeFromQuantity" not in line:
                raise GraphQLError(
                    f"InventoryQuantityInput must include the following argument: changeFromQuantity ({listed}.{place})"
                )
        if len(lines) > 250:
            raise GraphQLError(
                f"The input array size of {len(lines)} is greater than the maximum allowed of 250.",
                extensions={"code": "MAX_INPUT_SIZE_EXCEEDED"},
            )
        known = self.keys.get(key)
        if known == "under way":
            return _refused("IDEMPOTENCY_CONCURRENT_REQUEST", None, "This request is currently in progress, please "
                            "try again.")  # fmt: skip
        told = json.dumps([info.field_name, given], sort_keys=True)
        if known is not None and known[0] != told:
            return _refused("IDEMPOTENCY_KEY_PARAMETER_MISMATCH", None, "The same idempotency key cannot be used with "
                            "different operation parameters.")  # fmt: skip
        if known is not None:
            return known[1]
        errors = self._wrong(info.field_name, given, lines, listed)
        if errors:
            return {"inventoryAdjustmentGroup": None, "userErrors": errors}
        for line in lines:
            self._apply(given["name"], line)
        group = self._new("InventoryAdjustmentGroup", createdAt=instant(self.clock()), reason=given["reason"],
                          referenceDocumentUri=given.get("referenceDocumentUri"))  # fmt: skip
        answer = {"inventoryAdjustmentGroup": group, "userErrors": []}
        self.keys[key] = (told, answer)
        self.applied.append((info.field_name, key, given))
        return answer

    def _wrong(self, mutation, given, lines, listed):
        """The user errors of all lines; with any of them, nothing is changed."""
        errors = []

        def wrong(code, message, *path):
            errors.append({"code": code, "field": ["input", *map(str, path)], "message": message})

        names = ("available", "on_hand") if mutation == "inventorySetQuantities" else ("available", "damaged",
                 "incoming", "quality_control", "reserved", "safety_stock")  # fmt: skip
        if given["name"] not in names:
            wrong("INVALID_NAME", f"The quantity name must be one of: {', '.join(names)}.", "name")
        if given["reason"] not in REASONS:
            wrong("INVALID_REASON", "The specified reason is invalid.", "reason")
        uri = given.get("referenceDocumentUri")
        if uri is not None and (not re.match(r"[a-z][\w+.-]*://[\w-]+/\w+", uri) or uri.startswith("gid://shopify/")):
            wrong("INVALID_REFERENCE_DOCUMENT", "The specified reference document is invalid.", "referenceDocumentUri")
        seen = set()
        for place, line in enumerate(lines):
            self._wrong_line(given["name"], line, seen, lambda code, message, *path, at=place:
                             wrong(code, message, listed, at, *path))  # fmt: skip
        return errors

    def _wrong_line(self, name, line, seen, wrong):
        item, location = self.objects.get(line["inventoryItemId"]), self.objects.get(line["locationId"])
        if item is None or item.kind != "InventoryItem":
            return wrong(
                "INVALID_INVENTORY_ITEM", "The specified inventory item could not be found.", "inventoryItemId"
            )
        if location is None or location.kind != "Location":
            return wrong("INVALID_LOCATION", "The specified location could not be found.", "locationId")
        if (item.id, location.id) in seen:
            return wrong("NO_DUPLICATE_INVENTORY_ITEM_ID_GROUP_ID_PAIR",
                         "The combination of inventoryItemId and locationId must be unique.")  # fmt: skip
        seen.add((item.id, location.id))
        if not item.mutable:
            return wrong("NON_MUTABLE_INVENTORY_ITEM", "The specified inventory item is not allowed to be adjusted "
                         "via API.", "inventoryItemId")  # fmt: skip
        level = next((each for each in item.inventoryLevels if each.location is location), None)
        if level is None and "delta" in line:
            return None  # an inactive level will be made
        if level is None:
            return wrong("ITEM_NOT_STOCKED_AT_LOCATION", "The specified inventory item is not stocked at the location.",
                         "locationId")  # fmt: skip
        if abs(line.get("quantity", line.get("delta"))) > 1_000_000_000:
            return wrong("INVALID_QUANTITY_TOO_HIGH", "The total quantity can't be higher than 1,000,000,000.",
                         "quantity")  # fmt: skip
        expected = line["changeFromQuantity"]
        if expected is not None and expected != level.numbers[name]:
            return wrong("CHANGE_FROM_QUANTITY_STALE", "The changeFromQuantity value does not match persisted value.",
                         "changeFromQuantity")  # fmt: skip
        return None

    def _apply(self, name, line):
        item, location = self.objects[line["inventoryItemId"]], self.objects[line["locationId"]]
        if not any(each.location is location for each in item.inventoryLevels):
            self._stock(item, location, 0)
        numbers = next(each for each in item.inventoryLevels if each.location is location).numbers
        delta = line["delta"] if "delta" in line else line["quantity"] - numbers[name]
        numbers["available"] += delta
        numbers["on_hand"] += delta


def _idempotency_key(info):
    told = get_directive_values(SCHEMA.get_directive("idempotent"), info.field_nodes[0], info.variable_values)
    if told is None or not told["key"]:
        raise GraphQLError(
            "The @idempotent directive is required for this mutation but was not provided.",
            extensions={"code": "BAD_REQUEST"},
        )
    return told["key"]


def _refused(code, path, message):
    return {"inventoryAdjustmentGroup": None, "userErrors": [{"code": code, "field": path, "message": message}]}


def _page(found, first, after=None):
    if first is not None and first > 250:
        raise GraphQLError("The `first` argument may be at most 250.")
    begin = int(after or 0)
    end = len(found) if first is None else begin + first
    return {"shown": found[begin:end], "more": end < len(found), "end": str(end)}


def _resolve(source, info, **arguments):
    """An attribute or key; lists that the schema calls connections come as such."""
    name = info.field_name
    if (info.parent_type.name, name) in FIELD_SCOPES:
        info.context._scoped(FIELD_SCOPES[info.parent_type.name, name], name)
    if info.parent_type.name.endswith("Connection"):
        return _connection(source, name)
    if info.parent_type.name.endswith("Edge"):
        return source
    if name == "quantities":
        return [_quantity(source, each) for each in arguments["names"]]
    if name == "inventoryLevel":
        levels = source.inventoryLevels
        return next((each for each in levels if each.location.id == arguments["locationId"]), None)
    found = source.get(name) if isinstance(source, dict) else getattr(source, name, None)
    if callable(found):
        return found(info, **arguments)
    if get_named_type(info.return_type).name.endswith("Connection") and isinstance(found, list):
        return _page(found, arguments.get("first"))
    return found


def _connection(source, name):
    if name == "pageInfo":
        return {"hasNextPage": source["more"], "endCursor": source["end"]}
    return source["shown"]


def _quantity(level, name):
    if name not in (*level.numbers, "reserved", "damaged", "safety_stock", "quality_control"):
        raise GraphQLError(f"The quantity name {name} is invalid.")
    return {"id": f"{level.id}?{name}", "name": name, "quantity": level.numbers.get(name, 0),
            "updatedAt": level.updatedAt}  # fmt: skip


def _matching(found, query):
    """Shopify's search syntax, as far as it is used here: terms `field:value`, `field:>=value`, OR and AND."""
    if not query:
        return list(found)
    ands = [part.strip().strip("()") for part in query.split(" AND ")]
    return [each for each in found if all(any(_term(each, term) for term in part.split(" OR ")) for part in ands)]


def _term(found, term):
    match = re.fullmatch(r"\s*\(?(\w+):(>=|>|)(?:'((?:[^'\\]|\\.)*)'|(\S+?))\)?\s*", term)
    assert match is not None, f"search syntax: {term}"
    name, comparison, quoted, plain = match.groups()
    value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
    if name == "id":
        return found.number >= int(value) if comparison == ">=" else found.number > int(value)
    if name == "sku":
        return (found.sku or "").lower().startswith(value.lower())
    if name == "updated_at":
        return getattr(found, "updatedAt", "9999") >= value
    if name == "status":
        shown = getattr(found, "status", None)
        return shown.lower() == value if shown else found.cancelledAt is None
    raise AssertionError(f"no filter {name!r}")


def _json_lines(roots, grouped):
    """A line an object; children carry `__parentId`, and stand below their parent or all of them at the end."""
    lines, later = [], []

    def put(found, parent, into):
        plain = {name: value for name, value in found.items() if not (isinstance(value, dict) and "edges" in value)}
        into.append({**plain, **({"__parentId": parent} if parent else {})})
        for value in found.values():
            if isinstance(value, dict) and "edges" in value:
                for edge in value["edges"]:
                    put(edge["node"], found["id"], into if grouped else later)

    for root in roots:
        put(root, None, lines)
    lines += later
    return b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines), len(lines)


def bulk_errors(query):
    """What the documented rules for bulk queries have against a query."""
    try:
        document = parse(query)
    except GraphQLError as error:
        return [f"Invalid bulk query: {error.message}"]
    if document.definitions[0].operation.value != "query":
        return ["Invalid operation type. Only `query` operations are supported."]
    wrong = [error.message for error in validate(SCHEMA, document)]
    return wrong or _bulk_shape(document)


def _bulk_shape(document):
    info = TypeInfo(SCHEMA)
    count, deepest, wrong, stack = 0, 0, [], []

    class Shape(Visitor):
        def enter_field(self, node, *_):
            nonlocal count, deepest
            kind = info.get_type()
            listed = isinstance(kind.of_type if isinstance(kind, GraphQLNonNull) else kind, GraphQLList)
            named = get_named_type(kind)
            connects = isinstance(named, GraphQLObjectType) and named.name.endswith("Connection")
            if connects:
                count += 1
                deepest = max(deepest, stack.count("connection"))
                if "list" in stack:
                    wrong.append("Queries that contain a connection field within a list field are not currently "
                                 "supported.")  # fmt: skip
                if any(child.name.value in ("nodes", "pageInfo") for child in node.selection_set.selections):
                    wrong.append("Bulk queries use edges { node }.")
            if node.name.value == "node" and stack and _holds_connection(node) and not _selects_id(node):
                wrong.append("The parent 'node' field for a nested connection must select the 'id' field without an "
                             "alias.")  # fmt: skip
            edges = node.name.value == "edges"
            stack.append("connection" if connects else "list" if listed and not edges else "field")

        def leave_field(self, *_):
            stack.pop()

    visit(document, TypeInfoVisitor(info, Shape()))
    if count == 0:
        wrong.append("Bulk queries must contain at least one connection.")
    if count > 5:
        wrong.append("Bulk queries cannot contain more than 5 connections.")
    if deepest > 2:
        wrong.append("Bulk queries cannot contain connections with a nesting depth greater than 2.")
    return wrong


def _holds_connection(node):
    return any(
        isinstance(child, FieldNode) and child.selection_set
        and any(isinstance(each, FieldNode) and each.name.value == "edges" for each in child.selection_set.selections)
        for child in node.selection_set.selections
    )  # fmt: skip


def _selects_id(node):
    return any(isinstance(child, FieldNode) and child.name.value == "id" and not child.alias
               for child in node.selection_set.selections)  # fmt: skip


@contextmanager
def shop(**options):
    """A shop that answers until the end of the block."""
    with web.serving() as server:
        yield Shop(server, **options)
