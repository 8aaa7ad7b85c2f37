"""Corrections as messages, on the Pub/Sub emulator."""

from __future__ import annotations

import json
import socket
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from pubsub import PROJECT

from pipelines.connectors import Context, open_sink
from reconcilers.corrections import Correction, Mode, Status
from reconcilers.errors import Unreachable

CONTEXT = Context(".", "UTC", "stock")


def correction(number, sku="S1"):
    """One number to correct."""
    return Correction(
        correction_id=f"c-{number}", run_id="run", pair="shop~erp", target="shop", sku=sku, location="web",
        basis="available", mode=Mode.SET, value=Decimal(number), change_from=Decimal(7), delta=Decimal(number - 7),
        reason="UNEXPLAINED", reference="gid://recon/Correction/1", idempotency_key=f"k-{number}",
        created_at=datetime(2026, 11, 24, tzinfo=UTC),
    )  # fmt: skip


@pytest.fixture
def reader(emulator):
    """A topic, and an ordered subscription to it."""
    topic = emulator.topic()
    return topic, emulator.subscription(topic, enable_message_ordering=True)


@pytest.mark.parametrize("ordered", [True, False])
def test_what_the_service_has_is_sent(emulator, reader, ordered):
    topic, subscription = reader
    corrections = [correction(n, f"S{n % 7}") for n in range(60)]
    options = {"project": PROJECT, "topic": topic, "endpoint": emulator.endpoint, "ordered": ordered}
    sink = open_sink("pubsub", options, CONTEXT)
    receipts = sink.send(corrections)
    assert sink.observe([("S1", "web")]) is None
    sink.close()
    assert [(each.idempotency_key, each.status) for each in receipts] == [(f"k-{n}", Status.SENT) for n in range(60)]
    found = emulator.backlog(subscription)
    assert {each.attributes["idempotency_key"] for each in found} == {f"k-{n}" for n in range(60)}
    assert {each.ordering_key for each in found} == ({f"S{n}@web" for n in range(7)} if ordered else {""})
    for each in found:
        told = json.loads(each.data)
        (meant,) = [c for c in corrections if c.correction_id == each.attributes["correction_id"]]
        assert (told["sku"], told["mode"], Decimal(told["value"])) == (meant.sku, "set", meant.value)
        assert set(asdict(meant)) <= set(told)
    for sku in {each.sku for each in corrections} if ordered else ():
        values = [int(json.loads(each.data)["value"]) for each in found if each.ordering_key == f"{sku}@web"]
        assert values == sorted(values), "corrections of one key arrive in the order in which they were sent"


def test_a_topic_that_is_gone(emulator):
    options = {"project": PROJECT, "topic": "nowhere", "endpoint": emulator.endpoint}
    sink = open_sink("pubsub", options, CONTEXT)
    with pytest.raises(Unreachable, match=f"projects/{PROJECT}/topics/nowhere: Topic not found"):
        sink.send([correction(1)])
    sink.close()


def test_no_answer_ends(monkeypatch):
    monkeypatch.setattr("pipelines.connectors.pubsub_service.CALL_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        options = {"project": PROJECT, "topic": "topic", "endpoint": f"127.0.0.1:{silent.getsockname()[1]}"}
        sink = open_sink("pubsub", options, CONTEXT)
        with pytest.raises(Unreachable, match="topics/topic: "):
            sink.send([correction(1), correction(2, "S2")])
        sink.close()
