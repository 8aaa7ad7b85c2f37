"""What was found in a bucket of records, as small data that adds up, and the age of each difference."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import reduce
from typing import Any

import pyarrow as pa

from reconcilers.fields import Judged, Rows
from reconcilers.records import RESULT_COLUMNS, SchemaDifference
from reconcilers.rules import literal, quoted
from reconcilers.schemas import TEXT

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
    column, `frequent` the records by (column, value_a, value_b) with an example.
    """

    tally: Mapping[tuple[str, str], int] = field(default_factory=dict)
    columns: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    frequent: Mapping[tuple[str, str | None, str | None], tuple[int, str]] = field(default_factory=dict)
    samples: tuple[Mapping[str, Any], ...] = ()
    schema: tuple[SchemaDifference, ...] = ()
    a: Rows = NO_ROWS
    b: Rows = NO_ROWS

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
        )


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


def aged(judged: Judged, run: str, previous: pa.Table | None = None) -> pa.Table:
    """The differences with identity and age: a difference is its pair, key and column.

    Args:
        judged: a finished comparison.
        run: identifies this run.
        previous: `REMEMBERED` of the differences of the run before.

    Returns:
        The columns of `differences`, `age` being the runs that have seen it in a row, and `break_id,
        first_seen_run, last_seen_run, status`.
    """
    judged.con.register("previous", REMEMBERED.empty_table() if previous is None else previous)
    keys = ", ".join(f"{quoted(name)}::varchar" for name in judged.layout.key_names)
    return judged.con.sql(
        f"""
        with identified as (
            select *, md5(concat_ws(chr(31), pair, to_json([{keys}])::varchar, "column", reason)) as break_id
            from ({judged.differences})
        )
        select d.* replace (coalesce(p.age, 0) + 1 as age),
            coalesce(p.first_seen_run, {literal(run)}) as first_seen_run, {literal(run)} as last_seen_run,
            if(class = 'IN_FLIGHT', 'TRANSIENT', 'OPEN') as status
        from identified d
        left join previous p on p.break_id = d.break_id and (p.status = 'TRANSIENT') = (d.class = 'IN_FLIGHT')"""
    ).to_arrow_table()


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


def _rows(one: Rows, other: Rows) -> Rows:
    return Rows(one.read + other.read, one.without_key + other.without_key, one.folded + other.folded)
