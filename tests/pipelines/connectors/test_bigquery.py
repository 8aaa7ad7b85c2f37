"""The connector `bigquery` against an emulator: exact values, one instant, an end to every wait."""

from __future__ import annotations

import json
import signal
import socket
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import bigquery
import captures
import pyarrow as pa
import pytest
import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pipelines import snapshots
from pipelines.capture import CaptureRequest
from pipelines.connectors import Context, Held, open_sink
from pipelines.connectors import bigquery as connector
from reconcilers.corrections import Correction, Mode, Status
from reconcilers.errors import ConfigError, ReconError, Unreachable
from reconcilers.mapping import Mapping

source, taken = captures.source, captures.taken


@pytest.fixture
def shop(warehouse):
    """A table of stock and one of events, both empty."""
    warehouse.run(
        "create or replace table shop.stock (sku string, location string, quantity numeric, seen timestamp)",
        "create or replace table shop.events"
        " (kind string, ref string, sku string, location string, quantity int64, posted_at timestamp)",
    )
    return warehouse


def asked(warehouse, dataset="stock", mapping=None, **options):
    if "query" not in options:
        options = {"table": f"shop.{dataset}", **options}
    return CaptureRequest(
        system="erp", dataset=dataset, connector="bigquery",
        options={**warehouse.endpoint, "scratch": "shop", **options}, context=Context("/", "Europe/Berlin", dataset),
        mapping=mapping or Mapping(dataset, timezone="Europe/Berlin"),
    )  # fmt: skip


def take(tmp_path, *args, **options):
    (snapshot,) = taken(tmp_path, asked(*args, **options))
    return snapshot


def test_a_table_becomes_a_snapshot(shop, tmp_path):
    shop.run("insert shop.stock values ('Ä-1','w',12345678901.125,null), ('0012','w',-0.5,null), (null,'w',1,null)")
    before = datetime.now(UTC)
    snapshot = take(tmp_path, shop)
    manifest = snapshot.manifest
    assert sorted(captures.rows(snapshot, "sku", "quantity")) == [
        ("0012", Decimal("-0.5")), ("Ä-1", Decimal("12345678901.125")),
    ]  # fmt: skip
    assert [reason for _, reason in captures.rejects(snapshot)] == ["SKU_EMPTY"]
    assert before - timedelta(seconds=1) <= manifest.as_of <= datetime.now(UTC)
    assert (manifest.as_of_kind, manifest.as_of_hi) == ("transaction", None)
    assert manifest.sources == ("bigquery://recon-test: shop.stock",)


def test_an_empty_table_is_an_empty_snapshot_with_checked_columns(shop, tmp_path):
    assert take(tmp_path, shop).manifest.rows_read == 0
    with pytest.raises(ConfigError, match="erp/stock: no column 'qty' in the source"):
        take(tmp_path, shop, mapping=Mapping("stock", columns={"quantity": "qty"}))


def test_streams_hold_every_row_once(shop, tmp_path):
    numbers = "from unnest(generate_array(1, 300)) a, unnest(generate_array(1, 400)) b"
    shop.run(f"insert shop.stock select concat('S', a, '-', b), 'w', a, null {numbers}")
    request = asked(shop)
    with Held() as held:
        plan = source(request, held).plan(datetime.now(UTC))
    assert len(plan.splits) > 1
    snapshot = take(tmp_path, shop)
    assert (snapshot.manifest.rows, Decimal(snapshot.manifest.sum_quantity)) == (120_000, 400 * 300 * 301 // 2)
    assert len({row["sku"] for row in snapshot.read_bucket(0, 1).to_pylist()}) == 120_000
    few = take(tmp_path, shop, filter="quantity = 7", fields=["sku", "location", "quantity"])
    assert few.manifest.rows == 400


def test_types(shop):
    shop.run(
        "create or replace table shop.types as select numeric '0.000000001' as small, bignumeric '1.5' as wide,"
        " 0.5 as f, true as yes, datetime '2026-11-23 02:00:00' as local, date '2026-11-23' as day,"
        " timestamp '2026-11-23 01:00:00Z' as at_utc, time '02:00:00' as clock, b'x' as bytes, ['a'] as list,"
        " struct(struct('A-1' as sku) as variant) as line, 'ab' as word, cast(null as string) as nothing"
    )
    found = source(asked(shop, table="shop.types"))
    (split,) = found.plan(datetime.now(UTC)).splits
    (row,) = [row for batch in found.read(split) for row in batch.rows.to_pylist()]
    del row["source_file"]
    assert row == {
        "small": Decimal("0.000000001"), "wide": row["wide"], "f": row["f"], "yes": True,
        "local": datetime(2026, 11, 23, 2), "day": datetime(2026, 11, 23).date(),
        "at_utc": datetime(2026, 11, 23, 1, tzinfo=UTC), "clock": "02:00:00.000000", "line.variant.sku": "A-1",
        "word": "ab", "nothing": None, "source_line": 1,
    }  # fmt: skip
    assert (Decimal(row["wide"]), Decimal(str(row["f"]))) == (Decimal("1.5"), Decimal("0.5"))


def test_numbers_wider_than_arrow_counts_with_are_text():
    wide = pa.table({"n": pa.array([Decimal("1.5")], pa.decimal256(76, 38))})
    assert Decimal(connector._plain(wide)["n"][0].as_py()) == Decimal("1.5")


def test_datasets_of_one_capture_are_of_one_instant(shop, tmp_path):
    """What is written after the first was planned is in neither."""
    shop.run(
        "insert shop.stock values ('A','w',10,null)",
        "insert shop.events values ('SHIP','0','B','w',1,current_timestamp())",
    )
    travel = "select * from shop.{} for system_time as of @as_of"
    requests = [asked(shop, each, query=travel.format(each)) for each in ("stock", "events")]
    now = datetime.now(UTC)
    with Held() as held:
        stock = source(requests[0], held).plan(now)
        shop.run(
            "update shop.stock set quantity = 9 where true",
            "insert shop.events values ('SHIP','1','A','w',1,current_timestamp())",
        )
        events = source(requests[1], held).plan(now)
    assert stock.as_of == events.as_of == events.watermark == stock.clock
    rows = [
        row
        for request, plan in zip(requests, (stock, events), strict=True)
        for split in plan.splits
        for batch in source(request).read(split)
        for row in batch.rows.to_pylist()
    ]
    assert [(row["sku"], row["quantity"]) for row in rows] == [("A", 10), ("B", 1)]
    later_stock, later_events = taken(tmp_path, *requests)
    assert captures.rows(later_stock, "quantity") == [(9,)]
    assert sorted(captures.rows(later_events, "ref")) == [("0",), ("1",)]


def test_as_of_and_watermark(shop, tmp_path):
    shop.run(
        "insert shop.stock values ('A','w',1,'2026-11-23 01:00:00Z'), ('B','w',1,'2026-11-23 02:00:00Z')",
    )
    by_row = take(tmp_path, shop, as_of={"from": "column", "column": "seen"}).manifest
    assert (by_row.as_of, by_row.as_of_hi) == (
        datetime(2026, 11, 23, 1, tzinfo=UTC), datetime(2026, 11, 23, 2, tzinfo=UTC),
    )  # fmt: skip
    loaded = {"from": "query", "query": "select max(seen) from shop.stock"}
    assert take(tmp_path, shop, as_of=loaded).manifest.as_of == datetime(2026, 11, 23, 2, tzinfo=UTC)
    feed = take(tmp_path, shop, "events", watermark={"lag": "PT15M"}).manifest
    assert feed.watermark == feed.as_of - timedelta(minutes=15)
    feed = take(tmp_path, shop, "events", watermark={"query": "select datetime '2026-11-23 02:00:00'"}).manifest
    assert feed.watermark == datetime(2026, 11, 23, 1, tzinfo=UTC)
    with pytest.raises(Unreachable, match="gives no instant"):
        take(tmp_path, shop, "events", watermark={"query": "select max(posted_at) from shop.events"})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"table": "shop.nowhere"}, "shop.nowhere"),
        ({"query": "select nothing from shop.stock"}, "nothing"),
        ({"query": "select from where"}, "query: "),
        ({"table": "shop.stock_view"}, "is a view; read it with query"),
        ({"filter": "nothing = 1"}, "nothing"),
    ],
)
def test_what_is_wrong_is_one_line(shop, tmp_path, options, words):
    shop.run("create or replace view shop.stock_view as select * from shop.stock")
    with pytest.raises(ReconError, match=words) as told:
        take(tmp_path, shop, **options)
    assert str(told.value).startswith("erp/stock: bigquery://recon-test: ")
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 400
    assert snapshots.list_snapshots(str(tmp_path / "ws")) == []


def test_a_view_is_read_by_a_query(shop, tmp_path):
    shop.run(
        "create or replace view shop.stock_view as select * from shop.stock",
        "insert shop.stock values ('A','w',1,null)",
    )
    assert take(tmp_path, shop, query="select * from shop.stock_view").manifest.rows == 1


def test_an_endpoint_that_is_dead_or_deaf_ends_soon(tmp_path):
    """Never the ten minutes of the clients' own retries."""
    with socket.create_server(("127.0.0.1", 0)) as deaf, socket.create_server(("127.0.0.1", 0)) as probe:
        ports = [deaf.getsockname()[1], probe.getsockname()[1]]
        probe.close()
        for port, words in zip(
            ports, ("no answer in time|timed out", "no answer in time: Connection refused"), strict=True
        ):
            place = {"project": "recon-test", "api_endpoint": f"http://127.0.0.1:{port}", "timeout": "PT2S"}
            began = time.monotonic()
            with pytest.raises(Unreachable, match=f"erp/stock: bigquery://recon-test: shop.stock: .*({words})"):
                taken(tmp_path, CaptureRequest("erp", "stock", "bigquery", {**place, "table": "shop.stock"},
                                               Context("/", "UTC", "stock"), Mapping("stock")))  # fmt: skip
            assert time.monotonic() - began < 15


def test_credentials_that_have_expired(tmp_path, monkeypatch):
    """A key of a service account that Google's token server, here one of ours, knows no more."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    with web.serving() as server:
        server.answer = lambda asked: web.Answer({"error": "invalid_grant", "error_description": "expired"}, 400)
        account = {"type": "service_account", "client_email": "recon@shop.example", "private_key": key.decode(),
                   "token_uri": f"{server.url}/token", "project_id": "shop"}  # fmt: skip
        (tmp_path / "key.json").write_text(json.dumps(account))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
        request = CaptureRequest("erp", "stock", "bigquery", {"project": "shop-prod", "table": "shop.stock"},
                                 Context("/", "UTC", "stock"), Mapping("stock"))  # fmt: skip
        with pytest.raises(Unreachable, match=r"erp/stock: bigquery://shop-prod: shop\.stock: .*expired") as told:
            taken(tmp_path, request)
    assert "\n" not in str(told.value)
    assert "PRIVATE" not in str(told.value)
    assert [asked.path for asked in server.asked] == ["/token"] * len(server.asked)


def test_a_service_that_ends_or_falls_silent_while_streams_are_read(require, tmp_path, monkeypatch):
    monkeypatch.setattr(connector, "_SILENCE_SECONDS", 2)
    with bigquery.emulator() as emulator:
        emulator.client.create_dataset("shop", timeout=30)
        numbers = "from unnest(generate_array(1, 500)) a, unnest(generate_array(1, 2000)) b"
        emulator.run(
            f"create table shop.stock as select concat('S', a, '-', b) as sku, 'w' as location, a as quantity {numbers}"
        )
        found = source(asked(emulator, streams=1))
        (split,) = found.plan(datetime.now(UTC)).splits
        batches = found.read(split)
        assert [len(next(batches).rows) > 0 for _ in range(2)] == [False, True]
        emulator.process.send_signal(signal.SIGSTOP)
        with pytest.raises(Unreachable, match="no answer for 2 s"):
            list(batches)
        emulator.process.send_signal(signal.SIGCONT)
        batches = found.read(split)
        assert [len(next(batches).rows) > 0 for _ in range(2)] == [False, True]
        emulator.process.kill()
        with pytest.raises(Unreachable, match="bigquery://recon-test"):
            list(batches)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"table": "a.b", "query": "select 1"},
        {"table": "a`b.c"},
        {"table": "stock"},
        {"table": "a.b", "project": "Shop; drop"},
        {"query": "select 1", "fields": ["a"]},
        {"table": "a.b", "as_of": {"from": "column", "query": "select 1"}},
        {"table": "a.b", "streams": 0},
        {"table": "a.b", "unknown": 1},
    ],
)
def test_options_check_themselves(options):
    with pytest.raises(ValueError, match="validation error"):
        connector.Options(**{"project": "shop", **options})


def correction(number, **changed):
    fields = {
        "correction_id": f"c{number}", "run_id": "r", "pair": "shop~erp", "target": "shop", "sku": "it's; \"A\"",
        "location": "w", "basis": "available", "mode": Mode.SET, "value": Decimal("12345678901.125"),
        "change_from": None, "delta": Decimal("-1.5"), "reason": "UNEXPLAINED", "reference": "run r",
        "idempotency_key": f"key-{number}", "created_at": datetime(2026, 11, 23, tzinfo=UTC),
    }  # fmt: skip
    return Correction(**{**fields, **changed})


def test_corrections_are_there_once(warehouse):
    options = {**warehouse.endpoint, "table": "shop.corrections_out"}
    sink = open_sink("bigquery", options, Context("/", "UTC", "stock"))
    first = [correction(1), correction(2, mode=Mode.DELTA), correction(1)]
    assert [receipt.status for receipt in sink.send(first)] == [Status.SENT] * 3
    assert [receipt.idempotency_key for receipt in sink.send([correction(2), correction(3)])] == ["key-2", "key-3"]
    sink.close()
    assert warehouse.run(
        "select idempotency_key, sku, mode, value, change_from, delta, created_at, sent_at is null"
        " from shop.corrections_out order by 1"
    ) == [
        (f"key-{n}", "it's; \"A\"", mode, Decimal("12345678901.125"), None, Decimal("-1.5"),
         datetime(2026, 11, 23, tzinfo=UTC), False)
        for n, mode in ((1, "set"), (2, "delta"), (3, "set"))
    ]  # fmt: skip
    assert sink.observe([("A", "w")]) is None
