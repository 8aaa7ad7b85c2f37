"""From what a system calls things to the canonical records: names, types, time zones, aliases, units.

A row is kept whole or rejected whole, with the first reason found. Reasons are a small closed set of
texts, so that they can be counted; the value itself is in the raw row that a reject carries.
"""

from __future__ import annotations

import json
from collections.abc import Mapping as ReadOnlyMapping
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reconcilers import parsing
from reconcilers.errors import ConfigError
from reconcilers.kits import Kits
from reconcilers.schemas import (
    INSTANT,
    SCALE,
    TEXT,
    Kind,
    events_schema,
    quantity_type,
    rejects_schema,
    stock_schema,
)

ORIGIN = ("source_file", "source_line")

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


@dataclass(frozen=True)
class Canonical:
    """Canonical rows and rejects; `rows_read = rows_kept + len(rejects)`.

    `rows` has `stock_schema` or `events_schema`, `rejects` has `rejects_schema`.
    """

    rows: pa.Table
    rejects: pa.Table
    rows_read: int
    rows_kept: int


def canonicalise(raw: pa.Table, mapping: Mapping) -> Canonical:
    """Make raw rows (any columns, and `source_file`, `source_line`) canonical.

    Raises:
        ConfigError: a raw column that the mapping names does not exist.
    """
    work = _Work(raw, mapping)
    if mapping.dataset == "stock":
        columns = _stock(work)
        schema = stock_schema(mapping.scale)
    else:
        columns = _lines(work) if mapping.lines else _events(work)
        schema = events_schema(mapping.scale)
    rejects = work.rejects()
    rows = pa.table(columns, schema=schema)
    if mapping.kits is not None and mapping.dataset == "events":
        rows = Kits.from_table(mapping.kits).explode(rows)
    return Canonical(rows, rejects, len(raw), len(raw) - len(rejects))


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
            there = [name for name in names if name not in ORIGIN]
            raise ConfigError(f"no column {column!r} in the source{_near(column, there)}; it has: {', '.join(there)}")


def _stock(work: _Work) -> list[pa.Array]:
    sku, location = work.sku(), work.key("location")
    unit = work.text("unit")
    quantity = work.in_base_units(work.quantity("quantity"), sku, unit)
    as_of, as_of_hi = work.instant("as_of", needed=True), work.instant("as_of_hi")
    price = work.quantity("price", blank_is_null=True)
    return work.kept(sku, location, quantity, as_of, as_of_hi, price)


def _events(work: _Work) -> list[pa.Array]:
    sku, location, ref = work.sku(), work.key("location"), work.ref()
    unit = work.text("unit")
    kind = work.kind()
    quantity = work.in_base_units(work.quantity("quantity"), sku, unit)
    work.refuse_negative(quantity, kind)
    document = work.in_base_units(work.quantity("document_quantity", blank_is_null=True), sku, unit)
    posted_at = work.instant("posted_at", needed=True)
    kind, quantity, document = _counted(kind, quantity, document)
    return work.kept(work.text("event_id"), kind, ref, work.text("doc"), sku, location, quantity, document, posted_at)


def _lines(work: _Work) -> list[pa.Array]:
    """An order line becomes an event for each step that it has taken."""
    sku, location, ref = work.sku(), work.key("location"), work.ref()
    unit, doc = work.text("unit"), work.text("doc")
    steps = {}
    for kind, step in work.mapping.lines.items():
        quantity = work.raw_quantity(step.quantity, blank_is_null=True)
        at = work.raw_instant(step.at)
        taken = _flags(pc.not_equal(quantity, 0))
        if kind not in SIGNED:
            work.refuse(_flags(pc.less(quantity, 0)), step.quantity, f"{step.quantity}: below zero")
        work.refuse(taken & _flags(pc.is_null(at)), step.at, f"{step.at}: a quantity without its instant")
        steps[kind] = (work.in_base_units(quantity, sku, unit), at, taken)
    tables = []
    for kind, (quantity, at, taken) in steps.items():
        null, kinds = pa.nulls(len(sku), TEXT), pa.repeat(pa.scalar(str(kind), TEXT), len(sku))
        unsaid = pa.nulls(len(sku), quantity.type)
        columns = [null, kinds, ref, doc, sku, location, quantity, unsaid, at]
        tables.append(work.kept(*columns, only=taken))
    return [pa.chunked_array([table[i] for table in tables]) for i in range(len(tables[0]))]


class _Work:
    """One batch under way: its raw columns, and the first thing wrong with each row."""

    def __init__(self, raw: pa.Table, mapping: Mapping) -> None:
        check_columns(raw.column_names, mapping)
        self.raw = raw
        self.mapping = mapping
        self.bad = np.zeros(len(raw), bool)
        self.wrong: list[tuple[np.ndarray, str, str]] = []

    def refuse(self, wrong: np.ndarray, column: str, reason: str) -> None:
        """Reject the rows where `wrong` is set, unless something was wrong with them already."""
        new = wrong & ~self.bad
        if new.any():
            self.wrong.append((np.flatnonzero(new), column, reason))
            self.bad |= new

    def text(self, name: str) -> pa.Array:
        """A canonical text column: trimmed; null where it is blank or not mapped."""
        if name in self.mapping.constants:
            return pa.repeat(pa.scalar(self.mapping.constants[name], TEXT), len(self.raw))
        columns = [parsing.text(self._raw(column)) for column in self.mapping.raw_columns(name)]
        if not columns:
            return pa.nulls(len(self.raw), TEXT)
        if name == "location" and len(columns) > 1:
            return pc.binary_join_element_wise(*columns, "/", null_handling="skip")
        return pc.coalesce(*columns)

    def key(self, name: str, reason: str | None = None) -> pa.Array:
        """A text column that every row must have."""
        values = self.text(name)
        column = self._called(name)
        self.refuse(_flags(pc.is_null(values)), column, reason or f"{column}: empty")
        return values

    def ref(self) -> pa.Array:
        """The reference of a line or document, with its channel before it where it has one."""
        values, channel = self.key("ref"), self.text("channel")
        if channel.null_count == len(channel):
            return values
        return pc.coalesce(pc.binary_join_element_wise(channel, values, "/"), values)

    def sku(self) -> pa.Array:
        """The canonical SKU: aliases resolved."""
        values = self.key("sku", "SKU_EMPTY")
        aliases = self.mapping.aliases
        if aliases is None:
            return values
        known = parsing.text(aliases["raw"].combine_chunks())
        places = pc.index_in(values, value_set=known)
        return pc.coalesce(pc.take(parsing.text(aliases["sku"].combine_chunks()), places), values)

    def kind(self) -> pa.Array:
        """The event kind, translated from the source's own word."""
        values = self.key("kind")
        words = {**{kind: kind for kind in self.mapping.known_kinds}, **self.mapping.kinds}
        places = pc.index_in(values, value_set=pa.array(list(words), TEXT))
        column = self._called("kind")
        self.refuse(_flags(pc.is_null(places)), column, f"{column}: an unknown kind of event")
        return pc.take(pa.array([str(kind) for kind in words.values()], TEXT), places)

    def quantity(self, name: str, *, blank_is_null: bool = False) -> pa.Array:
        """An exact decimal column."""
        column = self._column(name)
        if name in self.mapping.constants:
            values = pa.repeat(pa.scalar(self.mapping.constants[name], TEXT), len(self.raw))
            return self._decimals(values, name, blank_is_null)
        if column is None:
            return pa.nulls(len(self.raw), quantity_type(self.mapping.scale))
        return self.raw_quantity(column, blank_is_null=blank_is_null)

    def raw_quantity(self, column: str, *, blank_is_null: bool = False) -> pa.Array:
        """An exact decimal out of a raw column."""
        return self._decimals(self._raw(column), column, blank_is_null)

    def instant(self, name: str, *, needed: bool = False) -> pa.Array:
        """A UTC instant; null where it is not mapped, and where it is blank unless needed."""
        column = self._column(name)
        if column is None:
            return pa.nulls(len(self.raw), INSTANT)
        values = self.raw_instant(column)
        if needed:
            self.refuse(_flags(pc.is_null(values)), column, f"{column}: empty")
        return values

    def raw_instant(self, column: str) -> pa.Array:
        """A UTC instant out of a raw column, local times in the dataset's time zone."""
        parsed = parsing.instants(self._raw(column), self.mapping.time)
        for reason, wrong in parsed.wrong.items():
            self.refuse(wrong, column, f"{column}: {reason}")
        return parsed.values

    def in_base_units(self, quantity: pa.Array, sku: pa.Array, unit: pa.Array) -> pa.Array:
        """The quantity in base units, exactly; a blank unit is the base unit."""
        if self.mapping.units is None or unit.null_count == len(unit):
            return quantity
        parsed = parsing.convert(quantity, sku, unit, parsing.factors(self.mapping.units))
        for reason, wrong in parsed.wrong.items():
            self.refuse(wrong, "unit", f"unit: {reason}")
        return parsed.values

    def refuse_negative(self, quantity: pa.Array, kind: pa.Array) -> None:
        """A quantity below zero, where the kind says the direction already."""
        known = self.mapping.known_kinds.items()
        signed = pc.is_in(kind, value_set=pa.array([str(k) for k, has_sign in known if has_sign], TEXT))
        column = self._called("quantity")
        self.refuse(_flags(pc.less(quantity, 0)) & ~_flags(signed), column, f"{column}: below zero")

    def kept(self, *columns: pa.Array, only: np.ndarray | None = None) -> list[pa.Array]:
        """The columns and the origin of the rows that nothing is wrong with."""
        good = ~self.bad if only is None else ~self.bad & only
        origin = [self.raw.column(name).combine_chunks() for name in ORIGIN]
        file = origin[0] if pa.types.is_dictionary(origin[0].type) else origin[0].dictionary_encode()
        wanted = [*columns, file, origin[1].cast(pa.int64())]
        if good.all():
            return wanted
        mask = pa.array(good)
        return [column.filter(mask) for column in wanted]

    def rejects(self) -> pa.Table:
        """The rejected rows with column, reason and raw row."""
        if not self.wrong:
            return rejects_schema().empty_table()
        order = np.concatenate([rows for rows, _, _ in self.wrong])
        rows = self.raw.take(pa.array(order)).to_pylist()
        said = [(column, reason) for rows_, column, reason in self.wrong for _ in rows_]
        return pa.Table.from_pylist(
            [
                {
                    "source_file": row["source_file"],
                    "source_line": row["source_line"],
                    "column": column,
                    "reason": reason,
                    "raw": json.dumps(
                        {name: value for name, value in row.items() if name not in ORIGIN},
                        ensure_ascii=False,
                        default=str,
                    ),
                }
                for row, (column, reason) in zip(rows, said, strict=True)
            ],
            schema=rejects_schema(),
        )

    def _column(self, name: str) -> str | None:
        """The one raw column of a number or instant."""
        return next(iter(self.mapping.raw_columns(name)), None)

    def _called(self, name: str) -> str:
        """What a reject calls a column."""
        return " or ".join(self.mapping.raw_columns(name)) or name

    def _raw(self, column: str) -> pa.Array:
        return self.raw.column(column).combine_chunks()

    def _decimals(self, values: pa.Array, column: str, blank_is_null: bool) -> pa.Array:
        parsed = parsing.decimals(values, self.mapping.number, self.mapping.scale)
        for reason, wrong in parsed.wrong.items():
            self.refuse(wrong, column, f"{column}: {reason}")
        if not blank_is_null:
            self.refuse(_flags(pc.is_null(parsed.values)), column, f"{column}: empty")
        return parsed.values


def _flags(values: pa.Array) -> np.ndarray:
    """A boolean column as a mask; null is false."""
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False), bool)


def _near(name: str, among: set[str] | list[str]) -> str:
    near = get_close_matches(name.lower(), [each.lower() for each in among], n=1, cutoff=0.5)
    return "" if not near else f"; did you mean {next(e for e in among if e.lower() == near[0])!r}?"


def _counted(kind: pa.Array, quantity: pa.Array, book: pa.Array) -> tuple[pa.Array, pa.Array, pa.Array]:
    """A stock count that says what the book was is a delta at its own time (DOMAIN 2.2)."""
    delta = pc.fill_null(pc.and_(pc.equal(kind, str(Kind.COUNT)), pc.is_valid(book)), False)
    if not pc.any(delta).as_py():
        return kind, quantity, book
    difference = pc.subtract(quantity, book).cast(quantity.type)
    return (
        pc.if_else(delta, str(Kind.ADJUST), kind),
        pc.if_else(delta, difference, quantity),
        pc.if_else(delta, pa.scalar(None, book.type), book),
    )


def _check_aliases(table: pa.Table) -> None:
    raw = parsing.text(table["raw"].combine_chunks())
    counts = pc.value_counts(raw).to_pylist()
    twice = [count["values"] for count in counts if count["counts"] > 1]
    same = _flags(pc.equal(raw, parsing.text(table["sku"].combine_chunks())))
    if same.any():
        raise ConfigError(f"aliases: {raw[int(np.flatnonzero(same)[0])].as_py()!r} is an alias of itself")
    if twice:
        raise ConfigError(f"aliases: {twice[0]!r} stands for two SKUs")
