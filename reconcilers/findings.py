"""What was found in a bucket of records, as small data that adds up, and the age of each difference."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from functools import reduce
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from reconcilers.fields import Judged, Rows, judge
from reconcilers.records import RESULT_COLUMNS, Comparison, SchemaDifference
from reconcilers.rules import quoted
from reconcilers.schemas import TEXT

_AGED = (Path(__file__).parent / "sql" / "aged.sql").read_text(encoding="utf-8")

#: Changes of a value that a bucket remembers; their sums are exact where a column has no more of them.
FREQUENT = 1_000
#: Differences of each column and verdict that a bucket remembers to be looked at, and those that are kept.
SAMPLES = 20

#: What is remembered of a difference for the next run.
REMEMBERED = pa.schema(
    [("break_id", TEXT), ("first_seen_run", TEXT), ("last_seen_run", TEXT), ("age", pa.int32()), ("status", TEXT)]
)


NO_ROWS = Rows(0, 0)


@dataclass(frozen=True)
class Findings:
    """Counts and examples of a comparison; `+` is that of two buckets, in any order.

    `tally` counts records by (class, reason), `columns` has the counts of `fields.COLUMN_STATS` by
    column, `frequent` the records by (column, value_a, value_b) with an example. Of orders, `amounts` has the
    findings by (class, reason), of which a record may have several, and the money that depends on them.
    """

    tally: Mapping[tuple[str, str], int] = field(default_factory=dict)
    columns: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    frequent: Mapping[tuple[str, str | None, str | None], tuple[int, str]] = field(default_factory=dict)
    samples: tuple[Mapping[str, Any], ...] = ()
    schema: tuple[SchemaDifference, ...] = ()
    a: Rows = NO_ROWS
    b: Rows = NO_ROWS
    amounts: Mapping[tuple[str, str], tuple[int, Decimal]] = field(default_factory=dict)

    def __add__(self, other: Findings) -> Findings:
        return Findings(
            tally={key: self.tally.get(key, 0) + other.tally.get(key, 0) for key in {**self.tally, **other.tally}},
            columns={
                name: _column(self.columns.get(name), other.columns.get(name))
                for name in {**self.columns, **other.columns}
            },
            frequent=_changes(self.frequent, other.frequent),
            samples=_first(self.samples, other.samples),
            schema=self.schema or other.schema,
            a=_rows(self.a, other.a),
            b=_rows(self.b, other.b),
            amounts=_amounts(self.amounts, other.amounts),
        )

    def to_json(self) -> str:
        """One JSON document."""
        return json.dumps(
            {
                "tally": [[*key, records] for key, records in self.tally.items()],
                "columns": dict(self.columns),
                "frequent": [[*key, *value] for key, value in self.frequent.items()],
                "samples": [dict(sample) for sample in self.samples],
                "schema": [asdict(each) for each in self.schema],
                "a": asdict(self.a),
                "b": asdict(self.b),
                "amounts": [[*key, *amount] for key, amount in self.amounts.items()],
            },
            default=str,
            ensure_ascii=False,
        )

    @staticmethod
    def from_json(text: str | bytes) -> Findings:
        """What `to_json` wrote."""
        told = json.loads(text)
        return Findings(
            tally={(name, reason): records for name, reason, records in told["tally"]},
            columns=told["columns"],
            frequent={(column, a, b): (records, example) for column, a, b, records, example in told["frequent"]},
            samples=tuple(told["samples"]),
            schema=tuple(SchemaDifference(**each) for each in told["schema"]),
            a=Rows(**told["a"]),
            b=Rows(**told["b"]),
            amounts={(name, reason): (count, Decimal(value)) for name, reason, count, value in told["amounts"]},
        )


@dataclass(frozen=True)
class Bucket:
    """A bucket compared: its differences, those of the run before that are gone, and what adds up."""

    differences: pa.Table
    closed: pa.Table
    found: Findings


def findings(judged: Judged) -> Findings:
    """What a finished comparison found."""
    return Findings(
        tally={(row["class"], row["reason"]): row["records"] for row in judged.tally().to_pylist()},
        columns={row.pop("column"): row for row in judged.column_stats().to_pylist()},
        frequent={
            (row["column"], row["value_a"], row["value_b"]): (row["records"], row["example"])
            for row in judged.frequent(FREQUENT).to_pylist()
        },
        samples=_first((), tuple(_texts(row, judged) for row in judged.samples(SAMPLES).to_pylist())),
        schema=judged.layout.differences,
        a=judged.a,
        b=judged.b,
    )


def total(parts: Iterable[Findings]) -> Findings:
    """The findings of all buckets."""
    return reduce(lambda one, other: one + other, parts, Findings())


def compare_bucket(
    con: duckdb.DuckDBPyConnection, comparison: Comparison, run: str, previous: pa.Table | None
) -> Bucket:
    """Compare the relations `records_a` and `records_b` of a connection."""
    judged = judge(con, comparison, "records_a", "records_b")
    differences, closed = aged(con, judged.differences, judged.layout.key_names, run, previous)
    return Bucket(differences, closed, findings(judged))


def aged(
    con: duckdb.DuckDBPyConnection, found: str, keys: Sequence[str], run: str, previous: pa.Table | None = None
) -> tuple[pa.Table, pa.Table]:
    """The differences with identity and age: a difference is its pair, key, column and reason.

    Args:
        con: where they are.
        found: the query for them.
        keys: the columns of the key.
        run: identifies this run.
        previous: `REMEMBERED` of the run before: its differences, and those that were gone by then.

    Returns:
        The columns of `found`, `age` being the runs that have seen it in a row, and `break_id,
        first_seen_run, last_seen_run, status`; and `REMEMBERED` of those that are gone, so that they can
        be reopened.
    """
    con.register("previous", REMEMBERED.empty_table() if previous is None else previous)
    con.execute("set variable run = ?", [run])
    texts = ", ".join(f"{quoted(name)}::varchar" for name in keys)
    con.execute(
        f"""create or replace temp view identified as
        select *, md5(concat_ws(chr(31), pair, to_json([{texts}])::varchar, "column", reason)) as break_id
        from ({found})"""
    )
    con.execute(_AGED)
    differences, closed = (con.sql(f"from {name}").to_arrow_table() for name in ("aged", "gone"))
    return differences, closed.cast(REMEMBERED)


def _texts(row: Mapping[str, Any], judged: Judged) -> dict[str, Any]:
    """A difference whose key is text or whole numbers, which a JSON document holds as they are."""
    keys = judged.layout.key_names
    plain = (str, int, type(None))
    return {name: value if name not in keys or isinstance(value, plain) else str(value) for name, value in row.items()}


def _column(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if one is None or other is None:
        return one or other or {}
    gaps = [each["largest_difference"] for each in (one, other) if each["largest_difference"] is not None]
    counts = {name: one[name] + other[name] for name in one if name != "largest_difference"}
    return {**counts, "largest_difference": max(gaps, default=None)}


def _changes(one: Mapping[Any, tuple[int, str]], other: Mapping[Any, tuple[int, str]]) -> dict[Any, tuple[int, str]]:
    added: dict[Any, tuple[int, str]] = dict(one)
    for key, (records, example) in other.items():
        known = added.get(key)
        added[key] = (records, example) if known is None else (known[0] + records, min(known[1], example))
    return added


def _first(one: tuple[Mapping[str, Any], ...], other: tuple[Mapping[str, Any], ...]) -> tuple[Mapping[str, Any], ...]:
    """The first samples of each column and verdict, by key."""
    kept: dict[tuple[str, ...], int] = {}
    found = []
    for sample in sorted([*one, *other], key=_order):
        group = (sample["column"] or "", sample["class"], sample["reason"] or "")
        kept[group] = kept.get(group, 0) + 1
        if kept[group] <= SAMPLES:
            found.append(sample)
    return tuple(found)


def _order(sample: Mapping[str, Any]) -> tuple[Any, ...]:
    keys = [value for name, value in sample.items() if name not in RESULT_COLUMNS]
    numbers = [(isinstance(key, str), "" if isinstance(key, str) else key, str(key)) for key in keys]
    return (sample["column"] or "", sample["class"], sample["reason"] or "", *numbers, str(sample["value_a"]))


def _amounts(
    one: Mapping[tuple[str, str], tuple[int, Decimal]], other: Mapping[tuple[str, str], tuple[int, Decimal]]
) -> dict[tuple[str, str], tuple[int, Decimal]]:
    nothing = (0, Decimal(0))
    sums = {key: (one.get(key, nothing), other.get(key, nothing)) for key in {**one, **other}}
    return {key: (x[0] + y[0], x[1] + y[1]) for key, (x, y) in sums.items()}


def _rows(one: Rows, other: Rows) -> Rows:
    return Rows(one.read + other.read, one.without_key + other.without_key, one.folded + other.folded)
