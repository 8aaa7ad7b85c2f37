"""A whole run over real parts: PostgreSQL, a shop over HTTP, a tap on Pub/Sub, and BigQuery for what comes of it."""

from __future__ import annotations

import re
from datetime import timedelta

import merchant
import pytest
import shopify

from jobs import commands, doctor
from jobs.config import load
from jobs.export import send
from jobs.run import silent
from jobs.workspace import Workspace
from pipelines import filesystem, snapshots
from pipelines.reconcile import read_output
from reconcilers.errors import Unreachable

TAP = ("storefront", "events-2")


@pytest.fixture(scope="module")
def shop():
    with shopify.shop() as running:
        yield running


@pytest.fixture(scope="module")
def systems(tmp_path_factory, postgresql, shop, emulator, warehouse):
    """The merchant, before anything was captured; the tests of this module go on from one another."""
    return merchant.merchant(tmp_path_factory.mktemp("merchant"), postgresql, shop, emulator, warehouse)


@pytest.fixture(scope="module")
def failed(systems):
    """A run that cannot write the tap's manifest; what it says."""
    write = filesystem.write_atomic

    def full(path, data):
        if path.endswith(snapshots.MANIFEST) and "/events-2/" in path:
            raise Unreachable(f"{path}: no space left on device")
        write(path, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filesystem, "write_atomic", full)
        with pytest.raises(Unreachable) as told:
            commands.run_job(systems.config, "nightly", silent)
    return str(told.value)


@pytest.fixture(scope="module")
def first(systems, failed):
    return commands.run_job(systems.config, "nightly", silent).summary


@pytest.fixture(scope="module")
def second(systems, first):
    """Once more, after a till has sold another one."""
    systems.sells("T1/78", "SOLD", 1, timedelta(minutes=5))
    systems.shop.items[-1].inventoryLevels[0].numbers["available"] -= 1
    return commands.run_job(systems.config, "nightly", silent).summary


def levels(systems, summary):
    """What a run found, by SKU and location."""
    directory = Workspace(str(load(systems.config).workspace)).run_directory(summary["run_id"])
    rows = read_output(directory, "levels").to_pylist()
    return {(row["sku"], row["location"]): (row["class"], row["reason"], row["unexplained"]) for row in rows}


def taken(systems):
    return snapshots.list_snapshots(str(load(systems.config).workspace), *TAP)


def test_the_example_is_whole(monkeypatch):
    places = {"SHOP": "my-shop.myshopify.com", "ERP_URL": "postgresql://recon@db.example/erp", "SHOPIFY_TOKEN": "hush",
              "PROJECT": "shop-prod", "TILLS": "recon-tills"}  # fmt: skip
    for name, value in places.items():
        monkeypatch.setenv(name, value)
    config = load(merchant.EXAMPLE)
    assert set(config.systems) == {"storefront", "erp"}
    assert config.outputs.bigquery.project == "shop-prod"


def test_doctor_tries_them_all_and_takes_nothing(systems, emulator):
    """Rows, as-of, latency and the clocks; a tap is not drained, a shop exports nothing."""
    findings = doctor.examine(systems.config)
    assert [finding for finding in findings if not finding.ok] == []
    told = {each.check.removeprefix("source "): each.message for each in findings if each.check.startswith("source ")}
    assert set(told) == {f"{system}/{name}" for system, names in DATASETS.items() for name in names}
    for name, message in told.items():
        what = "with what is new since the last capture" if name == "/".join(TAP) else r"about \d+ rows"
        clock = "" if name == "/".join(TAP) else ", its clock agrees with ours"
        assert re.fullmatch(rf"1 source in 1 split, {what}, as of \S+(, complete up to \S+)?, answered in \S+ s{clock}",
                            message)  # fmt: skip
    assert systems.shop.operations == {}


def test_a_capture_that_fails_before_the_taps_manifest_leaves_nothing(systems, failed, warehouse):
    assert failed.endswith("no space left on device")
    assert taken(systems) == []
    assert merchant.DATASET not in {each.dataset_id for each in warehouse.client.list_datasets()}


def test_each_key_is_what_it_is(systems, first):
    """The run before took the messages of the tap, and lost none of them."""
    assert levels(systems, first) == merchant.VERDICTS
    (snapshot,) = taken(systems)
    assert snapshot.manifest.rows == 2
    assert {(each["system"], each["dataset"]) for each in first["snapshots"]} == {
        (system, name) for system, names in DATASETS.items() for name in names
    }
    assert all(not result["messages"] for result in first["validation"])


def test_what_is_captured_is_acknowledged(systems, second, emulator):
    """The second run had the one new sale to take; then there is nothing left."""
    assert [snapshot.manifest.rows for snapshot in taken(systems)] == [2, 1]
    assert emulator.backlog(systems.tap) == []


def test_the_second_run_says_the_same(systems, first, second):
    assert levels(systems, second) == merchant.VERDICTS
    pair = second["pairs"]["storefront~erp"]
    assert pair["in_flight"] == {"documents": 5, "units": "12.0000"}, "orders 1002 to 1004, receipts 77 and 78"
    assert first["pairs"]["storefront~erp"]["corrections"] == pair["corrections"] == 1


def test_bigquery_has_both_runs_once(systems, first, second, warehouse):
    runs = [first["run_id"], second["run_id"]]
    assert warehouse.run("select run_id, job, `keys` from merchant.runs order by 1") == [
        (r, "nightly", 7) for r in runs
    ]
    rows = warehouse.run("select run_id, sku, location, class, reason, unexplained from merchant.levels")
    assert sorted(rows, key=repr) == sorted(
        ((run, *key, *verdict) for run in runs for key, verdict in merchant.VERDICTS.items()), key=repr
    )
    seen = warehouse.run("select sku, runs_seen from merchant.current_breaks order by 1")
    assert seen == [("DRIFT", 2), ("LATE", 2), ("LOST", 2)]
    send(systems.config, runs[0])
    assert sorted(warehouse.run("select run_id, sku, location, class, reason, unexplained from merchant.levels"),
                  key=repr) == sorted(rows, key=repr)  # fmt: skip


def test_no_secret_is_written_anywhere(systems, second, postgresql):
    secrets = [shopify.TOKEN.encode(), postgresql.url.encode()]
    for path in systems.config.parent.rglob("*"):
        if path.is_file() and path != systems.config:
            assert not any(secret in path.read_bytes() for secret in secrets), path


DATASETS = {"storefront": ("stock", "events", "events-2"), "erp": ("stock", "events", "events-2")}
