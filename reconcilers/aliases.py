"""Suggestions of SKU aliases: an article that each system knows under another name.

A suggestion has a score and never touches a quantity (DOMAIN 2.6); somebody writes it into the alias
table, or does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pyarrow as pa

from reconcilers.database import session

_SQL = (Path(__file__).parent / "sql" / "aliases.sql").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Alias:
    """`sku_a`, which only the target knows, may be `sku_b`, which only the authority knows.

    `units` is what both show, at so many `locations`; `score` is how alike the names are (0 to 1).
    `sure` says that no other SKU comes into question, and that it can hardly be chance.
    """

    sku_a: str
    sku_b: str
    units: Decimal
    locations: int
    score: float
    sure: bool


def suggest_aliases(breaks: pa.Table) -> list[Alias]:
    """The likeliest aliases among the missing keys of one pair (`breaks_schema`), at most 100."""
    with session() as con:
        con.register("breaks", breaks)
        return [Alias(*row) for row in con.execute(_SQL).fetchall()]
