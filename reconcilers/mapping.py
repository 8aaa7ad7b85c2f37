"""What the raw columns of a dataset mean: which canonical column each becomes, and how its values are written."""

from __future__ import annotations

from collections.abc import Mapping as ReadOnlyMapping
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyarrow as pa
import pyarrow.compute as pc

from reconcilers import parsing
from reconcilers.errors import ConfigError
from reconcilers.kits import Kits
from reconcilers.schemas import (
    ORIGIN_NAMES,
    SCALE,
    Kind,
)

#: Kinds whose quantity has a sign of its own; any other is positive, and the kind says the direction.
SIGNED = frozenset({Kind.ADJUST, Kind.PUBLISH, Kind.COUNT})

_STOCK = {"sku", "location", "quantity", "as_of", "as_of_hi", "price", "unit"}
_EVENTS = {
    "event_id", "kind", "channel", "ref", "doc", "sku", "location", "quantity", "document_quantity",
    "posted_at", "unit",
}  # fmt: skip
#: Text columns that may come from several raw columns.
_FALLBACKS = {"sku", "ref", "doc", "location", "event_id"}
_INSTANTS = {"as_of", "as_of_hi", "posted_at"}
_NEEDED = {
    "stock": ("sku", "location", "quantity"),
    "events": ("kind", "ref", "sku", "location", "quantity", "posted_at"),
    "lines": ("ref", "sku", "location"),
}


@dataclass(frozen=True)
class LineStep:
    """Where an order line says how much of it took this step so far, and when."""

    quantity: str
    at: str


@dataclass(frozen=True)
class Mapping:
    """How the raw columns of one dataset become canonical ones.

    `columns` maps a canonical column to the raw one (the same name where it is not given), or to
    several: the first one of them that is not blank, and for `location` all of them, joined by `/`.
    `constants` gives a column one value for all rows. An event dataset with `lines` has one row an
    order line, with a cumulative quantity and an instant per kind; without, one row an event, whose
    raw kind `kinds` translates; `own_kinds` are the kinds of what is no stock, and whether the quantity
    of each has a sign of its own. `aliases` (raw, sku), `units` (sku, unit, factor) and `kits` (kit,
    component, quantity) are small tables of text; a factor is a whole number or a ratio such as
    `1/12`. Where a date stands for an instant, it means `end_of_day` after its local midnight: a
    business day may end on the next calendar day. A `channel` goes before the reference, so that the
    same number on two channels stays apart. A COUNT that says what the book was
    (`document_quantity`) is an ADJUST by the difference, at its own time.

    Raises:
        ConfigError: a name that does not exist, with a suggestion.
    """

    dataset: str
    columns: ReadOnlyMapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    constants: ReadOnlyMapping[str, str] = field(default_factory=dict)
    lines: ReadOnlyMapping[Kind, LineStep] = field(default_factory=dict)
    kinds: ReadOnlyMapping[str, str] = field(default_factory=dict)
    own_kinds: ReadOnlyMapping[str, bool] = field(default_factory=dict)
    timezone: str = "UTC"
    time_format: str | None = None
    ambiguous_time: str = "reject"
    thousands: str = ""
    decimal: str = "."
    aliases: pa.Table | None = None
    units: pa.Table | None = None
    kits: pa.Table | None = None
    end_of_day: timedelta = timedelta(0)
    scale: int = SCALE

    def __post_init__(self) -> None:
        if self.dataset not in ("stock", "events"):
            raise ConfigError(f"dataset {self.dataset!r} is not stock or events")
        if self.dataset == "stock" and (self.lines or self.kinds):
            raise ConfigError("lines and kinds belong to events, not to stock")
        known = _STOCK if self.dataset == "stock" else _EVENTS
        for name in [*self.columns, *self.constants]:
            if name not in known:
                raise ConfigError(f"no column {name!r} in {self.dataset}{_near(name, known)}")
        for name in _INSTANTS & set(self.constants):
            raise ConfigError(f"{name!r} cannot be a constant: give it a column")
        both = sorted(set(self.columns) & set(self.constants))
        if both:
            raise ConfigError(f"{both[0]!r} has a column and a constant")
        for name, column in self.columns.items():
            if not isinstance(column, str) and (not column or name not in _FALLBACKS):
                raise ConfigError(f"{name!r} is one column; only {', '.join(sorted(_FALLBACKS))} may be several")
        if self.ambiguous_time not in parsing.AMBIGUOUS:
            raise ConfigError(f"ambiguous_time {self.ambiguous_time!r} is not {', '.join(parsing.AMBIGUOUS)}")
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ConfigError(f"timezone {self.timezone!r} does not exist") from error
        parsing.NumberFormat(self.decimal, self.thousands)
        if self.aliases is not None:
            _check_aliases(self.aliases)
        if self.units is not None:
            parsing.factors(self.units)
        if self.kits is not None:
            Kits.from_table(self.kits)

    @property
    def known_kinds(self) -> ReadOnlyMapping[str, bool]:
        """Every kind of event that there is, and whether its quantity has a sign of its own."""
        return self.own_kinds or {str(kind): kind in SIGNED for kind in Kind}

    @property
    def number(self) -> parsing.NumberFormat:
        """How numbers are written."""
        return parsing.NumberFormat(self.decimal, self.thousands)

    @property
    def time(self) -> parsing.TimeFormat:
        """How instants are written."""
        return parsing.TimeFormat(self.timezone, self.time_format, self.ambiguous_time, self.end_of_day)

    def raw_columns(self, name: str) -> tuple[str, ...]:
        """The raw columns of a canonical one: as mapped, or its own name where it is needed."""
        if name in self.columns:
            column = self.columns[name]
            return (column,) if isinstance(column, str) else tuple(column)
        needed = _NEEDED["lines" if self.lines else self.dataset]
        return (name,) if name in needed and name not in self.constants else ()

    @property
    def wanted(self) -> tuple[str, ...]:
        """Every raw column that has to be there."""
        steps = [column for step in self.lines.values() for column in (step.quantity, step.at)]
        named = [column for name in sorted(_STOCK | _EVENTS) for column in self.raw_columns(name)]
        return tuple(dict.fromkeys([*named, *steps]))


class Wanting(Protocol):
    """What is read out of raw columns."""

    @property
    def wanted(self) -> tuple[str, ...]:
        """The raw columns that have to be there."""
        ...


def check_columns(names: list[str], mapping: Wanting) -> None:
    """Check that every raw column that the mapping needs is there. Raises `ConfigError`."""
    for column in mapping.wanted:
        if column not in names:
            there = [name for name in names if name not in ORIGIN_NAMES]
            raise ConfigError(f"no column {column!r} in the source{_near(column, there)}; it has: {', '.join(there)}")


def _near(name: str, among: set[str] | list[str]) -> str:
    near = get_close_matches(name.lower(), [each.lower() for each in among], n=1, cutoff=0.5)
    return "" if not near else f"; did you mean {next(e for e in among if e.lower() == near[0])!r}?"


def _check_aliases(table: pa.Table) -> None:
    raw = parsing.text(table["raw"].combine_chunks())
    counts = pc.value_counts(raw).to_pylist()
    twice = [count["values"] for count in counts if count["counts"] > 1]
    itself = raw.filter(pc.equal(raw, parsing.text(table["sku"].combine_chunks())))
    if len(itself):
        raise ConfigError(f"aliases: {itself[0].as_py()!r} is an alias of itself")
    if twice:
        raise ConfigError(f"aliases: {twice[0]!r} stands for two SKUs")
