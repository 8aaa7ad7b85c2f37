"""A tap in a whole run: events come once, and a run sees those of the runs before."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from pubsub import PROJECT

from jobs import commands, plan
from jobs.config import load
from pipelines import snapshots
from pipelines.reconcile import read_output

CONFIG = """\
systems:
  shop:
    stock:
      connector: files
      path: shop.csv
      as_of: {{from: value, value: "{as_of}"}}
      profile: storefront.available
    events:
      connector: pubsub
      project: {project}
      subscription: {tap}
      endpoint: {endpoint}
      quiet: PT1S
      look_back: P2D
      columns: {{event_id: id, kind: kind}}
  erp:
    stock:
      connector: files
      path: erp.csv
      as_of: {{from: value, value: "{as_of}"}}
      profile: erp.on_hand
pairs:
  shop~erp:
    sla: {{PLACE: P9D}}
jobs:
  nightly: {{pairs: [shop~erp]}}
"""


@pytest.fixture
def shop(tmp_path, emulator):
    """Two stock files that differ by the orders which the tap tells of."""
    topic = emulator.topic()
    tap = emulator.subscription(topic)
    values = {"project": PROJECT, "tap": tap, "endpoint": emulator.endpoint, "as_of": datetime.now(UTC).isoformat()}
    (tmp_path / "recon.yaml").write_text(CONFIG.format(**values))
    (tmp_path / "shop.csv").write_text("sku,location,quantity\nA,web,7\nB,web,5\n")
    (tmp_path / "erp.csv").write_text("sku,location,quantity\nA,web,10\nB,web,10\n")
    return tmp_path, topic


def order(event_id, sku, quantity):
    return json.dumps(
        {"id": event_id, "kind": "PLACE", "ref": event_id, "sku": sku, "location": "web", "quantity": quantity,
         "posted_at": "2026-11-23T02:00:00Z"}
    ).encode()  # fmt: skip


def silent(message, share=None):
    pass


def levels(outcome):
    directory = outcome.report_path.rsplit("/", 1)[0]
    return {row["sku"]: (row["class"], row["unexplained"]) for row in read_output(directory, "levels").to_pylist()}


def test_a_run_sees_the_events_of_the_runs_before(shop, emulator):
    base, topic = shop
    emulator.publish(topic, order("1", "A", 3), order("2", "B", 2))
    first = commands.run_job(base / "recon.yaml", "nightly", silent)
    assert levels(first) == {"A": ("IN_FLIGHT", Decimal(0)), "B": ("BREAK", Decimal(-3))}

    emulator.publish(topic, order("3", "B", 3), order("1", "A", 3))
    second = commands.run_job(base / "recon.yaml", "nightly", silent)
    assert levels(second) == {"A": ("IN_FLIGHT", Decimal(0)), "B": ("IN_FLIGHT", Decimal(0))}
    assert len(second.summary["pairs"]["shop~erp"]["feeds"]) == 2

    again = commands.diff(
        base / "recon.yaml", [], [f"shop/events={first.summary['snapshots'][1]['snapshot_id']}"], silent
    )
    assert levels(again) == levels(first), "a chosen snapshot goes with those before it, not with later ones"


def test_a_feed_reaches_as_far_as_its_look_back(shop, emulator):
    base, _ = shop
    commands.take_snapshots(base / "recon.yaml", ["shop"], silent)
    commands.take_snapshots(base / "recon.yaml", ["shop"], silent)
    config = load(base / "recon.yaml")
    older, newest = snapshots.list_snapshots(str(config.workspace), "shop", "events")
    apart = newest.manifest.watermark - older.manifest.watermark
    assert plan.feed(newest, apart) == (older, newest)
    assert plan.feed(newest, apart / 2) == (newest,)
    assert plan.feed(older, apart) == (older,)
    stock = snapshots.newest(str(config.workspace), "shop", "stock")
    assert plan.feed(stock, apart) == (stock,), "any other snapshot stands for itself"
