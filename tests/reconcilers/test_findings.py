"""The memory of differences from run to run."""

from __future__ import annotations

import pyarrow as pa

from reconcilers.database import session
from reconcilers.findings import REMEMBERED, compare_bucket
from reconcilers.records import Comparison


def night(run: str, shop: list[tuple[str, str]], erp: list[tuple[str, str]], before=None, key="id"):
    """The differences of a night by key and reason, and what the next night goes on from."""
    sides = [pa.table({n: [row[i] for row in side] for i, n in enumerate((key, "v"))}) for side in (shop, erp)]
    with session(threads=1) as con:
        con.register("records_a", sides[0])
        con.register("records_b", sides[1])
        found = compare_bucket(con, Comparison(key=(key,)), run, before)
    remembered = pa.concat_tables([found.differences.select(REMEMBERED.names), found.closed])
    name = found.differences.column_names[1]
    rows = found.differences.sort_by([(name, "ascending")]).to_pylist()
    return [(row[name], row["status"], row["age"], row["first_seen_run"]) for row in rows], remembered


def test_a_difference_goes_on_is_closed_and_is_reopened():
    first, memory = night("r1", [("1", "x"), ("2", "x")], [("1", "y"), ("2", "y")])
    assert first == [("1", "OPEN", 1, "r1"), ("2", "OPEN", 1, "r1")]
    second, memory = night("r2", [("1", "x"), ("2", "x")], [("1", "y"), ("2", "x")], memory)
    assert second == [("1", "OPEN", 2, "r1")]
    third, memory = night("r3", [("1", "x"), ("2", "x")], [("1", "x"), ("2", "y")], memory)
    assert third == [("2", "REOPENED", 1, "r3")]
    fourth, _ = night("r4", [("1", "x"), ("2", "x")], [("1", "x"), ("2", "z")], memory)
    assert fourth == [("2", "REOPENED", 2, "r3")]


def test_several_copies_of_a_key_stay_as_many():
    shop, erp = [("1", "x")] * 4, [("1", "x")]
    memory, seen = None, []
    for run in ("r1", "r2", "r3"):
        told, memory = night(run, shop, erp, memory)
        seen.append(told)
    assert [len(told) for told in seen] == [3, 3, 3]
    assert {age for _, _, age, _ in seen[2]} == {3}


def test_a_key_may_be_called_like_what_is_remembered():
    for key in REMEMBERED.names:
        memory = None
        for age, run in enumerate(("r1", "r2"), 1):
            told, memory = night(run, [("1", "x")], [("1", "y")], memory, key)
            assert told == [("1", "OPEN", age, "r1")]
