"""Capture and snapshots: nothing vanishes, sums close, and half a snapshot is none."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
from decimal import Decimal
from pathlib import Path

import captures
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines import snapshots
from pipelines.capture import capture
from reconcilers.buckets import bucket_of
from reconcilers.errors import ConfigError, Unreachable

take, request = captures.take, captures.request


def export(directory, name="stock.csv", skus=range(50)):
    text = "sku,location,quantity\n" + "".join(f"S{n},w,{n}.5\n" for n in skus)
    (directory / name).write_text(text)


def test_the_manifest_closes(tmp_path):
    export(tmp_path, "a.csv", range(30))
    (tmp_path / "b.csv").write_text("sku,location,quantity\nX,w,1\n,w,1\nY,w,x\nZ,w,x\n")
    snapshot = take(tmp_path, path="*.csv", buckets=4)
    manifest = snapshot.manifest
    assert (manifest.rows_read, manifest.rows_kept, manifest.rejected, manifest.rows) == (34, 31, 3, 31)
    assert manifest.reject_reasons == {"quantity: not a number": 2, "SKU_EMPTY": 1}
    assert Decimal(manifest.sum_quantity) == sum(Decimal(n) + Decimal("0.5") for n in range(30)) + 1
    assert manifest.complete
    assert len(manifest.files) == 2
    for part in manifest.files:
        data = (Path(snapshot.path) / part.path).read_bytes()
        assert (part.bytes, part.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    snapshot.verify()


def test_row_group_k_is_bucket_k(tmp_path):
    export(tmp_path)
    snapshot = take(tmp_path, path="stock.csv", buckets=8)
    file = pq.ParquetFile(Path(snapshot.path) / "part-00000.parquet")
    assert file.num_row_groups == 8
    for bucket in range(8):
        skus = file.read_row_group(bucket)["sku"]
        assert set(bucket_of(skus, 8).tolist()) <= {bucket}


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(have=st.sampled_from([1, 2, 8, 32]), of=st.sampled_from([1, 2, 4, 16]))
def test_snapshots_of_different_bucket_counts_still_join(tmp_path, have, of):
    export(tmp_path)
    snapshot = take(tmp_path, path="stock.csv", buckets=have)
    for bucket in range(of):
        table = snapshot.read_bucket(bucket, of, ["sku"])
        assert set(bucket_of(table["sku"], of).tolist()) <= {bucket}
    everything = [sku for b in range(of) for sku in snapshot.read_bucket(b, of, ["sku"])["sku"].to_pylist()]
    assert sorted(everything) == sorted(f"S{n}" for n in range(50))


def test_a_large_split_goes_on_in_more_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(snapshots, "MOST_PART_ROWS", 20)
    table = pa.table({"sku": [f"S{n}" for n in range(50)], "location": ["w"] * 50, "quantity": [1] * 50})
    pq.write_table(table, tmp_path / "s.parquet")
    from pipelines.connectors import files

    monkeypatch.setattr(files.pq.ParquetFile, "iter_batches", _small(files.pq.ParquetFile.iter_batches))
    snapshot = take(tmp_path, path="s.parquet", buckets=2)
    assert [part.path for part in snapshot.manifest.files] == [
        "part-00000.parquet",
        "part-00000-001.parquet",
        "part-00000-002.parquet",
    ]
    assert len(snapshot.read_bucket(0, 1)) == 50


def _small(iter_batches):
    return lambda self, size, **options: iter_batches(self, 10, **options)


def test_a_damaged_part_is_told(tmp_path):
    export(tmp_path)
    snapshot = take(tmp_path, path="stock.csv")
    part = Path(snapshot.path) / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-10])
    with pytest.raises(Unreachable, match="checksum"):
        snapshot.verify()
    with pytest.raises(Unreachable, match="part-00000.parquet: damaged"):
        snapshot.read_bucket(0, 1)
    part.unlink()
    with pytest.raises(Unreachable, match="No such file"):
        snapshot.read_bucket(0, 1)


def test_newest_load_and_list(tmp_path):
    export(tmp_path)
    workspace = str(tmp_path / "ws")
    assert snapshots.newest(workspace, "erp", "stock") is None
    first, second = take(tmp_path, path="stock.csv"), take(tmp_path, path="stock.csv")
    assert first.manifest.snapshot_id != second.manifest.snapshot_id
    assert snapshots.newest(workspace, "erp", "stock") == second
    assert snapshots.list_snapshots(workspace) == [first, second]
    assert snapshots.load(workspace, "erp", "stock", first.manifest.snapshot_id) == first
    with pytest.raises(ConfigError, match="no snapshot 'x' of erp/stock"):
        snapshots.load(workspace, "erp", "stock", "x")


def test_a_manifest_that_is_none(tmp_path):
    export(tmp_path)
    snapshot = take(tmp_path, path="stock.csv")
    (Path(snapshot.path) / "manifest.json").write_text('{"format": 99}')
    with pytest.raises(Unreachable, match="manifest.json: not a manifest"):
        snapshots.list_snapshots(str(tmp_path / "ws"))


def test_one_bad_source_leaves_no_snapshot_of_any(tmp_path):
    export(tmp_path)
    (tmp_path / "bad.csv").write_bytes(b"sku,location,quantity\nA,w")
    workspace = str(tmp_path / "ws")
    with pytest.raises(Unreachable, match="bad.csv: cut off"):
        capture([request(tmp_path, path="stock.csv"), request(tmp_path, path="bad.csv")], workspace, captures.NOW)
    assert snapshots.list_snapshots(workspace) == []
    (good,) = capture([request(tmp_path, path="stock.csv")], workspace, captures.NOW)
    assert snapshots.list_snapshots(workspace) == [good]


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import captures
from pipelines import capture as capturing

def stuck(path, manifest):
    print("parts written", flush=True)
    time.sleep(600)

capturing.snapshots.write_manifest = stuck
captures.take(Path(sys.argv[2]), path="stock.csv")
"""


def test_killed_half_way_it_never_happened(tmp_path):
    export(tmp_path)
    arguments = [sys.executable, "-c", textwrap.dedent(KILLED), str(Path(__file__).parent)]
    with subprocess.Popen([*arguments, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "parts written\n"
        process.send_signal(signal.SIGKILL)
    assert list((tmp_path / "ws").rglob("part-00000.parquet"))
    assert snapshots.list_snapshots(str(tmp_path / "ws")) == []
    snapshot = take(tmp_path, path="stock.csv")
    assert snapshots.list_snapshots(str(tmp_path / "ws")) == [snapshot]


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/bin/mount").exists(), reason="needs mount for a small disk")
def test_a_full_disk_is_one_error_and_leaves_no_snapshot(tmp_path):
    disk = tmp_path / "ws"
    disk.mkdir()
    mounted = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small disk here: {mounted.stderr.decode().strip()}")
    try:
        rows = "".join(f"SKU-{hashlib.md5(str(n).encode()).hexdigest()},w,{n}\n" for n in range(20_000))
        (tmp_path / "stock.csv").write_text("sku,location,quantity\n" + rows)
        with pytest.raises(Unreachable, match="No space left on device"):
            take(tmp_path, path="stock.csv")
        assert snapshots.list_snapshots(str(disk)) == []
        assert not list(disk.rglob("*.partial"))
    finally:
        subprocess.run(["/bin/umount", str(disk)], check=True)


def test_a_workspace_that_cannot_be_written(tmp_path):
    export(tmp_path)
    (tmp_path / "ws").write_text("a file, not a directory")
    with pytest.raises(Unreachable, match="ws"):
        take(tmp_path, path="stock.csv")


def test_snapshots_take_their_time_in_order(tmp_path):
    """`newest` is the one captured last, also where its as-of is older."""
    export(tmp_path)
    take(tmp_path, path="stock.csv")
    older = take(tmp_path, path="stock.csv", as_of={"from": "value", "value": "2026-11-01T00:00:00Z"})
    assert snapshots.newest(str(tmp_path / "ws"), "erp", "stock") == older
