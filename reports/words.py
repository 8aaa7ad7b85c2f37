"""Every class and reason code in plain words: what it means, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from reconcilers.schemas import Class, Reason


@dataclass(frozen=True)
class Words:
    """A short name, and a sentence for somebody who has to act."""

    short: str
    advice: str


CLASSES: dict[Class, Words] = {
    Class.MATCHED: Words("agrees", "Both numbers agree and nothing is under way."),
    Class.IN_FLIGHT: Words("on its way", "Only orders and movements on their way; it clears by itself."),
    Class.LATE: Words("late", "What should have arrived by now has not; somebody has to look after it."),
    Class.CONFLICT: Words("contradictory", "Two systems say what cannot both be true; it never clears by itself."),
    Class.BREAK: Words("unexplained", "No order or movement explains the difference."),
    Class.AMBIGUOUS: Words("cannot be told", "The export took time: the difference may or may not be explained."),
    Class.EVENTS_INCOMPLETE: Words("feed too short", "An event feed ends before the number was read."),
    Class.MISSING_IN_A: Words("missing in the target", "Only the authority knows this key."),
    Class.MISSING_IN_B: Words("missing in the authority", "Only the target knows this key."),
    Class.UNKNOWN: Words("no number", "Events mention this key, but no system shows a number for it."),
}

REASONS: dict[Reason, Words] = {
    Reason.ORDER_OPEN: Words("orders open", "Placed, not shipped yet."),
    Reason.NOT_ALLOCATED: Words("not allocated yet", "Placed, waiting for stock to be allocated."),
    Reason.CART_HOLD: Words("held in carts", "Clears when the cart is bought or expires."),
    Reason.MARKET_PENDING: Words("pending at the marketplace", "The marketplace holds it until payment."),
    Reason.BACKORDER_OPEN: Words("more sold than there is", "Waits for the next delivery."),
    Reason.RETURN_IN_TRANSIT: Words("return on its way", "Credited, goods not back yet."),
    Reason.RETURN_IN_QC: Words("return in quality control", "Back, not yet sellable again."),
    Reason.TRANSFER_IN_TRANSIT: Words("transfer on its way", "Sent, not received yet."),
    Reason.RECEIPT_NOT_POSTED: Words("delivery posted on one side", "The other side will post it."),
    Reason.POS_NOT_CLOSED: Words("store not closed yet", "The store's sales post at the end of its day."),
    Reason.CORRECTION_IN_FLIGHT: Words("our correction on its way", "Sent, not applied yet."),
    Reason.ORDER_NOT_IMPORTED: Words("order never imported", "Import the order again."),
    Reason.CANCEL_NOT_PROPAGATED: Words("cancel not passed on", "Cancel the order on the other side, or stop the parcel."),
    Reason.CANCEL_AFTER_SHIP: Words("cancelled after it shipped", "Treat it as a return: the goods have left."),
    Reason.SHIP_NOT_POSTED: Words("shipment not posted", "Was it shipped? Post the shipment, or ship it."),
    Reason.POS_SALE_NOT_POSTED: Words("store sale not posted", "Post the store's sale again."),
    Reason.DUPLICATE_BACKEND_ORDER: Words("order imported twice", "Cancel the second document, stop its parcel."),
    Reason.DUPLICATE_EVENT: Words("counted twice", "More was shipped than was ordered; reverse one posting."),
    Reason.ADJUSTMENT_NOT_PROPAGATED: Words("adjustment not passed on", "Post the adjustment on the other side."),
    Reason.TRANSFER_SHORT: Words("less arrived than was sent", "Count, and claim or book the difference."),
    Reason.TRANSFER_OVER: Words("more arrived than was sent", "Count, and book the difference."),
    Reason.SUBSTITUTED: Words("another article was sent", "Book the article that was sent."),
    Reason.RESERVATION_ORPHAN: Words("reserved for nothing", "Release the reservation."),
    Reason.RESERVATION_MISSING: Words("not reserved", "Reserve what the order needs."),
    Reason.RESTOCK_TWICE: Words("put back twice", "Reverse one of the two."),
    Reason.PUBLISH_OVERWRITE: Words("overwritten without open orders", "Find what pushes the authority's number as it is."),
    Reason.PUBLISH_REJECTED: Words("correction refused", "See what the target answered."),
    Reason.BUNDLE_NOT_EXPLODED: Words("a bundle was not taken apart", "Book its parts."),
    Reason.SKU_ALIAS: Words("one article, two SKUs", "Add an alias."),
    Reason.SKU_EMPTY: Words("no SKU", "Correct the export."),
    Reason.UOM_MISMATCH: Words("another unit of measure", "Add the unit's factor."),
    Reason.NODE_MAPPING: Words("another location", "Correct the mapping of locations."),
    Reason.BASIS_MISMATCH: Words("another kind of number", "Choose the effect profile that fits."),
    Reason.ROUNDING: Words("rounded", "One of the systems shows whole units only."),
    Reason.NEGATIVE_SOURCE: Words("below zero", "More was sold or shipped than there was: count it."),
    Reason.SNAPSHOT_STALE: Words("an old export", "Find out why the export did not run."),
    Reason.SNAPSHOT_TRUNCATED: Words("a cut-off export", "Run the export again."),
    Reason.FEED_STALE: Words("an old event feed", "Find out why the feed stopped, and run again."),
    Reason.AS_OF_UNCERTAIN: Words("read while it moved", "Export faster, or with an instant in each row."),
    Reason.TIMEZONE: Words("another time zone", "Correct the system's time zone."),
    Reason.UNEXPLAINED: Words("unexplained", "Count the article, and look at both systems' ledgers."),
}


def of_class(name: str) -> str:
    """The short name of a class."""
    return CLASSES[Class(name)].short


def of_reason(name: str | None) -> str:
    """The short name of a reason; nothing for none."""
    return REASONS[Reason(name)].short if name else ""


def advice(reason: str | None, class_name: str) -> str:
    """What to do."""
    return REASONS[Reason(reason)].advice if reason else CLASSES[Class(class_name)].advice
