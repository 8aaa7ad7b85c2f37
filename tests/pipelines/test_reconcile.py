"""The law that binds both spellings: the pipeline's output is the in-memory one, however it is cut."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import captures
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import capture as capturing
from pipelines.capture import capture
from pipelines.reconcile import OUTPUTS, PairTask, read_output, read_parts, reconcile_snapshots
from reconcilers import profiles
from reconcilers.mapping import Mapping
from reconcilers.memory import reconcile
from reconcilers.pairs import Pair, Side
from reconcilers.schemas import Kind

AS_OF_A = datetime(2026, 11, 23, 2, tzinfo=UTC)
AS_OF_B = datetime(2026, 11, 23, 2, 30, tzinfo=UTC)
NOW = datetime(2026, 11, 23, 3, tzinfo=UTC)


def merchant(seed, keys=60):
    """Exports of a storefront and an ERP with orders at every stage, and some numbers that are wrong."""
    chance = random.Random(seed)
    stock = {"a": [], "b": []}
    events = {"a": [], "b": []}
    for key in range(keys):
        sku, place = f"SKU-{key:04d}", chance.choice(["web", "shop"])
        start = chance.randrange(20, 90)
        number_a, number_b = start + chance.choice([0] * 8 + [-2, 3]), start
        for order in range(chance.randrange(4)):
            ref, quantity = f"{key}-{order}", chance.randrange(1, 4)
            placed = AS_OF_A - timedelta(hours=chance.randrange(1, 60))
            shipped = placed + timedelta(hours=chance.randrange(1, 60))
            event = {"ref": ref, "sku": sku, "location": place, "quantity": str(quantity)}
            events["a"].append({**event, "kind": "PLACE", "posted_at": placed.isoformat()})
            number_a -= quantity
            if chance.random() < 0.9:
                events["b"].append({**event, "kind": "PLACE", "posted_at": (placed + timedelta(hours=1)).isoformat()})
                if shipped <= AS_OF_B:
                    events["b"].append({**event, "kind": "SHIP", "posted_at": shipped.isoformat()})
                    number_b -= quantity
        if chance.random() < 0.95:
            stock["a"].append({"sku": sku, "location": place, "quantity": str(number_a), "price": "9.99"})
        if chance.random() < 0.95:
            stock["b"].append({"sku": sku, "location": place, "quantity": str(number_b), "price": None})
    return stock, events


def write(directory, rows, files):
    """The rows as so many Parquet files, in small row groups."""
    directory.mkdir(parents=True)
    for number in range(files):
        part = rows[number::files]
        schema = pa.schema([(name, pa.string()) for name in rows[0]])
        pq.write_table(pa.Table.from_pylist(part, schema=schema), directory / f"{number}.parquet", row_group_size=7)


def pair():
    return Pair(
        name="a~b",
        a=Side("a", profiles.load("storefront.available"), AS_OF_A, watermark=AS_OF_A),
        b=Side("b", profiles.load("erp.on_hand"), AS_OF_B, watermark=AS_OF_B),
        now=NOW,
        sla={Kind.PLACE: timedelta(hours=24)},
        safety_stock=Decimal(2),
    )


def snapshots_of(tmp_path, exports, buckets, files):
    stock, events = exports
    requests = []
    for side, as_of in (("a", AS_OF_A), ("b", AS_OF_B)):
        for dataset, rows in (("stock", stock[side]), ("events", events[side])):
            write(tmp_path / side / dataset, rows, files)
            mapping = Mapping(dataset, columns={"price": "price"} if dataset == "stock" else {})
            request = captures.request(
                tmp_path,
                mapping,
                buckets=buckets[side],
                dataset=dataset,
                path=f"{side}/{dataset}/*.parquet",
                as_of={"from": "value", "value": as_of.isoformat()},
            )
            requests.append(capturing.replace(request, system=side))
    return capture(requests, str(tmp_path / "ws"), NOW)


def run(tmp_path, exports, buckets, files, run_id="run-1", previous=None):
    stock_a, events_a, stock_b, events_b = snapshots_of(tmp_path, exports, buckets, files)
    task = PairTask(pair(), stock_a, stock_b, (events_a,), (events_b,), previous)
    destination = str(tmp_path / run_id)
    reconcile_snapshots([task], run_id, destination)
    return destination


def as_rows(table):
    return sorted(tuple(map(str, row.values())) for row in table.to_pylist())


def in_memory(exports, run_id="run-1", previous=None):
    stock, events = exports

    def frame(rows):
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        table = {name: pa.array(values, pa.string()) for name, values in columns.items()}
        if "posted_at" in table:
            table["posted_at"] = table["posted_at"].cast(pa.timestamp("us", "UTC"))
        table["quantity"] = pa.array([Decimal(value) for value in columns["quantity"]], pa.decimal128(18, 4))
        if "price" in table:
            table["price"] = pa.array([v and Decimal(v) for v in columns["price"]], pa.decimal128(18, 4))
        return pa.table(table)

    return reconcile(
        frame(stock["a"]), frame(stock["b"]), pair(), frame(events["a"]), frame(events["b"]), run_id, previous
    )


@pytest.mark.parametrize(
    ("seed", "buckets", "files"),
    [(1, {"a": 1, "b": 1}, 1), (2, {"a": 8, "b": 8}, 1), (3, {"a": 4, "b": 16}, 3), (4, {"a": 16, "b": 2}, 5)],
)
def test_the_pipeline_is_its_in_memory_twin(tmp_path, seed, buckets, files):
    exports = merchant(seed)
    destination = run(tmp_path, exports, buckets, files)
    expected = in_memory(exports)
    assert {row["class"] for row in expected.levels.to_pylist()} >= {"MATCHED", "IN_FLIGHT", "BREAK"}
    for output in OUTPUTS:
        if output != "tally":
            assert as_rows(read_output(destination, output)) == as_rows(getattr(expected, output)), output


def test_tallies_of_buckets_add_up(tmp_path):
    exports = merchant(5)
    destination = run(tmp_path, exports, {"a": 8, "b": 8}, 2)
    totals = {}
    for table in (read_output(destination, "tally"), in_memory(exports).tally):
        sums = {}
        for row in table.to_pylist():
            found = sums.setdefault((row["class"], row["reason"]), [0, 0, 0])
            for place, name in enumerate(("keys", "units", "value")):
                found[place] += row[name]
        totals[id(table)] = sums
    first, second = totals.values()
    assert first == second
    assert sum(keys for keys, _, _ in first.values()) == len(read_output(destination, "levels"))


def test_breaks_age_over_runs_of_different_bucket_counts(tmp_path):
    exports = merchant(6)
    first = run(tmp_path / "1", exports, {"a": 4, "b": 4}, 1)
    second = run(tmp_path / "2", exports, {"a": 8, "b": 16}, 1, "run-2", previous=first)
    old = {row["break_id"]: row for row in read_output(first, "breaks").to_pylist()}
    new = {row["break_id"]: row for row in read_output(second, "breaks").to_pylist()}
    assert old.keys() == new.keys()
    assert {row["first_seen_run"] for row in new.values()} == {"run-1"}
    assert {row["last_seen_run"] for row in new.values()} == {"run-2"}
    assert {(old[key]["runs_seen"], row["runs_seen"]) for key, row in new.items()} == {(1, 2)}


def test_a_bucket_is_one_part_of_each_output(tmp_path):
    destination = run(tmp_path, merchant(7), {"a": 4, "b": 4}, 1)
    for output in OUTPUTS:
        names = sorted(path.name for path in (Path(destination) / output).iterdir())
        assert names == [f"a~b.part-{bucket:05d}-of-00004.parquet" for bucket in range(4)]
    assert sum(len(part) for part in read_parts(destination, "levels", "a~b")) == len(
        read_output(destination, "levels")
    )
    assert list(read_parts(destination, "levels", "b~a")) == []
