"""The canonical records (DOMAIN 1.4): names, types and the closed sets of words used in them.

Everything that crosses a package border is an Arrow table with one of these schemas. Quantities are
exact decimals, instants are UTC with microseconds, text keys are never null.
"""

from __future__ import annotations

from enum import StrEnum

import pyarrow as pa

#: Quantities are DECIMAL(18, scale); 18 digits fit DuckDB's fast 64-bit decimals.
PRECISION = 18
SCALE = 4
INSTANT = pa.timestamp("us", tz="UTC")
TEXT = pa.string()


def quantity_type(scale: int = SCALE) -> pa.DataType:
    """The Arrow type of a quantity with `scale` decimal places."""
    return pa.decimal128(PRECISION, scale)


class Kind(StrEnum):
    """What happened: the kinds of a stock event (DOMAIN 1.2)."""

    HOLD = "HOLD"
    RELEASE = "RELEASE"
    PLACE = "PLACE"
    CANCEL = "CANCEL"
    ALLOCATE = "ALLOCATE"
    DEALLOC = "DEALLOC"
    PICK = "PICK"
    SHIP = "SHIP"
    RETURN_ANNOUNCED = "RETURN_ANNOUNCED"
    RETURN_RECV = "RETURN_RECV"
    RESTOCK = "RESTOCK"
    SCRAP = "SCRAP"
    POS_SALE = "POS_SALE"
    POS_RETURN = "POS_RETURN"
    XFER_OUT = "XFER_OUT"
    XFER_IN = "XFER_IN"
    RECEIPT = "RECEIPT"
    ADJUST = "ADJUST"
    COUNT = "COUNT"
    PUBLISH = "PUBLISH"


class Class(StrEnum):
    """The verdict on one key (DOMAIN 2.3), from fine to impossible to judge."""

    MATCHED = "MATCHED"
    IN_FLIGHT = "IN_FLIGHT"
    LATE = "LATE"
    CONFLICT = "CONFLICT"
    BREAK = "BREAK"
    AMBIGUOUS = "AMBIGUOUS"
    EVENTS_INCOMPLETE = "EVENTS_INCOMPLETE"
    MISSING_IN_A = "MISSING_IN_A"
    MISSING_IN_B = "MISSING_IN_B"
    UNKNOWN = "UNKNOWN"


class Reason(StrEnum):
    """Why numbers differ (DOMAIN 1.5): timing, process failure, data; never mixed with physical causes."""

    # timing: on its way
    ORDER_OPEN = "ORDER_OPEN"
    NOT_ALLOCATED = "NOT_ALLOCATED"
    CART_HOLD = "CART_HOLD"
    MARKET_PENDING = "MARKET_PENDING"
    BACKORDER_OPEN = "BACKORDER_OPEN"
    RETURN_IN_TRANSIT = "RETURN_IN_TRANSIT"
    RETURN_IN_QC = "RETURN_IN_QC"
    TRANSFER_IN_TRANSIT = "TRANSFER_IN_TRANSIT"
    RECEIPT_NOT_POSTED = "RECEIPT_NOT_POSTED"
    POS_NOT_CLOSED = "POS_NOT_CLOSED"
    CORRECTION_IN_FLIGHT = "CORRECTION_IN_FLIGHT"
    EVENT_NOT_POSTED = "EVENT_NOT_POSTED"
    # process failure: somebody has to act
    ORDER_NOT_IMPORTED = "ORDER_NOT_IMPORTED"
    CANCEL_NOT_PROPAGATED = "CANCEL_NOT_PROPAGATED"
    CANCEL_AFTER_SHIP = "CANCEL_AFTER_SHIP"
    SHIP_NOT_POSTED = "SHIP_NOT_POSTED"
    POS_SALE_NOT_POSTED = "POS_SALE_NOT_POSTED"
    DUPLICATE_BACKEND_ORDER = "DUPLICATE_BACKEND_ORDER"
    DUPLICATE_EVENT = "DUPLICATE_EVENT"
    ADJUSTMENT_NOT_PROPAGATED = "ADJUSTMENT_NOT_PROPAGATED"
    TRANSFER_SHORT = "TRANSFER_SHORT"
    TRANSFER_OVER = "TRANSFER_OVER"
    SUBSTITUTED = "SUBSTITUTED"
    RESERVATION_ORPHAN = "RESERVATION_ORPHAN"
    RESERVATION_MISSING = "RESERVATION_MISSING"
    RESTOCK_TWICE = "RESTOCK_TWICE"
    PUBLISH_OVERWRITE = "PUBLISH_OVERWRITE"
    PUBLISH_REJECTED = "PUBLISH_REJECTED"
    BUNDLE_NOT_EXPLODED = "BUNDLE_NOT_EXPLODED"
    # data: the evidence itself is at fault
    SKU_ALIAS = "SKU_ALIAS"
    SKU_EMPTY = "SKU_EMPTY"
    UOM_MISMATCH = "UOM_MISMATCH"
    NODE_MAPPING = "NODE_MAPPING"
    BASIS_MISMATCH = "BASIS_MISMATCH"
    ROUNDING = "ROUNDING"
    NEGATIVE_SOURCE = "NEGATIVE_SOURCE"
    SNAPSHOT_STALE = "SNAPSHOT_STALE"
    SNAPSHOT_TRUNCATED = "SNAPSHOT_TRUNCATED"
    FEED_STALE = "FEED_STALE"
    AS_OF_UNCERTAIN = "AS_OF_UNCERTAIN"
    TIMEZONE = "TIMEZONE"
    # records, field by field
    VALUE_DIFFERS = "VALUE_DIFFERS"
    DUPLICATE_IN_A = "DUPLICATE_IN_A"
    DUPLICATE_IN_B = "DUPLICATE_IN_B"
    NOT_SETTLED = "NOT_SETTLED"
    # orders, line by line
    LINE_MISSING = "LINE_MISSING"
    LINE_EXTRA = "LINE_EXTRA"
    QUANTITY_DIFFERS = "QUANTITY_DIFFERS"
    PRICE_DIFFERS = "PRICE_DIFFERS"
    DISCOUNT_DIFFERS = "DISCOUNT_DIFFERS"
    TAX_DIFFERS = "TAX_DIFFERS"
    CURRENCY_DIFFERS = "CURRENCY_DIFFERS"
    STATUS_DIFFERS = "STATUS_DIFFERS"
    TOTAL_DIFFERS = "TOTAL_DIFFERS"
    TOTAL_NOT_SUM = "TOTAL_NOT_SUM"
    # nothing known explains it
    UNEXPLAINED = "UNEXPLAINED"


#: Where a row came from, carried through every snapshot for rejects and failing expectations.
ORIGIN = [
    pa.field("source_file", pa.dictionary(pa.int32(), TEXT)),
    pa.field("source_line", pa.int64()),
]
ORIGIN_NAMES = tuple(field.name for field in ORIGIN)


def stock_schema(scale: int = SCALE) -> pa.Schema:
    """Observed stock: one row per (sku, location). Null `as_of` means the snapshot's own instant."""
    return pa.schema(
        [
            pa.field("sku", TEXT, nullable=False),
            pa.field("location", TEXT, nullable=False),
            pa.field("quantity", quantity_type(scale), nullable=False),
            pa.field("as_of", INSTANT),
            pa.field("as_of_hi", INSTANT),
            pa.field("price", quantity_type(scale)),
            *ORIGIN,
        ]
    )


def events_schema(scale: int = SCALE) -> pa.Schema:
    """Stock events as one system posted them.

    `ref` is the canonical reference of the line or document, `doc` the system's own document number
    where one reference has several, `quantity` what that system posted (positive; ADJUST and PUBLISH
    are signed), `document_quantity` what the document says where that differs.
    """
    return pa.schema(
        [
            pa.field("event_id", TEXT),
            pa.field("kind", TEXT, nullable=False),
            pa.field("ref", TEXT, nullable=False),
            pa.field("doc", TEXT),
            pa.field("sku", TEXT, nullable=False),
            pa.field("location", TEXT, nullable=False),
            pa.field("quantity", quantity_type(scale), nullable=False),
            pa.field("document_quantity", quantity_type(scale)),
            pa.field("posted_at", INSTANT, nullable=False),
            *ORIGIN,
        ]
    )


def rejects_schema() -> pa.Schema:
    """A row that could not be kept: where it was, why, and the raw row as JSON."""
    return pa.schema(
        [
            pa.field("source_file", TEXT),
            pa.field("source_line", pa.int64()),
            pa.field("column", TEXT),
            pa.field("reason", TEXT, nullable=False),
            pa.field("raw", TEXT, nullable=False),
        ]
    )


def levels_schema(scale: int = SCALE) -> pa.Schema:
    """Every key of a pair with its two numbers, the formula's terms, the verdict and what to publish."""
    quantity = quantity_type(scale)
    return pa.schema(
        [
            ("pair", TEXT),
            ("sku", TEXT),
            ("location", TEXT),
            ("quantity_a", quantity),
            ("as_of_a", INSTANT),
            ("quantity_b", quantity),
            ("as_of_b", INSTANT),
            ("raw_diff", quantity),
            ("expected_diff", quantity),
            ("unexplained", quantity),
            ("unexplained_lo", quantity),
            ("unexplained_hi", quantity),
            ("class", TEXT),
            ("reason", TEXT),
            ("atp", quantity),
            ("publish", quantity),
        ]
    )


def breaks_schema(scale: int = SCALE) -> pa.Schema:
    """The keys that are not MATCHED: a level, its identity and age, and the probable causes.

    `causes` is a JSON list of objects (`reason`, `quantity`, `evidence`), most probable first.
    `value` is |unexplained| (or, where nothing is unexplained, the amount in flight) times the unit
    price, null where no price is known.
    """
    return pa.schema(
        [
            *levels_schema(scale),
            pa.field("break_id", TEXT),
            pa.field("first_seen_run", TEXT),
            pa.field("last_seen_run", TEXT),
            pa.field("runs_seen", pa.int32()),
            pa.field("status", TEXT),
            pa.field("severity", TEXT),
            pa.field("causes", TEXT),
            pa.field("value", quantity_type(scale)),
        ]
    )


def closed_schema() -> pa.Schema:
    """Breaks that are gone: what is remembered of them, so that they can be reopened."""
    return pa.schema(
        [
            ("break_id", TEXT),
            ("pair", TEXT),
            ("sku", TEXT),
            ("location", TEXT),
            ("first_seen_run", TEXT),
            ("last_seen_run", TEXT),
            ("runs_seen", pa.int32()),
            ("status", TEXT),
        ]
    )


def in_flight_schema(scale: int = SCALE) -> pa.Schema:
    """One row per document that explains a part of a difference, with what clears it and by when.

    `quantity` is the part of `expected_diff` that the document explains (signed), `kind` the event
    that only one side has counted.
    """
    return pa.schema(
        [
            ("pair", TEXT),
            ("sku", TEXT),
            ("location", TEXT),
            ("ref", TEXT),
            ("kind", TEXT),
            ("quantity", quantity_type(scale)),
            ("posted_at", INSTANT),
            ("clears_by", INSTANT),
            ("class", TEXT),
            ("reason", TEXT),
        ]
    )


def corrections_schema(scale: int = SCALE) -> pa.Schema:
    """What a target should be told: data first, messages later (DESIGN 9).

    `class`, `severity`, `price`, and `unexplained` of what was `seen` at the instant `as_of` are the
    evidence, for gates, approval and the next run. `undoes` is the correction that a rollback takes back.
    """
    quantity = quantity_type(scale)
    return pa.schema(
        [
            ("correction_id", TEXT),
            ("pair", TEXT),
            ("target", TEXT),
            ("sku", TEXT),
            ("location", TEXT),
            ("basis", TEXT),
            ("mode", TEXT),
            ("value", quantity),
            ("change_from", quantity),
            ("delta", quantity),
            ("reason", TEXT),
            ("idempotency_key", TEXT),
            ("status", TEXT),
            ("class", TEXT),
            ("severity", TEXT),
            ("unexplained", quantity),
            ("seen", quantity),
            ("as_of", INSTANT),
            ("price", quantity),
            ("undoes", TEXT),
        ]
    )


def outgoing_schema(scale: int = SCALE) -> pa.Schema:
    """A correction as it is sent: `corrections_schema`, planned.

    `why` is what the run found, `reason` the target's word for it, `target_sku` what the target calls the
    SKU; `approval` says why somebody has to approve it ("" for nobody). `attempt` counts the numbers
    computed for it, from 1.
    """
    return pa.schema(
        [
            *corrections_schema(scale),
            pa.field("run_id", TEXT),
            pa.field("reference", TEXT),
            pa.field("target_sku", TEXT),
            pa.field("why", TEXT),
            pa.field("approval", TEXT),
            pa.field("attempt", pa.int32()),
            pa.field("created_at", INSTANT),
            pa.field("expires_at", INSTANT),
        ]
    )


def receipts_schema(scale: int = SCALE) -> pa.Schema:
    """What became of a sent correction: as it was sent, what the target answered, and when."""
    return pa.schema(
        [
            *outgoing_schema(scale),
            pa.field("message", TEXT),
            pa.field("observed", quantity_type(scale)),
            pa.field("answered_at", INSTANT),
        ]
    )


def goods_schema(scale: int = SCALE) -> pa.Schema:
    """Rules of single SKUs, which win over those of their pair where they are not null."""
    quantity = quantity_type(scale)
    return pa.schema(
        [
            pa.field("sku", TEXT, nullable=False),
            ("tolerance_absolute", quantity),
            ("tolerance_relative", pa.decimal128(PRECISION, 9)),
            ("safety_stock", quantity),
        ]
    )


def packs_schema() -> pa.Schema:
    """How many base units are in a pack of a SKU; a SKU may have several packs."""
    return pa.schema([pa.field("sku", TEXT, nullable=False), pa.field("factor", pa.int64(), nullable=False)])


def refused_schema(scale: int = SCALE) -> pa.Schema:
    """Keys whose last correction the target refused: what was unexplained then, and when and why it was refused."""
    return pa.schema(
        [("sku", TEXT), ("location", TEXT), ("unexplained", quantity_type(scale)), ("evidence", TEXT)],
    )


def tally_schema() -> pa.Schema:
    """Counts of one bucket by class and reason ("" for none); the tallies of buckets add up.

    `units` is Σ|unexplained| for BREAK, AMBIGUOUS and EVENTS_INCOMPLETE, the quantity of the side
    that has the key for MISSING, Σ|raw_diff| for the others; `value` the same times the unit price,
    `priced` counts the keys whose price is known.
    """
    wide = pa.decimal128(38, SCALE)
    return pa.schema(
        [
            ("pair", TEXT),
            ("class", TEXT),
            ("reason", TEXT),
            ("keys", pa.int64()),
            ("units", wide),
            ("value", wide),
            ("units_a", wide),
            ("units_b", wide),
            ("priced", pa.int64()),
            ("cut_off", pa.int64()),
        ]
    )
