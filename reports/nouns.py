"""What a pair is about: stock, or another figure, whose report speaks of members and points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reconcilers.schemas import Class, Reason
from reports.words import CLASSES, REASONS


@dataclass(frozen=True)
class Nouns:
    """What a pair is about: stock, if nothing else is said; else a figure with an account and events of its own."""

    number: str = "stock number"
    numbers: str = "stock numbers (a SKU at a place)"
    key: str = "SKU"
    place: str = "place"
    units: str = "units"
    events: str = "orders and movements"
    is_stock: bool = True


STOCK = Nouns()

#: What is said of stock, and has to be said otherwise of any other figure.
_OF_STOCK = {
    REASONS[Reason.UNEXPLAINED].advice: "Compare both systems' ledgers for it.",
    CLASSES[Class.AMBIGUOUS].advice: "The export took time and the figure moved meanwhile: "
    "the difference may or may not be explained.",
    CLASSES[Class.MISSING_IN_A].advice: "Only the authority knows it: create it in the target, or leave it out on "
    "purpose.",
}


def nouns_of(figure: Mapping[str, Any] | None) -> Nouns:
    """The nouns of a pair: `figure` has the `name` of what is no stock, and the columns of its `key`."""
    if figure is None:
        return STOCK
    name, (key, *place) = figure["name"].replace("_", " "), figure["key"]
    number, units = f"{name} balance", "units" if name in ("keys", "value") else name
    return Nouns(number, f"{number}s", key, place[0] if place else "figure", units, "events", is_stock=False)


def reworded(text: str, of: Nouns) -> str:
    """A sentence about stock, as it is said of what a pair is about."""
    if of.is_stock:
        return text
    for words in ("orders and movements", "orders or movements"):
        text = text.replace(words, of.events).replace(words.capitalize(), of.events.capitalize())
    return _OF_STOCK.get(text, text)
