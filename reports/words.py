"""Every class and reason code in plain words: what it is, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from reconcilers.schemas import Class, Reason


@dataclass(frozen=True)
class Words:
    """A name for tables, the same after "3 stock numbers ...", and a sentence for who has to act."""

    short: str
    counted: str
    advice: str


CLASSES: dict[Class, Words] = {
    Class.MATCHED: Words(
        "agrees",
        "that agree",
        "Both numbers agree, and nothing is under way.",
    ),
    Class.IN_FLIGHT: Words(
        "on its way",
        "that differ only by what is on its way",
        "Only orders and movements on their way, all in time: it clears by itself.",
    ),
    Class.LATE: Words(
        "late",
        "with something overdue",
        "What should have arrived by now has not: somebody has to look after it.",
    ),
    Class.CONFLICT: Words(
        "contradictory",
        "on which the systems contradict each other",
        "The systems say what cannot both be true: it never clears by itself.",
    ),
    Class.BREAK: Words(
        "unexplained",
        "that nothing explains",
        "The two numbers differ by more than orders and movements account for.",
    ),
    Class.AMBIGUOUS: Words(
        "read while it moved",
        "read while they moved",
        "The export took time and stock moved meanwhile: the difference may or may not be explained.",
    ),
    Class.EVENTS_INCOMPLETE: Words(
        "feed too short",
        "for which an event feed ends too early",
        "An event feed ends too early to judge it: bring the feed up to date and run again.",
    ),
    Class.MISSING_IN_A: Words(
        "missing in the target",
        "that only the authority knows",
        "Only the authority knows it: list it in the target, or leave it out on purpose.",
    ),
    Class.MISSING_IN_B: Words(
        "missing in the authority",
        "that only the target knows",
        "Only the target knows it: add an alias, or create it in the authority.",
    ),
    Class.UNKNOWN: Words(
        "no number",
        "without any number",
        "Orders or movements mention it, but neither system shows a number for it.",
    ),
}

REASONS: dict[Reason, Words] = {
    Reason.ORDER_OPEN: Words(
        "order open",
        "with an open order",
        "Placed, not shipped yet; it clears with the shipment.",
    ),
    Reason.NOT_ALLOCATED: Words(
        "order not allocated",
        "with an order that waits to be allocated",
        "The order waits for stock to be allocated: see what holds up the allocation.",
    ),
    Reason.CART_HOLD: Words(
        "held in a cart",
        "held in a cart",
        "It clears when the cart is bought or expires.",
    ),
    Reason.MARKET_PENDING: Words(
        "pending at the marketplace",
        "with an order pending at the marketplace",
        "The marketplace holds the units until it has the payment.",
    ),
    Reason.BACKORDER_OPEN: Words(
        "sold more than there is",
        "sold beyond what there is",
        "It waits for the next delivery: order more, or tell the customers.",
    ),
    Reason.RETURN_IN_TRANSIT: Words(
        "return on its way",
        "with a return on its way",
        "Credited, and the goods are not back yet.",
    ),
    Reason.RETURN_IN_QC: Words(
        "return being inspected",
        "with a return being inspected",
        "Back in the warehouse, not sellable again yet.",
    ),
    Reason.TRANSFER_IN_TRANSIT: Words(
        "transfer on its way",
        "with a transfer on its way",
        "Sent from one location, not received at the other yet.",
    ),
    Reason.RECEIPT_NOT_POSTED: Words(
        "delivery posted on one side only",
        "with a delivery posted on one side only",
        "The other side has to post the delivery too.",
    ),
    Reason.POS_NOT_CLOSED: Words(
        "store day not closed",
        "with store sales that post at the end of the day",
        "The store's sales are posted when its day is closed.",
    ),
    Reason.CORRECTION_IN_FLIGHT: Words(
        "correction on its way",
        "with a correction on its way",
        "Sent to the target, which does not show it yet.",
    ),
    Reason.EVENT_NOT_POSTED: Words(
        "posted on one side only",
        "with something posted on one side only",
        "The other side has to post it too.",
    ),
    Reason.ORDER_NOT_IMPORTED: Words(
        "order never imported",
        "with an order that never reached the other system",
        "Import the order again, and ship it.",
    ),
    Reason.CANCEL_NOT_PROPAGATED: Words(
        "cancellation not passed on",
        "with a cancellation that was not passed on",
        "Cancel the order in the other system too, or stop the parcel.",
    ),
    Reason.CANCEL_AFTER_SHIP: Words(
        "cancelled after it shipped",
        "with an order cancelled after it had shipped",
        "The goods have left: treat it as a return, or charge the customer after all.",
    ),
    Reason.SHIP_NOT_POSTED: Words(
        "shipment not posted",
        "with a shipment that was never posted",
        "Ask the warehouse: if it was shipped, post the shipment; if not, ship it.",
    ),
    Reason.POS_SALE_NOT_POSTED: Words(
        "store sale not posted",
        "with a store sale that was never posted",
        "Post the store's sale again.",
    ),
    Reason.DUPLICATE_BACKEND_ORDER: Words(
        "order imported twice",
        "with an order imported twice",
        "Cancel the second document and stop its parcel; what has shipped is a return.",
    ),
    Reason.DUPLICATE_EVENT: Words(
        "posted twice",
        "with something posted twice",
        "More was posted than there was to post: reverse one of the postings.",
    ),
    Reason.ADJUSTMENT_NOT_PROPAGATED: Words(
        "adjustment not passed on",
        "with an adjustment that was not passed on",
        "Post the adjustment in the other system too.",
    ),
    Reason.TRANSFER_SHORT: Words(
        "less arrived than was sent",
        "where less arrived than was sent",
        "Count what arrived, and claim or book the rest.",
    ),
    Reason.TRANSFER_OVER: Words(
        "more arrived than was sent",
        "where more arrived than was sent",
        "Count what arrived, and book the surplus.",
    ),
    Reason.SUBSTITUTED: Words(
        "another article was sent",
        "with another article sent instead",
        "Book the article that was really sent.",
    ),
    Reason.RESERVATION_ORPHAN: Words(
        "reserved for nothing",
        "reserved for an order that is over",
        "Release the reservation.",
    ),
    Reason.RESERVATION_MISSING: Words(
        "not reserved",
        "with an order that reserved nothing",
        "Reserve what the order needs.",
    ),
    Reason.RESTOCK_TWICE: Words(
        "put back twice",
        "with goods put back twice",
        "Reverse one of the two postings.",
    ),
    Reason.PUBLISH_OVERWRITE: Words(
        "overwritten without its open orders",
        "overwritten without their open orders",
        "Find what copies the authority's number as it is, and stop it.",
    ),
    Reason.PUBLISH_REJECTED: Words(
        "correction refused",
        "with a correction that was refused",
        "See what the target answered, and correct it there.",
    ),
    Reason.BUNDLE_NOT_EXPLODED: Words(
        "bundle not taken apart",
        "with a bundle that was not taken apart",
        "Book the parts of the bundle.",
    ),
    Reason.SKU_ALIAS: Words(
        "one article under two SKUs",
        "that are one article under two SKUs",
        "Add an alias.",
    ),
    Reason.SKU_EMPTY: Words(
        "no SKU",
        "without a SKU",
        "Give the article a SKU in the system that exports it.",
    ),
    Reason.UOM_MISMATCH: Words(
        "different units of measure",
        "counted in different units of measure",
        "One side counts pieces, the other boxes: add the factor.",
    ),
    Reason.NODE_MAPPING: Words(
        "booked at another location",
        "booked at another location",
        "Correct the mapping of locations.",
    ),
    Reason.BASIS_MISMATCH: Words(
        "different kinds of number",
        "that are different kinds of number",
        "Choose the effect profile that fits the number.",
    ),
    Reason.ROUNDING: Words(
        "rounded",
        "that were rounded",
        "One of the systems shows whole units only: say so in its profile, or allow for it with a tolerance.",
    ),
    Reason.NEGATIVE_SOURCE: Words(
        "below zero",
        "below zero",
        "More was sold or shipped than there was: count it.",
    ),
    Reason.SNAPSHOT_STALE: Words(
        "old export",
        "from an old export",
        "Find out why the export did not run.",
    ),
    Reason.SNAPSHOT_TRUNCATED: Words(
        "export cut off",
        "from an export that was cut off",
        "Run the export again.",
    ),
    Reason.FEED_STALE: Words(
        "event feed too short",
        "with an event feed that ends too early",
        "Find out why the feed stopped, and run again.",
    ),
    Reason.AS_OF_UNCERTAIN: Words(
        "read while it moved",
        "read while they moved",
        "Export faster, or with an instant in each row.",
    ),
    Reason.TIMEZONE: Words(
        "wrong time zone",
        "read in the wrong time zone",
        "Correct the system's time zone in the configuration.",
    ),
    Reason.VALUE_DIFFERS: Words(
        "values differ",
        "of which a value differs",
        "See which of the two systems is right, and correct the other one.",
    ),
    Reason.DUPLICATE_IN_A: Words(
        "one more in the target",
        "that the target has once more",
        "Remove the copy, or complete the key.",
    ),
    Reason.DUPLICATE_IN_B: Words(
        "one more in the authority",
        "that the authority has once more",
        "Remove the copy, or complete the key.",
    ),
    Reason.NOT_SETTLED: Words(
        "changed a moment ago",
        "that changed a moment ago",
        "It is judged when it has settled.",
    ),
    Reason.LINE_MISSING: Words(
        "line missing in the authority",
        "with a line that the authority has not",
        "Add the line to the order in the authority, or refund it.",
    ),
    Reason.LINE_EXTRA: Words(
        "line only in the authority",
        "with a line that only the authority has",
        "Nobody ordered it: take the line out before it ships.",
    ),
    Reason.QUANTITY_DIFFERS: Words(
        "another quantity",
        "with another quantity on each side",
        "See what the customer ordered, and correct the other system.",
    ),
    Reason.PRICE_DIFFERS: Words(
        "another price",
        "with another price on each side",
        "Correct the price before the invoice goes out; find out which price list is stale.",
    ),
    Reason.DISCOUNT_DIFFERS: Words(
        "another discount",
        "with another discount on each side",
        "Correct the discount before the invoice goes out.",
    ),
    Reason.TAX_DIFFERS: Words(
        "another tax",
        "with another tax on each side",
        "See which tax rate is right, and correct the other system.",
    ),
    Reason.CURRENCY_DIFFERS: Words(
        "another currency",
        "with another currency on each side",
        "Correct the currency: every amount of the order depends on it.",
    ),
    Reason.STATUS_DIFFERS: Words(
        "another state",
        "in another state on each side",
        "See what really happened to the order, and correct the other system.",
    ),
    Reason.TOTAL_DIFFERS: Words(
        "another total",
        "with another total on each side",
        "The lines do not explain it: look at shipping, fees and rounding.",
    ),
    Reason.TOTAL_NOT_SUM: Words(
        "the total is not the sum of its lines",
        "whose total is not the sum of its lines",
        "Look for a line that is missing, or for charges that no column has.",
    ),
    Reason.UNEXPLAINED: Words(
        "unexplained",
        "that nothing explains",
        "Count the article, and compare both systems' ledgers for it.",
    ),
}


#: What is merely on its way; a late one of these is overdue.
TIMING = frozenset(
    {
        Reason.ORDER_OPEN,
        Reason.NOT_ALLOCATED,
        Reason.CART_HOLD,
        Reason.MARKET_PENDING,
        Reason.BACKORDER_OPEN,
        Reason.RETURN_IN_TRANSIT,
        Reason.RETURN_IN_QC,
        Reason.TRANSFER_IN_TRANSIT,
        Reason.RECEIPT_NOT_POSTED,
        Reason.POS_NOT_CLOSED,
        Reason.CORRECTION_IN_FLIGHT,
        Reason.EVENT_NOT_POSTED,
    }
)


def name(class_name: str, reason: str | None) -> str:
    """What a verdict is called in a table: its reason where it has one, else its class."""
    return REASONS[Reason(reason)].short + overdue(class_name, reason) if reason else CLASSES[Class(class_name)].short


def counted(class_name: str, reason: str | None) -> str:
    """The same after "3 stock numbers ..."."""
    words = REASONS[Reason(reason)] if reason else CLASSES[Class(class_name)]
    return words.counted + overdue(class_name, reason)


def advice(class_name: str, reason: str | None) -> str:
    """What to do about it."""
    return REASONS[Reason(reason)].advice if reason else CLASSES[Class(class_name)].advice


def overdue(class_name: str, reason: str | None) -> str:
    """A remark on what is on its way for too long; nothing for the rest."""
    return " (overdue)" if class_name == Class.LATE and reason in TIMING else ""
