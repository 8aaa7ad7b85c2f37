"""Corrections to a shop: compare-and-set in batches, a line that is refused never fails the others.

Source: shopify.dev, Admin API 2026-04: `inventorySetQuantities` compares `changeFromQuantity`,
`inventoryAdjustQuantities` adds; both need `@idempotent(key:)`, take 250 lines, and change nothing at all
where one line has a user error. So the lines that are refused are taken out, and the rest is sent again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID, uuid5

from pydantic import Field

from pipelines.connectors import Context
from pipelines.connectors.shopify_api import Access, Api
from reconcilers.corrections import Correction, Mode, Receipt, Status
from reconcilers.errors import Unreachable

_NAMESPACE = UUID("6f8a2f0a-9d6b-5d0e-8a55-6d1f5d1c2f10")

_SET = """
mutation ($input: InventorySetQuantitiesInput!, $key: String!) {
  inventorySetQuantities(input: $input) @idempotent(key: $key) {
    inventoryAdjustmentGroup { id }
    userErrors { code field message }
  }
}
"""

_ADJUST = """
mutation ($input: InventoryAdjustQuantitiesInput!, $key: String!) {
  inventoryAdjustQuantities(input: $input) @idempotent(key: $key) {
    inventoryAdjustmentGroup { id }
    userErrors { code field message }
  }
}
"""

_LOCATIONS = """
query { locations(first: 250, includeInactive: true) { nodes { id name } } }
"""

_ITEMS = """
query ($query: String!, $after: String) {
  inventoryItems(first: 250, query: $query, after: $after) { nodes { id sku } pageInfo { hasNextPage endCursor } }
}
"""

_LEVELS = """
query ($ids: [ID!]!, $location: ID!, $name: String!) {
  nodes(ids: $ids) {
    ... on InventoryItem { id inventoryLevel(locationId: $location) { quantities(names: [$name]) { quantity } } }
  }
}
"""

#: SKUs that are looked up, and levels that are read, at once.
_AT_ONCE = 50

#: The documented reasons; any other word is a correction.
_REASONS = frozenset(
    {"correction", "cycle_count_available", "damaged", "other", "promotion", "quality_control", "received"}
    | {"restock", "safety_stock", "shrinkage"}
)

#: How often a batch that is under way elsewhere is asked after.
_CONCURRENT_TRIES = 5


class SinkOptions(Access):
    """Which number of which shop is corrected."""

    quantity: Literal["available", "on_hand"] = Field("available", description="the number: available, or on_hand")
    locations: dict[str, str] = Field(
        {}, description="location of a correction: the shop's own id of it (the shop's location of that name or id)"
    )


@dataclass(frozen=True)
class _Line:
    correction: Correction
    item: str
    location: str

    def quantity(self) -> dict[str, Any]:
        """The line of `inventorySetQuantities`."""
        given = self.correction
        return {
            "inventoryItemId": self.item,
            "locationId": self.location,
            "quantity": int(given.value),
            "changeFromQuantity": None if given.change_from is None else int(given.change_from),
        }

    def change(self) -> dict[str, Any]:
        """The line of `inventoryAdjustQuantities`, which does not compare."""
        given = self.correction
        return {
            "inventoryItemId": self.item,
            "locationId": self.location,
            "delta": int(given.delta),
            "changeFromQuantity": None,
        }


class Sink:
    """One shop."""

    modes = frozenset({Mode.SET, Mode.DELTA})
    batch_size = 250

    def __init__(self, options: SinkOptions, context: Context) -> None:
        self.options = options
        self._api = Api(options)
        self._locations: dict[str, str] = {}
        self._items: dict[str, list[str]] = {}

    def send(self, corrections: Sequence[Correction]) -> list[Receipt]:
        """Send a batch; a receipt each, APPLIED where the shop has said so.

        Raises:
            Unreachable: no answer, so that any of them may have been applied.
        """
        self._look_up({each.sku for each in corrections})
        receipts: dict[str, Receipt] = {}
        groups: dict[tuple[Mode, str, str], list[_Line]] = {}
        for each in corrections:
            line = self._line(each)
            if isinstance(line, Receipt):
                receipts[each.idempotency_key] = line
            else:
                reason = each.reason if each.reason in _REASONS else "correction"
                groups.setdefault((each.mode, reason, each.run_id), []).append(line)
        for (mode, reason, run_id), lines in groups.items():
            receipts |= self._send(mode, {"reason": reason, "referenceDocumentUri": f"gid://recon/Run/{run_id}"}, lines)
        return [receipts[each.idempotency_key] for each in corrections]

    def observe(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Decimal]:
        """What the shop shows now; a key that it does not stock is left out. Raises `Unreachable`."""
        self._look_up({sku for sku, _ in keys})
        wanted: dict[str, dict[str, tuple[str, str]]] = {}
        for sku, location in keys:
            place, items = self._locations.get(location), self._items.get(sku, [])
            if place is not None and len(items) == 1:
                wanted.setdefault(place, {})[items[0]] = (sku, location)
        found: dict[tuple[str, str], Decimal] = {}
        for place, items_at in wanted.items():
            for ids in _chunks(list(items_at)):
                told = self._api.query(_LEVELS, ids=ids, location=place, name=self.options.quantity)["nodes"]
                for node in told:
                    if node and node["inventoryLevel"]:
                        quantity = node["inventoryLevel"]["quantities"][0]["quantity"]
                        found[items_at[node["id"]]] = Decimal(quantity)
        return found

    def close(self) -> None:
        """Let go of the connection."""
        self._api.close()

    def _line(self, correction: Correction) -> _Line | Receipt:
        """Where a correction goes, or why it goes nowhere."""
        items, location = self._items[correction.sku], self._locations.get(correction.location)
        numbers = (correction.value, correction.delta, correction.change_from or Decimal(0))
        refusal = None
        if correction.basis != self.options.quantity:
            refusal = f"a correction of {correction.basis}; this sink writes {self.options.quantity}"
        elif correction.mode not in self.modes:
            refusal = f"mode {correction.mode} is not offered"
        elif correction.mode is Mode.SET and correction.change_from is None:
            refusal = "no number to compare with"
        elif len(items) != 1:
            refusal = "no inventory item has this SKU" if not items else f"{len(items)} inventory items have this SKU"
        elif location is None:
            refusal = f"no location {correction.location!r} in the shop"
        elif any(number != number.to_integral_value() for number in numbers):
            refusal = "not in whole units"
        if refusal is not None or location is None:
            return Receipt(correction.idempotency_key, Status.REJECTED, refusal or "")
        return _Line(correction, items[0], location)

    def _send(self, mode: Mode, about: dict[str, str], lines: list[_Line]) -> dict[str, Receipt]:
        """Send lines of one kind until each has its answer; each round takes refused ones out."""
        lines = sorted(lines, key=lambda line: line.correction.idempotency_key)
        receipts: dict[str, Receipt] = {}
        stale: list[_Line] = []
        if mode is Mode.DELTA:
            lines, receipts = self._stocked(lines)
        while lines:
            errors = self._mutate(mode, about, lines)
            if not errors:
                receipts |= {_key(line): Receipt(_key(line), Status.APPLIED) for line in lines}
                break
            refused: dict[int, dict[str, Any]] = {}
            for error in errors:
                for place in _places(error, len(lines)):
                    refused.setdefault(place, error)
            for place, error in refused.items():
                if error["code"] == "CHANGE_FROM_QUANTITY_STALE":
                    stale.append(lines[place])
                else:
                    message = self._api.session.redacted(error["message"])
                    receipts[_key(lines[place])] = Receipt(_key(lines[place]), Status.REJECTED, message)
            lines = [line for place, line in enumerate(lines) if place not in refused]
        return receipts | self._stale(stale)

    def _stocked(self, lines: list[_Line]) -> tuple[list[_Line], dict[str, Receipt]]:
        """The lines whose item the location stocks: a delta would make an inactive level of another one."""
        shown = self.observe([(line.correction.sku, line.correction.location) for line in lines])
        good: list[_Line] = []
        receipts = {}
        for line in lines:
            if (line.correction.sku, line.correction.location) in shown:
                good.append(line)
            else:
                told = "the inventory item is not stocked at the location"
                receipts[_key(line)] = Receipt(_key(line), Status.REJECTED, told)
        return good, receipts

    def _stale(self, lines: list[_Line]) -> dict[str, Receipt]:
        """What the shop shows instead; where that is the value, an earlier try has come through after all."""
        if not lines:
            return {}
        shown = self.observe([(line.correction.sku, line.correction.location) for line in lines])
        receipts = {}
        for line in lines:
            given, key = line.correction, _key(line)
            observed = shown.get((given.sku, given.location))
            if observed == given.value:
                receipts[key] = Receipt(key, Status.APPLIED, "it shows the value already", observed)
            else:
                receipts[key] = Receipt(key, Status.STALE, f"it shows {observed}, not {given.change_from}", observed)
        return receipts

    def _mutate(self, mode: Mode, about: dict[str, str], lines: list[_Line]) -> list[dict[str, Any]]:
        """The user errors of one mutation. The same lines have the same key, whenever they are sent."""
        key = uuid5(_NAMESPACE, "\n".join([str(mode), *map(_key, lines)]))
        if mode is Mode.SET:
            name, mutation = "inventorySetQuantities", _SET
            given = {**about, "name": self.options.quantity, "quantities": [line.quantity() for line in lines]}
        else:
            # What is available moves on_hand by as much; on_hand itself cannot be adjusted.
            name, mutation = "inventoryAdjustQuantities", _ADJUST
            given = {**about, "name": "available", "changes": [line.change() for line in lines]}
        for attempt in range(_CONCURRENT_TRIES):
            told = self._api.mutate(mutation, input=given, key=str(key))[name]
            errors: list[dict[str, Any]] = told["userErrors"]
            code = errors[0]["code"] if errors else ""
            if code == "IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED":
                key = uuid5(key, "again")
            elif code == "IDEMPOTENCY_CONCURRENT_REQUEST":
                time.sleep(0.2 * 2**attempt)
            elif code == "IDEMPOTENCY_KEY_PARAMETER_MISMATCH":
                raise Unreachable(f"{self._api.where}: {errors[0]['message']}")
            else:
                return errors
        raise Unreachable(f"{self._api.where}: the same batch is under way elsewhere")

    def _look_up(self, skus: set[str]) -> None:
        """The shop's own ids of SKUs and locations."""
        if not self._locations:
            shown = self._api.query(_LOCATIONS)["locations"]["nodes"]
            known = {each["name"]: each["id"] for each in shown}
            known |= {each["id"].rsplit("/", 1)[-1]: each["id"] for each in shown} | {e["id"]: e["id"] for e in shown}
            own = {ours: known[theirs] for ours, theirs in self.options.locations.items() if theirs in known}
            self._locations = {**known, **own}
        for chunk in _chunks(sorted(skus - self._items.keys())):
            nodes = self._search(" OR ".join(f"sku:'{_quoted(sku)}'" for sku in chunk))
            for sku in chunk:
                # The search also finds what only begins like it.
                self._items[sku] = [each["id"] for each in nodes if (each["sku"] or "").strip() == sku]

    def _search(self, query: str) -> list[dict[str, Any]]:
        nodes: list[dict[str, Any]] = []
        after: str | None = None
        while True:
            told = self._api.query(_ITEMS, query=query, after=after)["inventoryItems"]
            nodes += told["nodes"]
            if not told["pageInfo"]["hasNextPage"]:
                return nodes
            after = told["pageInfo"]["endCursor"]


def _key(line: _Line) -> str:
    return line.correction.idempotency_key


def _places(error: dict[str, Any], lines: int) -> list[int]:
    """The lines that an error is about; all of them where it names none."""
    numbers = [int(part) for part in error["field"] or () if str(part).isdigit()]
    return [number for number in numbers[:1] if number < lines] or list(range(lines))


def _chunks(values: list[str]) -> Iterator[list[str]]:
    for place in range(0, len(values), _AT_ONCE):
        yield values[place : place + _AT_ONCE]


def _quoted(sku: str) -> str:
    return sku.replace("\\", "\\\\").replace("'", "\\'")
