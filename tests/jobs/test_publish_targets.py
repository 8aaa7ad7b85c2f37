"""Whole nights against targets of their own kind: a run, a publish with its faults, and what the next run sees."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.parse
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
import shopify
import web
import yaml
from consumers import SECRET, consumer
from databases import PASSWORD
from nights import until
from published_runs import OPEN, fates, publication, silent

from jobs import lifecycle, publish_commands
from jobs.config import load
from pipelines.connectors import http_session
from pipelines.reconcile import read_output


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr("pipelines.publish.PAUSES", (0.05, 0.1))
    monkeypatch.setattr(http_session, "PAUSES", {"wait_initial": 0.01, "wait_max": 0.05, "wait_jitter": 0.01})


def night(place: Path, shop: dict, numbers: dict[str, int]) -> Path:
    """A `recon.yaml` of a shop, and of an ERP that has these numbers since an hour ago."""
    erp = place / "erp.csv"
    erp.write_text("sku,location,quantity\n" + "".join(f"{sku},BER,{n}\n" for sku, n in numbers.items()))
    before = (datetime.now(UTC) - timedelta(hours=1)).timestamp()
    os.utime(erp, (before, before))
    stock = {"connector": "files", "path": "erp.csv", "as_of": {"from": "mtime"}, "profile": "erp.on_hand"}
    text = {
        "systems": {"shop": shop, "erp": {"stock": stock}},
        "pairs": {"shop~erp": {"locations": {"Berlin": ["BER"]}}},
        "jobs": {"nightly": {"pairs": ["shop~erp"], "publish": {"gates": OPEN}}},
    }
    path = place / "recon.yaml"
    path.write_text(yaml.safe_dump(text))
    return path


def run(config: Path) -> dict[str, str]:
    """What a night says of every SKU."""
    summary = lifecycle.run_job(load(config), "nightly")
    directory = publication(config, summary["run_id"]).directory
    return {row["sku"]: row["class"] for row in read_output(directory, "levels").to_pylist()}


def published(config: Path):
    return publish_commands.publish(config, "latest", True, "ann", silent).outcome


def holding(config: Path, *secrets: str) -> list[str]:
    """The files of the workspace that a secret got into, as it stands or as JSON, URLs or Parquet write it."""
    written = {form for secret in secrets for form in (secret, json.dumps(secret)[1:-1], quote(secret, safe=""))}
    files = [path for path in (config.parent / ".recon").rglob("*") if path.is_file()]
    assert len(files) > 20
    return [path.name for path in files if any(form.encode() in path.read_bytes() for form in written)]


def publishing(config: Path) -> subprocess.Popen:
    """`recon publish latest --apply` in a process of its own."""
    command = [sys.executable, "-m", "cli.main", "publish", "latest", "--apply", "--by", "ann", "-c", str(config)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


# Shopify -------------------------------------------------------------------------------------------


@pytest.fixture
def shop():
    """A shop whose exports are of a minute ago."""
    with shopify.shop(clock=lambda: datetime.now(UTC) - timedelta(minutes=1)) as found:
        found.berlin = found.location("Berlin")
        yield found


def at_shopify(shop, place: Path, numbers: dict[str, int]) -> Path:
    """A shop that shows 10 of each; a bundle is not to be adjusted."""
    for sku in numbers:
        shop.item(sku, Berlin=10, mutable=sku != "BUNDLE")
    access = {"connector": "shopify", "shop": shop.server.url, "token": shopify.TOKEN, "timeout": "PT1S"}
    stock = {**access, "profile": "shopify.available", "columns": {"quantity": "available"}}
    return night(place, {"stock": stock, "events": access, "sink": access}, numbers)


def sell(shop, sku: str) -> None:
    """A customer orders one unit, now."""
    (level,) = next(item for item in shop.items if item.sku == sku).inventoryLevels
    level.numbers["available"] -= 1
    level.numbers["committed"] += 1
    shop.order("#1001", [(sku, 1)], datetime.now(UTC), shop.berlin)


def run_later(shop, config: Path) -> dict[str, str]:
    """The next night; Shopify tells instants in whole seconds, so it must be another second."""
    shop.clock = lambda: datetime.now(UTC) + timedelta(seconds=1)
    return run(config)


def once(shop, action) -> None:
    """Let the shop do something before it looks at its next change, and not before those after."""

    def first():
        shop.before_mutation = lambda: None
        action()

    shop.before_mutation = first


def test_a_shop_sells_refuses_a_line_and_is_throttled_in_one_batch_of_250(shop, tmp_path):
    numbers = {f"S{n}": 7 for n in range(249)} | {"BUNDLE": 7, "FINE": 10}
    config = at_shopify(shop, tmp_path, numbers)
    found = run(config)
    assert {sku for sku, verdict in found.items() if verdict == "BREAK"} == numbers.keys() - {"FINE"}

    def meanwhile():
        sell(shop, "S1")
        # another app has spent the points: a change takes ten
        shop.available, shop.restore_rate = 0.0, 20.0

    once(shop, meanwhile)
    outcome = published(config)
    assert outcome.counts == {"APPLIED": 249, "REJECTED": 1}
    assert shop.throttled > 0
    shown = {sku: shop.number(sku, "Berlin") for sku in numbers}
    assert shown == dict.fromkeys(numbers, 7) | {"S1": 6, "BUNDLE": 10, "FINE": 10}
    fate = {row["target_sku"]: row for row in fates(publication(config, outcome.run_id)).to_pylist()}
    assert fate["BUNDLE"]["message"] == "The specified inventory item is not allowed to be adjusted via API."
    # not the stale number again: another one, computed from what sold, under a key of its own
    assert [fate["S1"][name] for name in ("attempt", "change_from", "value")] == [2, 9, 6]

    found = run_later(shop, config)
    assert {sku: verdict for sku, verdict in found.items() if verdict != "MATCHED"} == {
        "S1": "IN_FLIGHT",
        "BUNDLE": "BREAK",
    }
    assert fates(publication(config, outcome.run_id))["status"].to_pylist().count("VERIFIED") == 249


def test_a_shop_that_applies_and_does_not_answer_in_time_is_sent_the_same_again(shop, tmp_path):
    numbers = {f"S{n}": 7 for n in range(3)}
    config = at_shopify(shop, tmp_path, numbers)
    run(config)
    shop.lost = [web.Answer(hang=True)]
    assert published(config).counts == {"APPLIED": 3}
    asked = [variables for query, variables in shop.queries if "inventorySetQuantities" in query]
    assert len(asked) == 2
    assert asked[0] == asked[1]
    assert len(shop.applied) == 1
    assert [shop.number(sku, "Berlin") for sku in numbers] == [7, 7, 7]


def test_a_publish_to_a_shop_that_is_killed_goes_on(shop, tmp_path):
    """Killed while the second batch of two is applied: its answer goes nowhere."""
    numbers = {f"S{n}": 7 for n in range(300)}
    config = at_shopify(shop, tmp_path, numbers)
    run(config)
    once(shop, lambda: once(shop, lambda: process.send_signal(signal.SIGKILL)))
    process = publishing(config)
    assert process.wait(300) == -signal.SIGKILL
    receipts = Path(publication(config, "latest").place) / "receipts"
    assert len(list(receipts.iterdir())) == 1
    resumed = publishing(config)
    out, err = resumed.communicate(timeout=300)
    assert (resumed.returncode, out.splitlines()[-1]) == (0, "300 applied"), err
    assert {shop.number(sku, "Berlin") for sku in numbers} == {7}
    assert [len(given["quantities"]) for _, _, given in shop.applied] == [250, 50]
    assert holding(config, shopify.TOKEN) == []
    assert shopify.TOKEN not in out + err
    assert set(run_later(shop, config).values()) == {"MATCHED"}


# An HTTP webhook ----------------------------------------------------------------------------------


def test_a_webhook_is_busy_sells_is_killed_from_and_falls_silent(tmp_path):
    """Each request has a fault of its own; the shop's stock and orders are its database."""
    numbers = {f"S{n}": 7 for n in range(12)}
    with consumer(tmp_path, "faulty_consumer") as shop:
        database = {"connector": "sql", "url": f"sqlite:///{shop.database}"}
        stock = {**database, "table": "stock", "profile": "storefront.available"}
        sink = {"connector": "http", "url": shop.url, "secret": SECRET, "batch_size": 4, "timeout": "PT20S"}
        config = night(tmp_path, {"stock": stock, "events": {**database, "table": "orders"}, "sink": sink}, numbers)
        shop.stock({(sku, "Berlin"): 10 for sku in numbers})
        run(config)

        # the first batch is turned away, then one unit sells; the second is applied, and the publisher killed
        shop.faults("busy", "sell:S1", "hang")
        process = publishing(config)
        until(lambda: len(shop.applied()) == 7)
        process.kill()
        assert process.wait(300) == -signal.SIGKILL
        # the second again, then the third, whose answer is lost
        shop.faults("", "silent")
        outcome = published(config)
        assert outcome.counts == {"APPLIED": 12}
        assert shop.shown() == {(sku, "Berlin"): 6 if sku == "S1" else 7 for sku in numbers}
        assert len({key for key, _ in shop.applied()}) == len(shop.applied()) == 12
        found = run(config)
    assert {sku: verdict for sku, verdict in found.items() if verdict != "MATCHED"} == {"S1": "IN_FLIGHT"}
    assert set(fates(publication(config, outcome.run_id))["status"].to_pylist()) == {"VERIFIED"}
    assert holding(config, SECRET) == []


# PostgreSQL ---------------------------------------------------------------------------------------


def test_a_table_that_sells_refuses_a_line_and_is_gone_for_a_while(tmp_path, postgresql):
    numbers = {f"S{n}": 7 for n in range(5)}
    postgresql.run(
        "drop table if exists shop, orders, recon_applied;"
        "create table shop (sku text, location text, quantity numeric check (sku <> 'S2' or quantity > 7));"
        "create table orders (ref text, kind text, sku text, location text, quantity int, posted_at timestamptz);"
        "insert into shop select 'S' || n, 'Berlin', 10 from generate_series(0, 4) n"
    )
    database = {"connector": "sql", "url": postgresql.url}
    owner = {
        "stock": {**database, "table": "shop", "profile": "storefront.available"},
        "events": {**database, "table": "orders"},
        "sink": {**database, "table": "shop"},
    }
    config = night(tmp_path, owner, numbers)
    run(config)
    postgresql.run(
        "update shop set quantity = 9 where sku = 'S1';"
        "insert into orders values ('#1', 'PLACE', 'S1', 'Berlin', 1, now())"
    )
    postgresql.down()
    away = published(config)
    assert away.exit_code == 4
    assert PASSWORD not in str(away)
    assert quote(PASSWORD, safe="") not in str(away)
    postgresql.up()
    outcome = published(config)
    assert outcome.counts == {"APPLIED": 4, "REJECTED": 1}
    assert published(config).counts == outcome.counts
    shown = postgresql.run("select string_agg(quantity::int::text, ' ' order by sku) from shop")
    assert shown.strip() == "7 6 10 7 7"
    assert postgresql.run("select count(*) from recon_applied").strip() == "4"
    assert holding(config, PASSWORD) == []
    found = run(config)
    assert {sku: verdict for sku, verdict in found.items() if verdict != "MATCHED"} == {
        "S1": "IN_FLIGHT",
        "S2": "BREAK",
    }


# BigQuery -----------------------------------------------------------------------------------------


@pytest.fixture
def between(warehouse):
    """A server between client and emulator that can lose the answer to a merge that was done."""
    lost = []

    def answer(asked):
        query = f"?{urllib.parse.urlencode(asked.params)}" if asked.params else ""
        told = httpx.request(
            asked.method,
            f"{warehouse.endpoint['api_endpoint']}{asked.path}{query}",
            content=asked.body,
            headers={"content-type": asked.headers.get("content-type", "application/json")},
            timeout=30,
        )
        if lost and b"merge" in asked.body:
            return lost.pop()
        return web.Answer(told.content, told.status_code, {"Content-Type": "application/json"})

    with web.serving() as server:
        server.answer, server.lost = answer, lost
        yield server


def test_corrections_into_a_table_of_bigquery(tmp_path, warehouse, between):
    """The table of corrections has each once, also where the answer was lost; who loads it compares."""
    numbers = {f"S{n}": 7 for n in range(4)}
    warehouse.run(
        "create or replace table shop.shown (sku string, location string, quantity int64)",
        "insert into shop.shown select sku, 'Berlin', 10 from unnest(['S0', 'S1', 'S2', 'S3']) sku",
        "drop table if exists shop.corrections",
    )
    place = {"connector": "bigquery", **warehouse.endpoint}
    owner = {
        "stock": {**place, "table": "shop.shown", "profile": "storefront.available"},
        "sink": {**place, "api_endpoint": between.url, "table": "shop.corrections"},
    }
    config = night(tmp_path, owner, numbers)
    run(config)
    between.lost.append(web.Answer(b"{", cut=0))
    outcome = published(config)
    assert outcome.counts == {"SENT": 4}
    assert between.lost == []
    assert warehouse.run("select count(*), count(distinct idempotency_key) from shop.corrections") == [(4, 4)]
    assert published(config).counts == {"SENT": 4}
    # one unit has sold: what was computed from 10 may not overwrite 9
    warehouse.run(
        "update shop.shown set quantity = 9 where sku = 'S1'",
        "update shop.shown s set quantity = cast(c.value as int64) from shop.corrections c"
        " where c.sku = s.sku and c.location = s.location and c.change_from = s.quantity",
    )
    found = run(config)
    assert {sku: verdict for sku, verdict in found.items() if verdict != "MATCHED"} == {"S1": "BREAK"}
    fate = fates(publication(config, outcome.run_id))
    assert sorted(zip(fate["sku"].to_pylist(), fate["status"].to_pylist(), strict=True)) == [
        ("S0", "VERIFIED"), ("S1", "SENT"), ("S2", "VERIFIED"), ("S3", "VERIFIED"),
    ]  # fmt: skip
