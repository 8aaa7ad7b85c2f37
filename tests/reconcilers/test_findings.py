"""The memory of differences from run to run."""

from __future__ import annotations

import pyarrow as pa

from reconcilers.database import session
from reconcilers.findings import REMEMBERED, compare_bucket
from reconcilers.records import Comparison


def night(run: str, shop: list[tuple[str, str]], erp: list[tuple[str, str]], before=None):
    """The differences of a night by key and reason, and what the next night goes on from."""
    sides = [pa.table({n: [row[i] for row in side] for i, n in enumerate(("id", "v"))}) for side in (shop, erp)]
    with session(threads=1) as con:
        con.register("records_a", sides[0])
        con.register("records_b", sides[1])
        found = compare_bucket(con, Comparison(key=("id",)), run, before)
    remembered = pa.concat_tables([found.differences.select(REMEMBERED.names), found.closed])
    rows = found.differences.sort_by([("id", "ascending")]).to_pylist()
    return [(row["id"], row["status"], row["age"], row["first_seen_run"]) for row in rows], remembered


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
