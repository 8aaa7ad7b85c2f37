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

from reconcilers.copies import each_key_once, repeats, taken_apart
from reconcilers.errors import ConfigError
from reconcilers.pairing import compare_pairs, count, side_of, whole
from reconcilers.records import Column, Comparison, Layout, SchemaDifference, layout
from reconcilers.rules import literal, plain_number, quoted
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
            con.execute(f"create or replace temp view side_{side} as {side_of(found, comparison, side, relation)}")
        read = {side: count(con, f"select count(*) from side_{side}") for side in ("a", "b")}
    except _WRONG as error:
        raise ConfigError(f"{comparison.name}: {' '.join(str(error).split())[:300]}") from error
    con.execute(_JSON_FACTS)
    equal, folded = 0, {"a": 0, "b": 0}
    often = any(repeats(con, found, side) for side in ("a", "b"))
    if not often:
        equal = compare_pairs(con, found, "side_a", "side_b")
    if often or not each_key_once(con, found, read, equal):
        equal, folded = taken_apart(con, found, comparison)
    con.execute(f"create or replace temp view judged as {_judged(found, comparison)}")
    without = {
        side: count(con, f"select count(*) from changed where here_{side} and not {whole(found)}")
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


def _judged(found: Layout, comparison: Comparison) -> str:
    """Every pair that is not equal with its verdict; none for a row without a whole key."""
    settling = "false"
    if comparison.settle:
        since = f"timestamptz {literal(str(comparison.now))} - interval '{comparison.settle.total_seconds()} seconds'"
        settling = f"coalesce(changed_at > {since}, false)"
    return f"""
        select *,
            case
                when not {whole(found)} then null
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
