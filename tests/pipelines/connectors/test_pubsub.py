"""The tap and the sink against the Pub/Sub emulator: what is lost, what comes twice, what stays."""

from __future__ import annotations

import io
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import fastavro
import pyarrow.parquet as pq
import pytest
from pubsub import PROJECT, pubsub

from pipelines import snapshots
from pipelines.capture import CaptureRequest, capture
from pipelines.connectors import Context, open_source
from pipelines.connectors.pubsub_leases import Leases
from reconcilers.errors import ConfigError, Unreachable
from reconcilers.mapping import LineStep, Mapping
from reconcilers.schemas import Kind

COLUMNS = {"kind": "type", "ref": "order", "sku": "sku", "location": "site", "quantity": "qty", "posted_at": "at"}
AT = "2026-11-23T02:00:00Z"


def body(order, **other):
    """A message as a shop publishes it."""
    event = {
        "id": f"e-{order}",
        "type": "PLACE",
        "order": str(order),
        "sku": f"S{order}",
        "site": "web",
        "qty": 1,
        "at": AT,
    }
    return json.dumps({**event, **other}).encode()


def request(base, emulator, subscription, columns=None, **options):
    """A capture of a subscription."""
    return CaptureRequest(
        system="shop",
        dataset="events",
        connector="pubsub",
        options={
            "project": PROJECT,
            "subscription": subscription,
            "endpoint": emulator.endpoint,
            "quiet": "PT1S",
            **options,
        },
        context=Context(str(base), "UTC", "events"),
        mapping=Mapping("events", {**COLUMNS, "event_id": "id"} if columns is None else columns),
    )


def take(base, *args, **options):
    """One snapshot of a subscription into the workspace `ws` below `base`."""
    (snapshot,) = capture([request(base, *args, **options)], str(base / "ws"), datetime.now(UTC))
    return snapshot


def refs(*taken):
    """The references of all rows, sorted."""
    return sorted(row["ref"] for snapshot in taken for table in snapshot.read() for row in table.to_pylist())


def rejects(snapshot):
    """(line, reason, raw) of each reject."""
    found = [row for path in Path(snapshot.path).glob("rejects/*") for row in pq.read_table(path).to_pylist()]
    return sorted((row["source_line"], row["reason"], json.loads(row["raw"])) for row in found)


def test_a_tap_takes_the_backlog_and_acknowledges_it(tmp_path, emulator):
    topic = emulator.topic()
    tap = emulator.subscription(topic)
    emulator.publish(topic, *[body(n) for n in range(2500)])
    before = datetime.now(UTC)
    taken = take(tmp_path, emulator, tap)
    manifest = taken.manifest
    assert refs(taken) == sorted(str(n) for n in range(2500))
    assert (manifest.rows_read, manifest.rows, manifest.rejected, manifest.incremental) == (2500, 2500, 0, True)
    assert before <= manifest.watermark == manifest.as_of <= datetime.now(UTC)
    assert emulator.backlog(tap) == []


def test_an_empty_backlog_is_complete_up_to_the_start(tmp_path, emulator):
    taken = take(tmp_path, emulator, emulator.subscription(emulator.topic()), lag="PT2M")
    assert taken.manifest.rows == 0
    assert taken.manifest.watermark == taken.manifest.as_of - timedelta(minutes=2)


def test_what_comes_after_the_start_stays_for_the_next_time(tmp_path, emulator):
    topic = emulator.topic()
    tap = emulator.subscription(topic)
    emulator.publish(topic, body(1))
    source = open_source(*_source(tmp_path, emulator, tap))
    plan = source.plan(datetime.now(UTC))
    seen = []
    for batch in source.read(plan.splits[0]):
        seen += batch.rows["order"].to_pylist()
        emulator.publish(topic, body(2))
    plan = source.settled(plan)
    source.captured()
    assert seen == ["1"]
    assert plan.watermark == plan.as_of
    assert [json.loads(each.data)["order"] for each in emulator.backlog(tap)] == ["2"]


def test_a_drain_that_is_cut_short_says_how_far_it_came(tmp_path, emulator, monkeypatch):
    monkeypatch.setattr("pipelines.connectors.pubsub_drain.MESSAGES", 10)
    topic = emulator.topic()
    tap = emulator.subscription(topic)
    emulator.publish(topic, *[body(n) for n in range(500)])
    source = open_source(*_source(tmp_path, emulator, tap, timeout="PT1S", quiet="PT5S"))
    plan = source.plan(datetime.now(UTC))
    kept = 0
    for batch in source.read(plan.splits[0]):
        kept += len(batch.rows)
        threading.Event().wait(0.3)  # a slow workspace, so that time runs out
    plan = source.settled(plan)
    source.captured()
    left = emulator.backlog(tap)
    assert 0 < kept < 500
    assert kept + len(left) == 500
    assert plan.watermark == min(each.publish_time for each in left)


def test_bodies_that_say_nothing_are_rejects_that_keep_them(tmp_path, emulator):
    topic = emulator.topic()
    tap = emulator.subscription(topic)
    bad = [b"no json", b"[1, 2]", b"\x00\x01", b"\xff\xfe{}", b'{"id": "cut']
    pretty = json.dumps(json.loads(body(2)), indent=2).encode()
    emulator.publish(topic, body(1), *bad, pretty, attributes={"origin": "shop"})
    taken = take(tmp_path, emulator, tap)
    assert refs(taken) == ["1", "2"]
    assert (taken.manifest.rows_read, taken.manifest.rejected) == (7, 5)
    found = rejects(taken)
    assert [reason for _, reason, _ in found] == ["not JSON", "not an object", "not JSON", "not JSON", "not JSON"]
    assert [raw.get("data", raw.get("data_base64")) for _, _, raw in found] == [
        "no json", "[1, 2]", "\x00\x01", "//57fQ==", '{"id": "cut',
    ]  # fmt: skip
    assert {raw["pubsub.attributes.origin"] for _, _, raw in found} == {"shop"}
    assert emulator.backlog(tap) == []


def test_columns_come_from_the_body_and_from_the_message(tmp_path, emulator):
    topic = emulator.topic()
    tap = emulator.subscription(topic)
    event = json.dumps({"line": {"sku": "S1"}, "order": "7", "qty": 0.1, "site": "web"}).encode()
    (message,) = emulator.publish(topic, event, attributes={"kind": "SHIP"})
    columns = {"kind": "pubsub.attributes.kind", "ref": "order", "sku": "line.sku", "location": "site",
               "quantity": "qty", "posted_at": "pubsub.publish_time"}  # fmt: skip
    (row,) = next(take(tmp_path, emulator, tap, columns).read()).to_pylist()
    assert (row["kind"], row["ref"], row["sku"], str(row["quantity"])) == ("SHIP", "7", "S1", "0.1000")
    assert row["event_id"] == message, "without an id of its own, an event has its message's"


AVRO = {
    "type": "record",
    "name": "Event",
    "fields": [
        {"name": "type", "type": "string"},
        {"name": "order", "type": "string"},
        {"name": "sku", "type": "string"},
        {"name": "site", "type": "string"},
        {"name": "qty", "type": {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 4}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    ],
}


def test_avro_messages_keep_every_digit(tmp_path, emulator):
    (tmp_path / "event.avsc").write_text(json.dumps(AVRO))
    event = {"type": "PLACE", "order": "7", "sku": "S1", "site": "web", "qty": Decimal("123456789012.3456"),
             "at": datetime(2026, 11, 23, 2, tzinfo=UTC)}  # fmt: skip
    binary, text = io.BytesIO(), io.StringIO()
    fastavro.schemaless_writer(binary, AVRO, event)
    fastavro.json_writer(text, AVRO, [{**event, "order": "8"}])
    topic = emulator.topic()
    tap = emulator.subscription(topic)
    emulator.publish(topic, binary.getvalue(), binary.getvalue() + b"more", b"\x02")
    emulator.publish(topic, text.getvalue().encode(), attributes={"googclient_schemaencoding": "JSON"})
    taken = take(tmp_path, emulator, tap, COLUMNS, avro="event.avsc")
    rows = sorted((row["ref"], row["quantity"], row["posted_at"]) for row in next(taken.read()).to_pylist())
    assert rows == [(ref, event["qty"], event["at"]) for ref in ("7", "8")]
    assert [reason for _, reason, _ in rejects(taken)] == ["not Avro of the schema"] * 2


def test_a_message_that_is_delivered_again_is_one_row(tmp_path, emulator, monkeypatch):
    monkeypatch.setattr(Leases, "_extend", lambda self: None)  # as if the extensions did not get through
    topic = emulator.topic()
    tap = emulator.subscription(topic, ack_deadline_seconds=1)
    emulator.publish(topic, *[body(n) for n in range(50)])
    taken = take(tmp_path, emulator, tap, quiet="PT3S")
    assert refs(taken) == sorted(str(n) for n in range(50))
    again = re.fullmatch(r".*: 50 messages, (\d+) more redelivered", taken.manifest.sources[0])
    assert int(again[1]) >= 50
    assert emulator.backlog(tap) == []


def test_a_slow_capture_keeps_its_messages(tmp_path, emulator):
    topic = emulator.topic()
    tap = emulator.subscription(topic, ack_deadline_seconds=1)
    emulator.publish(topic, *[body(n) for n in range(50)])
    source = open_source(*_source(tmp_path, emulator, tap))
    plan = source.plan(datetime.now(UTC))
    assert sum(len(batch.rows) for batch in source.read(plan.splits[0])) == 50
    threading.Event().wait(2.5)  # more than twice as long as an acknowledgement may take
    assert emulator.backlog(tap) == []
    source.captured()
    assert emulator.backlog(tap) == []


def test_what_a_failed_capture_took_comes_again_at_once(tmp_path, emulator):
    topic = emulator.topic()
    tap = emulator.subscription(topic)
    emulator.publish(topic, body(1), body(2))
    with pytest.raises(ConfigError, match=r"shop/events: no column 'nowhere' in the source"):
        take(tmp_path, emulator, tap, {**COLUMNS, "sku": "nowhere"})
    assert len(emulator.backlog(tap)) == 2


DYING = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
sys.path[:0] = [{tests!r}, {servers!r}]
from pipelines import snapshots
from test_pubsub import take

write = snapshots.write_manifest
def die(*manifest):
    if {after}:
        write(*manifest)
    os.kill(os.getpid(), signal.SIGKILL)
snapshots.write_manifest = die
take(Path({base!r}), SimpleNamespace(endpoint={endpoint!r}), {tap!r})
"""


@pytest.mark.parametrize("after", [False, True], ids=["before the manifest", "before the acknowledgement"])
def test_killed(tmp_path, emulator, after):
    """Nothing is lost, whenever it happens; what is there twice has the same id."""
    topic = emulator.topic()
    tap = emulator.subscription(topic, ack_deadline_seconds=2)
    emulator.publish(topic, *[body(n) for n in range(100)])
    here = Path(__file__).parent
    code = DYING.format(
        tests=str(here), servers=str(here.parents[1] / "servers"), after=after,
        base=str(tmp_path), endpoint=emulator.endpoint, tap=tap,
    )  # fmt: skip
    died = subprocess.run([sys.executable, "-c", code], timeout=300, check=False)
    assert died.returncode == -signal.SIGKILL
    emulator.publish(topic, body(100))
    # what the dead process has taken stays hidden for as long as an acknowledgement may take
    taken = take(tmp_path, emulator, tap, quiet=None)
    assert refs(taken) == sorted(str(n) for n in range(101))
    found = snapshots.list_snapshots(str(tmp_path / "ws"), "shop", "events")
    assert len(found) == (2 if after else 1)
    ids = [row["event_id"] for each in found for table in each.read() for row in table.to_pylist()]
    assert set(ids) == {f"e-{n}" for n in range(101)}
    assert emulator.backlog(tap) == []


def test_dead_letters_are_read_as_well(tmp_path, emulator):
    topic, dead = emulator.topic(), emulator.topic()
    tap, letters = emulator.subscription(topic), emulator.subscription(dead)
    emulator.publish(topic, body(1))
    emulator.publish(dead, body(2), attributes={"CloudPubSubDeadLetterSourceDeliveryCount": "5"})
    taken = take(tmp_path, emulator, tap, dead_letters=letters)
    assert refs(taken) == ["1", "2"]
    assert [source.split(": ")[1] for source in taken.manifest.sources] == ["1 messages, 0 more redelivered"] * 2
    assert emulator.backlog(tap) == emulator.backlog(letters) == []


def test_what_is_no_tap_is_refused(tmp_path, emulator):
    topic = emulator.topic()
    pushed = emulator.subscription(topic, push_config={"push_endpoint": "http://127.0.0.1:1/"})
    ordered = emulator.subscription(topic, enable_message_ordering=True)
    with pytest.raises(ConfigError, match="pushes its messages"):
        take(tmp_path, emulator, pushed)
    with pytest.raises(ConfigError, match="keeps messages in order"):
        take(tmp_path, emulator, ordered)
    with pytest.raises(Unreachable, match=r"shop/events: projects/.*/nothing: .*does not exist"):
        take(tmp_path, emulator, "nothing")
    lines = request(tmp_path, emulator, emulator.subscription(topic))
    steps = Mapping("events", {"ref": "r", "sku": "s", "location": "l"}, lines={Kind.PLACE: LineStep("q", "t")})
    with pytest.raises(ConfigError, match="lines need whole exports"):
        capture([replace(lines, mapping=steps)], str(tmp_path / "ws"), datetime.now(UTC))


def test_a_service_that_never_answers(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.connectors.pubsub_service.CALL_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(Unreachable, match="shop/events: projects/recon-test/subscriptions/tap: ") as told:
            take(tmp_path, SimpleNamespace(endpoint=endpoint), "tap")
    assert "\n" not in str(told.value)


def test_a_service_that_falls_silent_has_no_empty_backlog(tmp_path, monkeypatch):
    """Else a network that hangs would make a snapshot that is complete, but for what it did not bring.

    The second drain is cut short before it is silent for so long.
    """
    monkeypatch.setattr("pipelines.connectors.pubsub_service.CALL_SECONDS", 1.0)
    monkeypatch.setattr("pipelines.connectors.pubsub_leases._RELEASE_SECONDS", 0.5)
    monkeypatch.setattr("pipelines.connectors.pubsub_drain.MESSAGES", 10)
    with pubsub() as own:
        topic = own.topic()
        for quiet, timeout in (("PT1S", "PT30M"), ("PT2S", "PT1S")):
            tap = own.subscription(topic)
            own.publish(topic, *[body(n) for n in range(500)])
            source = open_source(*_source(tmp_path, own, tap, quiet=quiet, timeout=timeout))
            batches = source.read(source.plan(datetime.now(UTC)).splits[0])
            next(batches)
            own.process.send_signal(signal.SIGSTOP)
            try:
                with pytest.raises(Unreachable, match=f"/{tap}: "):
                    list(batches)
                source.close()
            finally:
                own.process.send_signal(signal.SIGCONT)


def test_a_service_that_is_killed_and_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.connectors.pubsub_service.CALL_SECONDS", 1.0)
    monkeypatch.setattr("pipelines.connectors.pubsub_leases._RELEASE_SECONDS", 0.5)
    with pubsub() as own:
        topic = own.topic()
        tap = own.subscription(topic)
        own.publish(topic, body(1))
        asked = request(tmp_path, own, tap)
        threading.Timer(0.3, own.process.kill).start()  # the drain takes a second, for which nothing comes
        with pytest.raises(Unreachable, match=r"^shop/events: |subscriptions/") as told:
            capture([asked], str(tmp_path / "ws"), datetime.now(UTC))
    assert "\n" not in str(told.value)
    assert snapshots.list_snapshots(str(tmp_path / "ws")) == []
    monkeypatch.undo()
    with pubsub(own.port) as own:
        topic = own.topic(topic)
        own.subscription(topic, name=tap)
        own.publish(topic, body(1))
        (snapshot,) = capture([asked], str(tmp_path / "ws"), datetime.now(UTC))
    assert refs(snapshot) == ["1"]


def test_messages_out_of_order_are_the_same_feed(tmp_path, emulator):
    """Shipped before it was placed: events are put in order by when they were posted."""
    told = [body(n, type=kind, id=f"{kind}-{n}", at=f"2026-11-23T0{hour}:00:00Z")
            for n in range(20) for hour, kind in enumerate(("PLACE", "SHIP"))]  # fmt: skip
    feeds = []
    for order in (told, told[::-1]):
        topic = emulator.topic()
        tap = emulator.subscription(topic)
        emulator.publish(topic, *order)
        rows = take(tmp_path, emulator, tap).read_bucket(0, 1).drop_columns(["source_file", "source_line"])
        feeds.append(sorted(rows.to_pylist(), key=lambda row: row["event_id"]))
    assert len(feeds[0]) == 40
    assert feeds[0] == feeds[1]


def test_a_field_that_changes_its_type(tmp_path, emulator):
    """A number, the same as text, and what is no number: each row by itself."""
    topic = emulator.topic()
    tap = emulator.subscription(topic)
    emulator.publish(topic, body(1, qty=2), body(2, qty="3"), body(3, qty={"units": 4}), body(4, qty=1.5))
    taken = take(tmp_path, emulator, tap)
    amounts = {row["ref"]: row["quantity"] for row in taken.read_bucket(0, 1).to_pylist()}
    assert amounts == {"1": 2, "2": 3, "4": Decimal("1.5")}
    ((_, reason, raw),) = rejects(taken)
    assert (reason, raw["order"], raw["qty.units"]) == ("qty: empty", "3", "4")


def _source(base, emulator, tap, **options):
    made = request(base, emulator, tap, **options)
    return made.connector, made.options, made.context
