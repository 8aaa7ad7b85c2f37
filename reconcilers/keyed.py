"""Rows of any source as records: named columns of stated types, a key, and the text that they are bucketed by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reconcilers import parsing
from reconcilers.canonical import Canonical, rejected
from reconcilers.database import session
from reconcilers.errors import ConfigError
from reconcilers.rules import bucket_text, literal, plain_number, quoted
from reconcilers.schemas import ORIGIN_NAMES, SCALE, TEXT

#: The column that says which bucket a record lives in; it is nobody's data.
BUCKET_KEY = "__bucket_key"

EMPTY = literal("")

#: What `types` may say, and the DuckDB type that it is; a decimal has its digits behind it: `decimal(18,4)`.
TYPES = {"text": "VARCHAR", "integer": "BIGINT", "date": "DATE", "boolean": "BOOLEAN", "float": "DOUBLE"}
INSTANT_TYPE = "instant"


@dataclass(frozen=True)
class RecordsMapping:
    """What the columns of a source mean.

    Args:
        key: the canonical columns that name a record.
        columns: canonical column: raw column, in the order of the snapshot.
        types: canonical column: `text`, `integer`, `decimal(18,4)`, `date`, `instant`, `boolean` or
            `float`; a column without one stays as the source has it.
        aliases: column of the key: what the source calls it, and what it is called here, as text.
        time: how instants are written, and where.
        number: how numbers are written.
    """

    key: tuple[str, ...]
    columns: Mapping[str, str]
    types: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    time: parsing.TimeFormat = field(default_factory=parsing.TimeFormat)
    number: parsing.NumberFormat = field(default_factory=parsing.NumberFormat)

    def __post_init__(self) -> None:
        for name in [*self.key, *self.types]:
            if name not in self.columns:
                raise ConfigError(f"{name!r} is not one of the columns {', '.join(self.columns)}")
        for name, kind in self.types.items():
            if kind != INSTANT_TYPE:
                sql_type(name, kind)
        for name, aliases in self.aliases.items():
            _check_aliases(name, aliases, self)

    @property
    def scale(self) -> int:
        """Records have types of their own; quantities are not special."""
        return SCALE

    @property
    def wanted(self) -> tuple[str, ...]:
        """The raw columns that are needed."""
        return tuple(dict.fromkeys(self.columns.values()))

    def read(self, raw: pa.Table, name: str) -> pa.Array:
        """The raw values of a canonical column."""
        return raw.column(self.columns[name]).combine_chunks()


def sql_type(name: str, kind: str) -> str:
    """The DuckDB type of a stated one. Raises `ConfigError` where there is none."""
    if kind in TYPES:
        return TYPES[kind]
    digits = kind.removeprefix("decimal(").removesuffix(")").split(",") if kind.startswith("decimal(") else []
    if len(digits) == 2 and all(d.strip().isdigit() for d in digits) and 0 <= int(digits[1]) <= int(digits[0]) <= 38:
        return f"DECIMAL({int(digits[0])}, {int(digits[1])})"
    raise ConfigError(f"type {kind!r} of {name!r} is not one of {', '.join([*TYPES, INSTANT_TYPE])}, decimal(18,4)")


def keyed(raw: pa.Table, mapping: RecordsMapping) -> Canonical:
    """Make raw rows records.

    A row whose key is not whole, or in which a value is not of its stated type (or would have to be
    rounded for it), is a reject with the first reason.
    """
    columns, wrong = {}, np.full(len(raw), None, object)
    for name in mapping.columns:
        values, bad = _typed(mapping.read(raw, name), name, mapping)
        columns[name] = values
        wrong[bad & (wrong == None)] = f"{name}: not {mapping.types.get(name)}"  # noqa: E711  element by element
    table = pa.table({**columns, **{name: raw.column(name) for name in ORIGIN_NAMES}})
    with session(threads=1) as con:
        con.register("record", table)
        described = {row[0]: row[1] for row in con.execute("describe from record").fetchall()}
        parts = [bucket_text(quoted(name), described[name]) for name in mapping.key]
        texts = con.sql(
            f"select concat_ws(chr(31), {', '.join(f'coalesce({part}, {EMPTY})' for part in parts)}) from record"
        )
        bucket_key = texts.to_arrow_table().column(0)
        whole = con.sql(f"select {' and '.join(f'{part} is not null' for part in parts)} from record")
        named = whole.to_arrow_table().column(0).to_numpy(zero_copy_only=False)
    blank = pc.equal(pc.utf8_length(pc.replace_substring(bucket_key, "\x1f", "")), 0).to_numpy(zero_copy_only=False)
    wrong[(~named.astype(bool) | blank.astype(bool)) & (wrong == None)] = "no whole key"  # noqa: E711
    kept = pa.array(wrong == None)  # noqa: E711
    rows = table.append_column(pa.field(BUCKET_KEY, TEXT), bucket_key).filter(kept)
    return Canonical(rows, _rejects(raw, wrong), len(raw), len(rows))


def _typed(values: pa.Array, name: str, mapping: RecordsMapping) -> tuple[pa.Array, np.ndarray]:
    """The values in their stated type, and which of them are not of it."""
    kind = mapping.types.get(name)
    if pa.types.is_null(values.type):
        values = values.cast(TEXT)
    if name in mapping.aliases:
        values = _resolved(values, name, mapping.aliases[name])
    if kind is None:
        return values, np.zeros(len(values), bool)
    if kind == INSTANT_TYPE:
        parsed = parsing.instants(values, mapping.time)
        bad = np.zeros(len(values), bool)
        for mask in parsed.wrong.values():
            bad |= mask
        return parsed.values, bad
    return _cast(values, sql_type(name, kind), mapping.number)


def _resolved(values: pa.Array, name: str, aliases: Mapping[str, str]) -> pa.Array:
    """The values as they are called here; they keep their type."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    places = pc.index_in(values.cast(TEXT), value_set=pa.array(list(aliases), TEXT))
    try:
        known = pa.array(list(aliases.values()), TEXT).cast(values.type)
    except pa.ArrowInvalid as error:
        raise ConfigError(f"aliases of {name!r}: the column is {values.type}: {error}") from error
    return pc.coalesce(pc.take(known, places), values)


def _check_aliases(name: str, aliases: Mapping[str, str], mapping: RecordsMapping) -> None:
    """An alias is of a key, of its type, and stands for what is not an alias itself."""
    if name not in mapping.key:
        raise ConfigError(f"aliases of {name!r}: not one of the key {', '.join(mapping.key)}")
    for raw, key in aliases.items():
        if not raw or not key:
            raise ConfigError(f"aliases of {name!r}: {raw!r} for {key!r} names nothing")
        if key in aliases:
            raise ConfigError(f"aliases of {name!r}: {raw!r} stands for {key!r}, which is an alias itself")
    _, wrong = _typed(pa.array(list(aliases.values()), TEXT), name, replace(mapping, aliases={}))
    if wrong.any():
        bad = list(aliases.values())[int(np.flatnonzero(wrong)[0])]
        raise ConfigError(f"aliases of {name!r}: {bad!r} is not {mapping.types[name]}")


def _cast(values: pa.Array, kind: str, number: parsing.NumberFormat) -> tuple[pa.Array, np.ndarray]:
    with session(threads=1) as con:
        con.register("given", pa.table({"v": values}))
        text = "v::varchar"
        if pa.types.is_string(values.type) and kind.startswith(("DECIMAL", "BIGINT", "DOUBLE")):
            plain = f"replace({text}, {literal(number.thousands)}, '')" if number.thousands else text
            text = f"trim(replace({plain}, ',', '.'))" if number.decimal == "," else f"trim({plain})"
        given = text if kind == "VARCHAR" else f"nullif({text}, '')"
        exact = f"{plain_number(given)} is distinct from {plain_number('w::varchar')}"
        rounded = exact if kind.startswith(("DECIMAL", "BIGINT")) else "false"
        found = con.sql(
            f"select w, {given} is not null and (w is null or {rounded}) as bad "
            f"from (select v, try_cast({given} as {kind}) as w from given)"
        ).to_arrow_table()
    return found.column("w").combine_chunks(), found.column("bad").to_numpy(zero_copy_only=False).astype(bool)


def _rejects(raw: pa.Table, wrong: np.ndarray) -> pa.Table:
    places = np.flatnonzero(wrong != None)  # noqa: E711
    reasons = wrong[places].tolist()
    return rejected(raw, places, [(reason.partition(":")[0] if ":" in reason else "", reason) for reason in reasons])
