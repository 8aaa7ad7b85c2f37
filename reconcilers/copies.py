"""Keys that one side has more than once: noticed by counting, and taken apart by the policy for duplicates."""

from __future__ import annotations

import duckdb

from reconcilers.errors import ExpectationsFailed
from reconcilers.pairing import compare_pairs, count, joined, keys_of, marked, same_key, whole
from reconcilers.records import Column, Comparison, Duplicates, Layout
from reconcilers.rules import literal

#: Rows of each side that are looked at before anything is joined.
_FIRST = 100_000


def repeats(con: duckdb.DuckDBPyConnection, found: Layout, side: str) -> bool:
    """Whether the first rows have keys again and again: joined, m copies with n others would be m·n pairs."""
    keys = ", ".join(keys_of(found))
    first = f"(select {keys} from side_{side} where {whole(found)} limit {_FIRST})"
    rows = count(con, f"select count(*) from {first}")
    return rows - count(con, f"select count(*) from (select distinct {keys} from {first})") > rows // 100


def each_key_once(con: duckdb.DuckDBPyConnection, found: Layout, read: dict[str, int], equal: int) -> bool:
    """Whether no side has a key twice.

    A key with m rows in A and n in B makes m·n pairs: more than m or n of them unless both are 1.
    Rows that only one side has are looked at.
    """
    for side, other in (("a", "b"), ("b", "a")):
        if equal + count(con, f"select count(*) from changed where here_{side}") != read[side]:
            return False
        alone = f"from changed where here_{side} and here_{other} is null and {whole(found)}"
        if count(
            con, f"select count(*) from (select 1 {alone} group by {', '.join(keys_of(found))} having count(*) > 1)"
        ):
            return False
    return True


def taken_apart(con: duckdb.DuckDBPyConnection, found: Layout, comparison: Comparison) -> tuple[int, dict[str, int]]:
    """Compare again, the keys that are there once as before, the others by the policy.

    Returns:
        How many pairs are equal, and how many rows of each side were folded into another of their key.
    """
    keys = ", ".join(keys_of(found))
    each = [
        f"select {keys} from side_{side} where {whole(found)} group by all having count(*) > 1" for side in ("a", "b")
    ]
    con.execute(f"create or replace temp table twice as {' union '.join(each)}")
    if comparison.duplicates is Duplicates.REFUSE:
        raise ExpectationsFailed(_refusal(con, found, comparison))
    for side in ("a", "b"):
        con.execute(f"create or replace temp table copies_{side} as from side_{side} semi join twice using ({keys})")
    once = {side: f"(from side_{side} anti join twice using ({keys}))" for side in ("a", "b")}
    if comparison.duplicates is Duplicates.AGGREGATE:
        folded = {side: _folded(con, found, side) for side in ("a", "b")}
        all_of = {side: f"(from {once[side]} union all by name from folded_{side})" for side in ("a", "b")}
        return compare_pairs(con, found, all_of["a"], all_of["b"]), folded
    equal = compare_pairs(con, found, once["a"], once["b"])
    return equal + _paired(con, found), {"a": 0, "b": 0}


def _refusal(con: duckdb.DuckDBPyConnection, found: Layout, comparison: Comparison) -> str:
    names = zip(found.keys, found.key_names, strict=True)
    example = ", ".join(f"{literal(name + '=')} || k{c.number}::varchar" for c, name in names)
    ((keys, first),) = con.execute(f"select count(*), min(concat_ws(', ', {example})) from twice").fetchall()
    return f"{comparison.name}: {keys:,} keys are there more than once, such as {first}"


def _folded(con: duckdb.DuckDBPyConnection, found: Layout, side: str) -> int:
    """One row of all copies of a key: the sum of a number, the largest of anything else.

    Returns:
        How many rows that are fewer.
    """
    values = [_aggregate(column, side) for column in found.columns]
    if found.dated:
        values.append("max(changed_at) as changed_at")
    con.execute(
        f"""create or replace temp table folded_{side} as
        select {", ".join([*keys_of(found), *values])}, true as here
        from copies_{side} group by {", ".join(keys_of(found))}"""
    )
    return count(con, f"select (select count(*) from copies_{side}) - count(*) from folded_{side}")


def _aggregate(column: Column, side: str) -> str:
    kind = column.type_a if side == "a" else column.type_b
    numeric = kind.startswith("DECIMAL") or kind.endswith("INT") or kind in ("INTEGER", "FLOAT", "DOUBLE")
    name = f"v{column.number}"
    return f"{'sum' if numeric else 'max'}({name})::{kind} as {name}"


def _paired(con: duckdb.DuckDBPyConnection, found: Layout) -> int:
    """Pairs of equal copies first, then of what is left in the order of its values.

    A copy that then has no partner is `extra`, unless it is the first of a key that the other side
    has not.

    Returns:
        How many pairs are equal.
    """
    keys, values = keys_of(found), [f"e{c.number}" for c in found.columns]
    for side in ("a", "b"):
        compared = [getattr(c.sides(f"v{c.number}", f"v{c.number}"), side) for c in found.columns]
        same = "".join(f", {expression} as {name}" for expression, name in zip(compared, values, strict=True))
        con.execute(
            f"""create or replace temp table numbered_{side} as
            select *, row_number() over (partition by {", ".join([*keys, *values])}) as copy
            from (select *{same} from copies_{side})"""
        )
    alike = " and ".join(
        [f"a.{name} = b.{name}" for name in [*keys, "copy"]] + [f"a.{e} is not distinct from b.{e}" for e in values]
    )
    equal = count(con, f"select count(*) from numbered_a a join numbered_b b on {alike}")
    for side, other in (("a", "b"), ("b", "a")):
        order = ", ".join([*values, *(f"v{c.number}" for c in found.columns)]) or "1"
        con.execute(
            f"""create or replace temp table left_{side} as
            select *, row_number() over (partition by {", ".join(keys)} order by {order}) as place
            from (from numbered_{side} {side} anti join numbered_{other} {other} on {alike})"""
        )
    absent = {side: f"not exists (from copies_{side} c where {same_key('c', 'p', keys)})" for side in ("a", "b")}
    con.execute(
        f"""insert into changed by name
        select * exclude (place),
            (here_a is null and not (place = 1 and {absent["a"]}))
            or (here_b is null and not (place = 1 and {absent["b"]})) as extra
        from ({marked(found, joined(found, "left_a", "left_b", "place"))}) p"""
    )
    return equal
