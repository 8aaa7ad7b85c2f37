"""`recon gc`: what is deleted, and what never is."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import lifecycle
from jobs.config import load
from jobs.init import init
from jobs.retention import gc
from reconcilers.errors import ConfigError

OLD = timedelta(days=500)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A shop that ran once."""
    directory = tmp_path_factory.mktemp("shop")
    init(directory)
    lifecycle.run_job(load(directory / "recon.yaml"), "nightly")
    return directory


@pytest.fixture
def shop(ran, tmp_path):
    """A copy with five more runs, each of an own capture, a day apart and all long past their retention."""
    shutil.copytree(ran, tmp_path / "shop")
    path = tmp_path / "shop" / "recon.yaml"
    path.write_text("retention: {keep_last: 1}\n" + path.read_text())
    workspace = path.parent / ".recon"
    (workspace / "ledger.sqlite").unlink()
    (first,) = (workspace / "runs").iterdir()
    begin = datetime.now(UTC) - OLD
    for number in range(6):
        at = (begin + timedelta(days=number)).isoformat()
        run = workspace / "runs" / f"run-{number}"
        shutil.copytree(first, run)
        captured = json.loads((run / "captured.json").read_text())
        for system, datasets in captured["snapshots"].items():
            for dataset, snapshot_id in datasets.items():
                place = workspace / "snapshots" / system / dataset
                shutil.copytree(place / snapshot_id, place / f"s-{number}")
                rewrite(place / f"s-{number}" / "manifest.json", snapshot_id=f"s-{number}", finished_at=at)
                datasets[dataset] = f"s-{number}"
        (run / "captured.json").write_text(json.dumps(captured))
        rewrite(run / "plan.json", run_id=run.name, started_at=at)
        rewrite(run / "summary.json", run_id=run.name, started_at=at, finished_at=at, now=at)
    shutil.rmtree(first)
    for place in (workspace / "snapshots").glob("*/*"):
        for snapshot in place.iterdir():
            if not snapshot.name.startswith("s-"):
                shutil.rmtree(snapshot)
    return path


def rewrite(path: Path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def left(path):
    runs = {each.name for each in (path.parent / ".recon" / "runs").iterdir()}
    return runs, {each.name for each in (path.parent / ".recon" / "snapshots" / "erp" / "stock").iterdir()}


def test_it_says_what_it_would_do_and_does_nothing(shop):
    before = left(shop)
    found = gc(shop, apply=False)
    assert left(shop) == before
    assert {item.name for item in found.deleted if item.kind == "run"} == {f"run-{n}" for n in range(5)}
    assert "nothing was deleted" in found.text()


def test_the_newest_run_and_its_snapshots_stay(shop):
    gc(shop, apply=True)
    assert left(shop) == ({"run-5"}, {"s-5"})
    assert gc(shop, apply=True).deleted == ()


def test_what_an_open_break_a_correction_or_a_pin_needs_is_kept(shop):
    runs = shop.parent / ".recon" / "runs"
    (runs / "run-2" / "publish").mkdir()
    (runs / "run-2" / "publish" / "state.json").write_text('{"state": "HELD"}')
    gc(shop, apply=False, pin="run-1")
    first_seen(runs / "run-5", "run-0")
    found = gc(shop, apply=True)
    assert left(shop) == ({"run-0", "run-1", "run-2", "run-5"}, {"s-0", "s-1", "s-2", "s-5"})
    why = {item.name: item.why for item in found.kept}
    assert why["run-0"] == "an open break of storefront~erp was first seen in it"
    assert (why["run-1"], why["run-2"]) == ("pinned", "its corrections are HELD, not published")
    assert why["erp/stock/s-0"] == "needed by run run-0"
    gc(shop, apply=True, unpin="run-1")
    assert left(shop)[0] == {"run-0", "run-2", "run-5"}


def first_seen(run, name):
    for path in (run / "breaks").glob("*.parquet"):
        table = pq.read_table(path)
        at = table.schema.get_field_index("first_seen_run")
        names = pa.array([name] * len(table)).cast(table.schema.field(at).type)
        pq.write_table(table.set_column(at, table.schema.field(at), names), path)


def test_a_run_that_can_be_resumed_stays_and_leftovers_go(shop):
    runs = shop.parent / ".recon" / "runs"
    (runs / "run-5" / "summary.json").unlink()
    half = shop.parent / ".recon" / "snapshots" / "erp" / "stock" / "half"
    half.mkdir()
    assert "leftover" not in {item.kind for item in gc(shop, apply=False).deleted}  # it may be under way
    os.utime(half, (0, 0))
    found = gc(shop, apply=True)
    assert {"run-4", "run-5"} == left(shop)[0]
    assert not half.exists()
    assert {item.name: item.why for item in found.kept}["run-5"] == "can be resumed"


def test_a_deletion_that_was_cut_off_is_finished_the_next_time(shop):
    run = shop.parent / ".recon" / "runs" / "run-0"
    for marker in ("summary.json", "plan.json"):
        (run / marker).unlink()
    for path in (run, *run.rglob("*")):
        os.utime(path, (0, 0))
    gc(shop, apply=True)
    assert "run-0" not in left(shop)[0]


def test_only_a_run_that_is_there_can_be_pinned(shop):
    with pytest.raises(ConfigError, match="no finished run 'nope'"):
        gc(shop, apply=False, pin="nope")
