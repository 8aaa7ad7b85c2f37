"""Order lines of any source as records: canonical columns, references, SKUs and words for a state (DOMAIN 2.6).

Lines are bucketed by the canonical reference of their order, so that all lines of an order, and every
document that a backend made of it, are judged together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from reconcilers import parsing
from reconcilers.database import session
from reconcilers.errors import ConfigError
from reconcilers.keyed import INSTANT_TYPE, RecordsMapping
from reconcilers.references import Normaliser
from reconcilers.schemas import PRECISION, SCALE

#: The columns that say which order, which line of it, and which document of a system.
NAMES = ("ref", "channel", "line", "doc", "sku")
#: Amounts of a line, and those of the whole order, which every row or only the first may repeat.
LINE_AMOUNTS = ("quantity", "price", "discount", "tax")
ORDER_AMOUNTS = ("charges", "total")
TEXTS = ("currency", "status")
INSTANTS = ("placed_at", "changed_at")

ROLES = (*NAMES, *LINE_AMOUNTS, *ORDER_AMOUNTS, *TEXTS, *INSTANTS)

#: What a state means; a word of the source that is none of these, and not translated, stays as it is.
STATUSES = ("open", "shipped", "cancelled", "returned")


@dataclass(frozen=True)
class OrdersMapping(RecordsMapping):
    """What the columns of an export of order lines mean; `of` makes one.

    Args:
        alternatives: canonical column: further raw columns, for rows where the first is blank.
        references: how references and line ids become canonical.
        xref: rows (raw, ref) that win over that.
        skus: rows (raw, sku).
        statuses: the source's own word: one of `STATUSES`; "" is that of a row without one.
    """

    alternatives: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    references: Normaliser = Normaliser()
    xref: pa.Table | None = None
    skus: pa.Table | None = None
    statuses: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if "ref" not in self.columns:
            raise ConfigError("columns name no 'ref', the reference of the order")
        for word, status in self.statuses.items():
            if status not in STATUSES:
                raise ConfigError(f"statuses: {word!r} is {status!r}, which is not one of {', '.join(STATUSES)}")
        super().__post_init__()

    @staticmethod
    def of(
        columns: Mapping[str, str | tuple[str, ...]],
        scale: int = SCALE,
        types: Mapping[str, str] | None = None,
        **others: object,
    ) -> OrdersMapping:
        """The mapping of these columns: `ROLES` have their own types, others are as `types` says."""
        amount = f"decimal({PRECISION},{scale})"
        own = dict.fromkeys((*LINE_AMOUNTS, *ORDER_AMOUNTS), amount) | dict.fromkeys(INSTANTS, INSTANT_TYPE)
        if taken := [name for name in types or {} if name in ROLES]:
            raise ConfigError(f"types: {taken[0]!r} has a type of its own")
        named = {name: (raw,) if isinstance(raw, str) else tuple(raw) for name, raw in columns.items()}
        mapping = OrdersMapping(
            key=("ref",),
            columns={name: raw[0] for name, raw in named.items()},
            types={**{name: kind for name, kind in own.items() if name in named}, **(types or {})},
            alternatives={name: raw[1:] for name, raw in named.items() if len(raw) > 1},
        )
        return replace(mapping, **others)  # type: ignore[arg-type]

    @property
    def wanted(self) -> tuple[str, ...]:
        """The raw columns that are needed."""
        more = (raw for each in self.alternatives.values() for raw in each)
        return tuple(dict.fromkeys([*self.columns.values(), *more]))

    def read(self, raw: pa.Table, name: str) -> pa.Array:
        """A canonical column before it has its type."""
        if name not in (*NAMES, *TEXTS) and name not in self.alternatives:
            return super().read(raw, name)
        texts = self._text(raw, name)
        if name == "sku":
            return _translated(texts, self.skus, "sku", texts)
        if name == "line":
            return self.canonical(texts)
        if name == "ref":
            return self._of_its_channel(self.canonical(texts), raw)
        return self._state(texts) if name == "status" else texts

    def _text(self, raw: pa.Table, name: str) -> pa.Array:
        """The first of its raw columns that is not blank, trimmed."""
        columns = (self.columns[name], *self.alternatives.get(name, ()))
        return pc.coalesce(*(parsing.text(raw.column(each).combine_chunks()) for each in columns))

    def canonical(self, texts: pa.Array) -> pa.Array:
        """References as the cross-reference says, else normalised."""
        if self.references.is_identity:
            return _translated(texts, self.xref, "ref", texts)
        with session(threads=1) as con:
            con.register("given", pa.table({"v": texts}))
            spelled = con.sql(f"select {self.references.sql('v')} as v from given").to_arrow_table()
        return _translated(texts, self.xref, "ref", spelled.column(0).combine_chunks())

    def _of_its_channel(self, texts: pa.Array, raw: pa.Table) -> pa.Array:
        """The channel goes before the reference: number 7 of one is not number 7 of another."""
        if "channel" not in self.columns:
            return texts
        return pc.coalesce(pc.binary_join_element_wise(self._text(raw, "channel"), texts, "/"), texts)

    def _state(self, texts: pa.Array) -> pa.Array:
        words = {word: status for word, status in self.statuses.items() if word}
        table = pa.table({"raw": list(words), "status": list(words.values())}) if words else None
        states = _translated(texts, table, "status", texts)
        return pc.fill_null(states, self.statuses[""]) if "" in self.statuses else states


def _translated(values: pa.Array, table: pa.Table | None, to: str, otherwise: pa.Array) -> pa.Array:
    """What a table (raw, `to`) makes of the values; `otherwise` where it does not name them."""
    if table is None:
        return otherwise
    places = pc.index_in(values, value_set=parsing.text(table["raw"].combine_chunks()))
    return pc.coalesce(pc.take(parsing.text(table[to].combine_chunks()), places), otherwise)
