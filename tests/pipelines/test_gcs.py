"""The same on `gs://`, against a storage emulator."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime

import captures
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.io.gcp.gcsio_retry import DEFAULT_RETRY_WITH_THROTTLING_COUNTER
from storage import emulator, storage

from pipelines import filesystem, snapshots
from pipelines.connectors import open_source
from reconcilers.errors import Unreachable


@pytest.fixture(scope="module")
def bucket():
    with storage("recon-test") as name:
        yield name


def take(bucket, path, workspace, **options):
    from pipelines.capture import capture

    request = captures.request(bucket, path=f"{bucket}/{path}", **options)
    return capture([request], f"{bucket}/{workspace}", captures.NOW)[0]


def test_a_snapshot_from_and_to_a_bucket(bucket):
    text = "sku,location,quantity\n" + "".join(f"S{n},w,{n}\n" for n in range(50))
    for name, data in (("stock-20261122.csv", b"old"), ("stock-20261123.csv.gz", gzip.compress(text.encode()))):
        filesystem.write_atomic(f"{bucket}/in/{name}", data)
    as_of = {"from": "filename", "pattern": "stock-%Y%m%d.csv"}
    snapshot = take(bucket, "in/stock-*", "ws", buckets=4, format="csv", as_of=as_of)
    assert snapshot.manifest.as_of == datetime(2026, 11, 22, 23, tzinfo=UTC)
    assert snapshot.manifest.rows == 50
    assert sorted(row for part in snapshot.read(["sku"]) for row in part["sku"].to_pylist()) == sorted(
        f"S{n}" for n in range(50)
    )
    snapshot.verify()
    assert snapshots.list_snapshots(f"{bucket}/ws") == [snapshot]
    assert snapshots.newest(f"{bucket}/ws", "erp", "stock") == snapshot


def test_parquet_in_a_bucket(bucket):
    table = pa.table({"sku": ["A", "B"], "location": ["w", "w"], "quantity": [1, 2]})
    with filesystem.create(f"{bucket}/in/s.parquet") as file:
        pq.write_table(table, file)
    snapshot = take(bucket, "in/s.parquet", "ws2")
    assert captures.rows(snapshot, "sku", "quantity") == [("A", 1), ("B", 2)]


def test_the_verbs(bucket):
    filesystem.write_atomic(f"{bucket}/verbs/a/one.txt", b"1")
    filesystem.write_atomic(f"{bucket}/verbs/two.txt", b"22")
    assert filesystem.exists(f"{bucket}/verbs/two.txt")
    assert not filesystem.exists(f"{bucket}/verbs/three.txt")
    assert filesystem.list_files(f"{bucket}/verbs") == [f"{bucket}/verbs/two.txt"]
    assert filesystem.list_dirs(f"{bucket}/verbs") == [f"{bucket}/verbs/a"]
    assert filesystem.size(f"{bucket}/verbs/two.txt") == 2
    assert abs((filesystem.modified_at(f"{bucket}/verbs/two.txt") - datetime.now(UTC)).total_seconds()) < 300
    filesystem.delete(f"{bucket}/verbs/two.txt")
    assert not filesystem.exists(f"{bucket}/verbs/two.txt")


def test_what_is_not_there_is_one_error(bucket):
    with pytest.raises(Unreachable, match="no such file"):
        take(bucket, "in/none.csv", "ws3")
    with pytest.raises(Unreachable, match=r"gs://recon-test/none\.txt"), filesystem.open_read(f"{bucket}/none.txt"):
        pass


def test_a_store_that_goes_away_while_a_file_is_read(monkeypatch):
    """Beam asks for two minutes; here for a second."""
    monkeypatch.setattr(DEFAULT_RETRY_WITH_THROTTLING_COUNTER, "_timeout", 1.0)
    with emulator("recon-gone") as server:
        path = "gs://recon-gone/s.csv"
        filesystem.write_atomic(path, b"sku,location,quantity\n" + b"S,w,1\n" * 5_000_000)
        request = captures.request("/", path=path)
        source = open_source(request.connector, request.options, request.context)
        (split,) = source.plan(captures.NOW).splits
        batches = source.read(split)
        next(batches)
        server.stop()
        with pytest.raises(Unreachable, match=f"^{path}: ") as told:
            list(batches)
    assert "\n" not in str(told.value)
