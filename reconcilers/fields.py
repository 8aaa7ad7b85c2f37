"""The kernel of keyed records: two relations in DuckDB, compared field by field.

One hash join finds the pairs that differ at all, and counts the equal ones as it drops them; only what
differs is looked at again, column by column. The counts say whether every key is there once: if equal,
different and one-sided pairs are more than a side's rows, some key is not, and the rows of those keys
are taken apart by the policy for duplicates. The statements depend on the columns, so they are written here
rather than in a file; inside them, `k` is a key column, `v` a value, `a` and `b` the values of a pair.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import pyarrow as pa

from reconcilers.errors import ConfigError, ExpectationsFailed
from reconcilers.records import Column, Comparison, Duplicates, Layout, SchemaDifference, layout
from reconcilers.rules import key_sides, literal, plain_number, quoted
from reconcilers.schemas import TEXT

#: How often each value became which other, with the smallest key for which it did.
FREQUENT = pa.schema(
    [("column", TEXT), ("value_a", TEXT), ("value_b", TEXT), ("records", pa.int64()), ("example", TEXT)]
)

#: How each column compares: `compared = equal + within_tolerance + different`. Of the different ones,
#: `null_in_a` and `null_in_b` are null on one side only, and `only_spelling` are equal as numbers.
COLUMN_STATS = pa.schema(
    [
        ("column", TEXT),
        *(
            (name, pa.int64())
            for name in (
                "compared",
                "equal",
                "within_tolerance",
                "different",
                "null_in_a",
                "null_in_b",
                "only_spelling",
            )
        ),
        ("largest_difference", pa.float64()),
    ]
)

#: Records by verdict ("" for no reason); the tallies of buckets add up.
TALLY = pa.schema([("pair", TEXT), ("class", TEXT), ("reason", TEXT), ("records", pa.int64())])

#: Rows of each side that are looked at before anything is joined.
_FIRST = 100_000

#: What DuckDB says of a condition that cannot be asked.
_WRONG = (duckdb.BinderException, duckdb.CatalogException, duckdb.ConversionException, duckdb.ParserException)

_JSON_FACTS = """
create or replace temp macro json_facts(document) as (
    select list_sort(list(fullkey || ' ' || coalesce(atom::varchar, type))) from json_tree(document)
)"""


@dataclass(frozen=True)
class Rows:
    """The rows of one side: read; without a whole key; folded into another row of their key."""

    read: int
    without_key: int
    folded: int = 0


@dataclass(frozen=True)
class Compared:
    """What a comparison found, as data.

    `differences` has the key columns, `reconcilers.records.RESULT_COLUMNS` and a row a field that
    differs; `column` is null where only one side has the record. `same` says that nothing differs.
    """

    differences: pa.Table
    tally: pa.Table
    column_stats: pa.Table
    frequent: pa.Table
    schema: tuple[SchemaDifference, ...]
    a: Rows
    b: Rows

    @property
    def same(self) -> bool:
        """Whether nothing differs: no field, no record, no column, and no row is without its key."""
        columns = any(each.kind.startswith("missing") for each in self.schema)
        return not (len(self.differences) or columns or self.a.without_key or self.b.without_key)


@dataclass(frozen=True)
class Judged:
    """A finished comparison: table `changed` and view `judged` in `con`, and what can be asked of them.

    `equal` pairs are the same in every column; `a.read = pairs + only in A + without_key + folded`.
    """

    con: duckdb.DuckDBPyConnection
    comparison: Comparison
    layout: Layout
    a: Rows
    b: Rows
    equal: int

    @property
    def differences(self) -> str:
        """The query for one row a field that differs, and one a record that only one side has."""
        return " union all ".join(self._each())

    def _each(self) -> list[str]:
        """The records that only one side has, by verdict, and the fields that differ, by column."""
        names = zip(self.layout.keys, self.layout.key_names, strict=True)
        keys = ", ".join(f"k{column.number} as {quoted(name)}" for column, name in names)
        row = f"""select {literal(self.comparison.name)} as pair, {keys}, {{column}} as "column",
            {{a}}::varchar as value_a, {{b}}::varchar as value_b, class, reason, {{gap}}::varchar as difference,
            null::integer as age from judged where {{condition}}"""
        alone = ["extra", *(f"not extra and here_{side} is null and class is not null" for side in ("a", "b"))]
        return [
            *(row.format(column="null", a="null", b="null", gap="null", condition=each) for each in alone),
            *(
                row.format(
                    column=literal(c.name), a=c.a, b=c.b, gap=c.gap, condition=f"here_a and here_b and {c.wrong}"
                )
                for c in self.layout.columns
            ),
        ]

    def compared(self) -> Compared:
        """Everything as Arrow tables: for what fits into memory."""
        return Compared(
            self.con.sql(self.differences).to_arrow_table(),
            self.tally(),
            self.column_stats(),
            self.frequent(),
            self.layout.differences,
            self.a,
            self.b,
        )

    def tally(self) -> pa.Table:
        """Records by class and reason, schema `TALLY`."""
        return self._table(
            f"""select {literal(self.comparison.name)} as pair, class, reason, sum(records)::bigint as records
            from (
                select class, coalesce(reason, '') as reason, count(*) as records
                from judged where class is not null group by all
                union all select 'MATCHED', '', {self.equal}
            )
            group by all having sum(records) > 0 order by all""",
            TALLY,
        )

    def column_stats(self) -> pa.Table:
        """How each column compares, schema `COLUMN_STATS`."""
        return self._table(
            " union all ".join(f"({_stats(column, self.equal)})" for column in self.layout.columns), COLUMN_STATS
        )

    def frequent(self, most: int = 10) -> pa.Table:
        """The most frequent changes of a value, schema `FREQUENT`."""
        each = " union all ".join(f"({_frequent(column, self.layout, most)})" for column in self.layout.columns)
        ordered = f'from ({each}) order by records desc, "column", value_a, value_b limit {most}'
        return self._table(ordered if each else "", FREQUENT)

    def samples(self, most: int = 20) -> pa.Table:
        """The first differences of each column and class, in the order of their keys."""
        order = ", ".join(quoted(name) for name in self.layout.key_names)
        each = " union all ".join(f"(from ({query}) order by {order} limit {most})" for query in self._each())
        return self.con.sql(each).to_arrow_table()

    def _table(self, query: str, schema: pa.Schema) -> pa.Table:
        """The answer, of exactly this schema; no query has no rows."""
        return self.con.sql(query).to_arrow_table().cast(schema) if query else schema.empty_table()


def judge(con: duckdb.DuckDBPyConnection, comparison: Comparison, left: str, right: str) -> Judged:
    """Compare two relations of a connection; `left` and `right` are what may stand behind `from`.

    They are read again where a key is there more than once.

    Raises:
        ConfigError: a column is missing, or a condition is wrong.
        ExpectationsFailed: a key is there more than once, and the policy is to refuse.
    """
    try:
        found = layout(_types(con, left), _types(con, right), comparison)
        for side, relation in (("a", left), ("b", right)):
            con.execute(f"create or replace temp view side_{side} as {_side(found, comparison, side, relation)}")
        read = {side: _count(con, f"select count(*) from side_{side}") for side in ("a", "b")}
    except _WRONG as error:
        raise ConfigError(f"{comparison.name}: {' '.join(str(error).split())[:300]}") from error
    con.execute(_JSON_FACTS)
    equal, folded = 0, {"a": 0, "b": 0}
    often = any(_repeats(con, found, side) for side in ("a", "b"))
    if not often:
        equal = _compared(con, found, "side_a", "side_b")
    if often or not _each_key_once(con, found, read, equal):
        equal, folded = _taken_apart(con, found, comparison)
    con.execute(f"create or replace temp view judged as {_judged(found, comparison)}")
    without = {
        side: _count(con, f"select count(*) from changed where here_{side} and not {_whole(found)}")
        for side in ("a", "b")
    }
    return Judged(
        con,
        comparison,
        found,
        Rows(read["a"], without["a"], folded["a"]),
        Rows(read["b"], without["b"], folded["b"]),
        equal,
    )


def _types(con: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    return {row[0]: row[1] for row in con.execute(f"describe from {relation}").fetchall()}


def _count(con: duckdb.DuckDBPyConnection, query: str) -> int:
    ((count,),) = con.execute(query).fetchall()
    return int(count)


def _side(found: Layout, comparison: Comparison, side: str, relation: str) -> str:
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


def _compared(con: duckdb.DuckDBPyConnection, found: Layout, left: str, right: str) -> int:
    """Put the pairs that differ into `changed`; returns how many do not.

    The filter counts what it drops with a sequence: the join is read once, and nothing but the
    differences is kept.
    """
    differ = " or ".join(["here_a is null", "here_b is null", *(column.differs for column in found.columns)])
    con.execute("create or replace temp sequence equal_pairs")
    kept = f"case when {differ} then true else nextval('equal_pairs') < 0 end"
    pairs = _marked(found, f"from ({_joined(found, left, right)}) where {kept}")
    con.execute(f"create or replace temp table changed as select *, false as extra from ({pairs})")
    return _count(con, "select nextval('equal_pairs') - 1")


def _marked(found: Layout, pairs: str) -> str:
    """Pairs that differ, with which values are near enough all the same, and whether any is not."""
    lenient = [column for column in found.columns if column.rule.lenient]
    if not lenient:
        return f"select *, true as wrong from ({pairs})"
    wrong = " or ".join(["here_a is null", "here_b is null", *(column.wrong for column in found.columns)])
    near = ", ".join(f"{column.nearly} as {column.near}" for column in lenient)
    return f"select *, {wrong} as wrong from (select *, {near} from ({pairs}))"


def _joined(found: Layout, left: str, right: str, *more: str) -> str:
    """The pairs: key, both values of each column, and which sides are there; `more` is joined by as well."""
    keys = [*_keys(found), *more]
    values = "".join(f", a.v{c.number} as {c.a}, b.v{c.number} as {c.b}" for c in found.columns)
    return f"""
        select {", ".join(f"coalesce(a.{key}, b.{key}) as {key}" for key in keys)}{values},
            {"greatest(a.changed_at, b.changed_at) as changed_at," if found.dated else ""}
            a.here as here_a, b.here as here_b
        from {left} a full join {right} b on {_same_key("a", "b", keys)}"""


def _keys(found: Layout) -> list[str]:
    return [f"k{column.number}" for column in found.keys]


def _whole(found: Layout) -> str:
    """The condition that no part of the key is null."""
    return "(" + " and ".join(f"{key} is not null" for key in _keys(found)) + ")"


def _repeats(con: duckdb.DuckDBPyConnection, found: Layout, side: str) -> bool:
    """Whether the first rows have keys again and again: joined, m copies with n others would be m·n pairs."""
    keys = ", ".join(_keys(found))
    first = f"(select {keys} from side_{side} where {_whole(found)} limit {_FIRST})"
    rows = _count(con, f"select count(*) from {first}")
    return rows - _count(con, f"select count(*) from (select distinct {keys} from {first})") > rows // 100


def _each_key_once(con: duckdb.DuckDBPyConnection, found: Layout, read: dict[str, int], equal: int) -> bool:
    """Whether no side has a key twice.

    A key with m rows in A and n in B makes m·n pairs: more than m or n of them unless both are 1.
    Rows that only one side has are looked at.
    """
    for side, other in (("a", "b"), ("b", "a")):
        if equal + _count(con, f"select count(*) from changed where here_{side}") != read[side]:
            return False
        alone = f"from changed where here_{side} and here_{other} is null and {_whole(found)}"
        if _count(
            con, f"select count(*) from (select 1 {alone} group by {', '.join(_keys(found))} having count(*) > 1)"
        ):
            return False
    return True


def _taken_apart(con: duckdb.DuckDBPyConnection, found: Layout, comparison: Comparison) -> tuple[int, dict[str, int]]:
    """Compare again, the keys that are there once as before, the others by the policy.

    Returns:
        How many pairs are equal, and how many rows of each side were folded into another of their key.
    """
    keys = ", ".join(_keys(found))
    each = [
        f"select {keys} from side_{side} where {_whole(found)} group by all having count(*) > 1" for side in ("a", "b")
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
        return _compared(con, found, all_of["a"], all_of["b"]), folded
    equal = _compared(con, found, once["a"], once["b"])
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
        select {", ".join([*_keys(found), *values])}, true as here
        from copies_{side} group by {", ".join(_keys(found))}"""
    )
    return _count(con, f"select (select count(*) from copies_{side}) - count(*) from folded_{side}")


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
    keys, values = _keys(found), [f"e{c.number}" for c in found.columns]
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
    equal = _count(con, f"select count(*) from numbered_a a join numbered_b b on {alike}")
    for side, other in (("a", "b"), ("b", "a")):
        order = ", ".join([*values, *(f"v{c.number}" for c in found.columns)]) or "1"
        con.execute(
            f"""create or replace temp table left_{side} as
            select *, row_number() over (partition by {", ".join(keys)} order by {order}) as place
            from (from numbered_{side} {side} anti join numbered_{other} {other} on {alike})"""
        )
    absent = {side: f"not exists (from copies_{side} c where {_same_key('c', 'p', keys)})" for side in ("a", "b")}
    con.execute(
        f"""insert into changed by name
        select * exclude (place),
            (here_a is null and not (place = 1 and {absent["a"]}))
            or (here_b is null and not (place = 1 and {absent["b"]})) as extra
        from ({_marked(found, _joined(found, "left_a", "left_b", "place"))}) p"""
    )
    return equal


def _same_key(one: str, other: str, keys: list[str]) -> str:
    return " and ".join(f"{one}.{key} = {other}.{key}" for key in keys)


def _judged(found: Layout, comparison: Comparison) -> str:
    """Every pair that is not equal with its verdict; none for a row without a whole key."""
    settling = "false"
    if comparison.settle:
        since = f"timestamptz {literal(str(comparison.now))} - interval '{comparison.settle.total_seconds()} seconds'"
        settling = f"coalesce(changed_at > {since}, false)"
    return f"""
        select *,
            case
                when not {_whole(found)} then null
                when extra then 'BREAK'
                when not wrong then 'MATCHED'
                when {settling} then 'IN_FLIGHT'
                when here_a is null then 'MISSING_IN_A'
                when here_b is null then 'MISSING_IN_B'
                else 'BREAK'
            end as class,
            case
                when class = 'IN_FLIGHT' then 'NOT_SETTLED'
                when extra then if(here_a, 'DUPLICATE_IN_A', 'DUPLICATE_IN_B')
                when class = 'BREAK' then 'VALUE_DIFFERS'
            end as reason
        from changed"""


def _stats(column: Column, equal: int) -> str:
    """The counts of one column over the pairs that are not equal in every column."""
    text = "VARCHAR" in (column.type_a, column.type_b) and column.type_a == column.type_b
    spelled = f"{plain_number(column.a)} = {plain_number(column.b)}" if text else "false"

    return f"""
        select {literal(column.name)} as "column",
            {equal} + count(*) as compared,
            {equal} + count(*) filter (not {column.differs}) as equal,
            count(*) filter ({column.differs} and not {column.wrong}) as within_tolerance,
            count(*) filter ({column.wrong}) as different,
            count(*) filter ({column.wrong} and {column.a} is null and {column.b} is not null) as null_in_a,
            count(*) filter ({column.wrong} and {column.a} is not null and {column.b} is null) as null_in_b,
            count(*) filter (case when {column.wrong} then {spelled} else false end) as only_spelling,
            max(abs({column.gap}))::double as largest_difference
        from judged where here_a and here_b and not extra"""


def _frequent(column: Column, found: Layout, most: int) -> str:
    names = zip(found.keys, found.key_names, strict=True)
    example = ", ".join(f"{literal(name)}: k{key.number}" for key, name in names)
    return f"""
        select {literal(column.name)} as "column", {column.a}::varchar as value_a, {column.b}::varchar as value_b,
            count(*) as records, to_json(min({{{example}}}))::varchar as example
        from judged where here_a and here_b and {column.wrong}
        group by {column.a}, {column.b}
        order by records desc, value_a, value_b limit {most}"""
