"""Kits and bundles: an order for a kit is an order for its parts, and its stock is what they make.

A kit may have kits as parts; they are taken apart down to what is on the shelf.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reconcilers.database import session
from reconcilers.errors import ConfigError
from reconcilers.schemas import TEXT, stock_schema

#: The columns of a table of kits, all text.
COLUMNS = ("kit", "component", "quantity")


@dataclass(frozen=True)
class Kits:
    """What every kit is made of: parts that are no kits, each with how many of it are in one kit.

    Raises:
        ConfigError: a quantity that is not a positive whole number, a part twice, a kit in itself.
    """

    parts: Mapping[str, Mapping[str, int]]

    @staticmethod
    def from_table(table: pa.Table) -> Kits:
        """The kits of a table with a row a part (`COLUMNS`)."""
        direct: dict[str, dict[str, int]] = {}
        for row in table.to_pylist():
            kit, part, text = (str(row[name] or "").strip() for name in COLUMNS)
            if not re.fullmatch(r"0*[1-9]\d{0,8}(?:\.0*)?", text):
                raise ConfigError(f"kits: {kit!r} has {text!r} of {part!r}, not a positive whole number")
            if part in direct.setdefault(kit, {}):
                raise ConfigError(f"kits: {kit!r} has the part {part!r} twice")
            direct[kit][part] = int(Decimal(text))
        return Kits({kit: _leaves(kit, direct, ()) for kit in direct})

    def explode(self, rows: pa.Table) -> pa.Table:
        """Rows with `sku`, `quantity` and `document_quantity`: those of a kit become those of its parts."""
        names = list(self.parts)
        places = pc.index_in(rows["sku"], value_set=pa.array(names, TEXT)).combine_chunks()
        if places.null_count == len(rows):
            return rows
        is_kit = pc.is_valid(places)
        kits = rows.filter(is_kit)
        which = places.filter(is_kit).to_numpy()
        counts = np.array([len(self.parts[name]) for name in names])
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        flat = [(part, count) for name in names for part, count in self.parts[name].items()]
        repeated = np.repeat(np.arange(len(which)), counts[which])
        within = np.arange(len(repeated)) - np.repeat(np.cumsum(counts[which]) - counts[which], counts[which])
        chosen = pa.array(starts[which][repeated] + within)
        exploded = kits.take(pa.array(repeated))
        parts = pa.array([part for part, _ in flat], TEXT).take(chosen)
        factors = pa.array([count for _, count in flat], pa.int64()).take(chosen)
        for name, column in (
            ("sku", parts),
            ("quantity", _times(exploded["quantity"], factors)),
            ("document_quantity", _times(exploded["document_quantity"], factors)),
        ):
            place = exploded.schema.get_field_index(name)
            exploded = exploded.set_column(place, rows.schema.field(name), column)
        return pa.concat_tables([rows.filter(pc.invert(is_kit)), exploded]).unify_dictionaries()

    def components(self) -> pa.Array:
        """The SKUs that some kit is made of, each once."""
        return pa.array(sorted({part for parts in self.parts.values() for part in parts}), TEXT)

    def table(self) -> pa.Table:
        """A row a part (`COLUMNS`), the quantity a whole number."""
        rows = [
            dict(zip(COLUMNS, (kit, part, count), strict=True))
            for kit, made_of in self.parts.items()
            for part, count in made_of.items()
        ]
        return pa.Table.from_pylist(rows, schema=pa.schema(zip(COLUMNS, (TEXT, TEXT, pa.int64()), strict=True)))

    def assemble(self, levels: pa.Table) -> pa.Table:
        """The stock of kits that nobody counts: as many as the target's numbers of the parts should make.

        Args:
            levels: the verdicts on the parts (`levels_schema`). What the target should show of a part is
                `quantity_b + expected_diff`; a location at which a part is not known makes no kit.

        Returns:
            Rows of `stock_schema`, whole kits, never below zero.
        """
        schema = stock_schema(levels.schema.field("quantity_b").type.scale)
        with session(threads=1) as con:
            con.register("needed", self.table())
            con.register("levels", levels)
            made = con.sql("""
                select
                    kit as sku, location,
                    min(greatest(0, floor((quantity_b + expected_diff) / quantity))) as quantity
                from needed join levels on sku = component
                where quantity_b is not null
                group by kit, location
                having count(*) = (select count(*) from needed n where n.kit = needed.kit)
                order by sku, location""").to_arrow_table()
        columns = [
            made[field.name] if field.name in made.column_names else pa.nulls(len(made), field.type) for field in schema
        ]
        return pa.table(columns, names=schema.names).cast(schema)


def _leaves(kit: str, direct: Mapping[str, Mapping[str, int]], above: tuple[str, ...]) -> dict[str, int]:
    """The parts of a kit that are no kits themselves."""
    if kit in above:
        raise ConfigError(f"kits: {' contains '.join([*above[above.index(kit) :], kit])}")
    found: dict[str, int] = {}
    for part, count in direct[kit].items():
        inner = _leaves(part, direct, (*above, kit)) if part in direct else {part: 1}
        for leaf, each in inner.items():
            found[leaf] = found.get(leaf, 0) + count * each
    return found


def _times(quantity: pa.ChunkedArray, factors: pa.Array) -> pa.ChunkedArray:
    """Exact products in the quantity's own type."""
    wide = pc.multiply(quantity, factors.cast(pa.decimal128(19, 0)))
    return wide.cast(quantity.type)
