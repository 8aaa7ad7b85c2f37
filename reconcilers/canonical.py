"""From what a system calls things to the canonical records: names, types, time zones, aliases, units.

A row is kept whole or rejected whole, with the first reason found. Reasons are a small closed set of
texts, so that they can be counted; the value itself is in the raw row that a reject carries.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reconcilers import parsing
from reconcilers.kits import Kits
from reconcilers.mapping import SIGNED, Mapping, check_columns
from reconcilers.schemas import (
    INSTANT,
    ORIGIN_NAMES,
    TEXT,
    Kind,
    events_schema,
    quantity_type,
    rejects_schema,
    stock_schema,
)


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
        origin = [self.raw.column(name).combine_chunks() for name in ORIGIN_NAMES]
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
        told = [(column, reason) for rows, column, reason in self.wrong for _ in rows]
        return rejected(self.raw, order, told)

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


def rejected(raw: pa.Table, places: np.ndarray, told: Iterable[tuple[str, str]]) -> pa.Table:
    """Rows as rejects (`rejects_schema`): those at `places`, each with the column and the reason that are `told`."""
    rows = raw.take(pa.array(places, pa.int64())).to_pylist()
    return pa.Table.from_pylist(
        [
            {
                **{name: row.pop(name) for name in ORIGIN_NAMES},
                "column": column,
                "reason": reason,
                "raw": json.dumps(row, ensure_ascii=False, default=str),
            }
            for row, (column, reason) in zip(rows, told, strict=True)
        ],
        schema=rejects_schema(),
    )


def _flags(values: pa.Array) -> np.ndarray:
    """A boolean column as a mask; null is false."""
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False), bool)


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
