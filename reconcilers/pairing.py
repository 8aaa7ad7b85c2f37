"""The hash join of two relations by key: which rows are pairs, and which pairs differ.

Inside the statements, `k` is a key column, `v` a value, `a` and `b` the values of a pair.
"""

from __future__ import annotations

import duckdb

from reconcilers.records import Comparison, Layout
from reconcilers.rules import key_sides, quoted


def count(con: duckdb.DuckDBPyConnection, query: str) -> int:
    """The one number that a query gives."""
    ((found,),) = con.execute(query).fetchall()
    return int(found)


def side_of(found: Layout, comparison: Comparison, side: str, relation: str) -> str:
    """One side: its key as it is joined, its values as they are, and its last change."""
    parts = [key_sides(quoted(k.name), quoted(k.name_b), k.type_a, k.type_b) for k in found.keys]
    joined = [getattr(part, side) for part in parts]
    if all("VARCHAR" in (key.type_a, key.type_b) for key in found.keys):
        # empty text names nothing, though one part of several may be empty
        named = " or ".join(f"{part} <> ''" for part in joined)
        joined[0] = f"case when {named} then {joined[0]} end"
    columns = [f"{part} as k{number}" for number, part in enumerate(joined)]
    columns += [f"{quoted(c.name if side == 'a' else c.name_b)} as v{c.number}" for c in found.columns]
    if comparison.changed_at is not None:
        name = comparison.changed_at
        changed_at = quoted(name if side == "a" else comparison.renamed.get(name, name))
        columns.append(f"try_cast({changed_at}::varchar as timestamptz) as changed_at")
    columns.append("true as here")
    condition = getattr(comparison, f"where_{side}")
    return f"select {', '.join(columns)} from {relation}" + (f" where {condition}" if condition else "")


def compare_pairs(con: duckdb.DuckDBPyConnection, found: Layout, left: str, right: str) -> int:
    """Put the pairs that differ into `changed`; returns how many do not.

    The filter counts what it drops with a sequence: the join is read once, and nothing but the
    differences is kept.
    """
    differ = " or ".join(["here_a is null", "here_b is null", *(column.differs for column in found.columns)])
    con.execute("create or replace temp sequence equal_pairs")
    kept = f"case when {differ} then true else nextval('equal_pairs') < 0 end"
    pairs = marked(found, f"from ({joined(found, left, right)}) where {kept}")
    con.execute(f"create or replace temp table changed as select *, false as extra from ({pairs})")
    return count(con, "select nextval('equal_pairs') - 1")


def marked(found: Layout, pairs: str) -> str:
    """Pairs that differ, with which values are near enough all the same, and whether any is not."""
    lenient = [column for column in found.columns if column.rule.lenient]
    if not lenient:
        return f"select *, true as wrong from ({pairs})"
    wrong = " or ".join(["here_a is null", "here_b is null", *(column.wrong for column in found.columns)])
    near = ", ".join(f"{column.nearly} as {column.near}" for column in lenient)
    return f"select *, {wrong} as wrong from (select *, {near} from ({pairs}))"


def joined(found: Layout, left: str, right: str, *more: str) -> str:
    """The pairs: key, both values of each column, and which sides are there; `more` is joined by as well."""
    keys = [*keys_of(found), *more]
    values = "".join(f", a.v{c.number} as {c.a}, b.v{c.number} as {c.b}" for c in found.columns)
    return f"""
        select {", ".join(f"coalesce(a.{key}, b.{key}) as {key}" for key in keys)}{values},
            {"greatest(a.changed_at, b.changed_at) as changed_at," if found.dated else ""}
            a.here as here_a, b.here as here_b
        from {left} a full join {right} b on {same_key("a", "b", keys)}"""


def keys_of(found: Layout) -> list[str]:
    """The columns that the sides are joined by."""
    return [f"k{column.number}" for column in found.keys]


def whole(found: Layout) -> str:
    """The condition that no part of the key is null."""
    return "(" + " and ".join(f"{key} is not null" for key in keys_of(found)) + ")"


def same_key(one: str, other: str, keys: list[str]) -> str:
    """The condition that a row of `one` and a row of `other` have the same key."""
    return " and ".join(f"{one}.{key} = {other}.{key}" for key in keys)
