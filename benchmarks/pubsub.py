"""Pub/Sub, beside the plain alternatives, on the emulator: `python -m benchmarks.pubsub --messages 20000`.

* publishing corrections, by the sink alone and by a whole `recon publish --apply` (plan, gates, wave, receipts,
  audit), beside a bare loop over Google's publisher with the same settings,
* draining a tap into a snapshot, beside a bare loop of pull and acknowledge.

The best of several runs each, in one process.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import grpc
from google.cloud.pubsub_v1 import PublisherClient
from google.cloud.pubsub_v1.types import BatchSettings, PublisherOptions
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

from jobs.publish import apply
from pipelines.capture import CaptureRequest, capture
from pipelines.connectors import Context, open_sink
from reconcilers.corrections import Correction, Mode
from reconcilers.mapping import Mapping
from reconcilers.messages import to_json

sys.path += [str(Path(__file__).parents[1] / "tests" / name) for name in ("servers", "jobs")]
import published_runs
from pubsub import PROJECT, Emulator, pubsub

CONTEXT = Context(".", "UTC", "events")


def main() -> None:
    """Measure and print, a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    with pubsub() as emulator:
        for ordered in (True, False):
            ours = _best(arguments, lambda corrections, o=ordered: _sink(emulator, corrections, o))
            whole = min(_whole(emulator, arguments.messages, ordered) for _ in range(arguments.repeat))
            bare = _best(arguments, lambda corrections, o=ordered: _bare_publisher(emulator, corrections, o))
            how = "ordered" if ordered else "unordered"
            _say(f"sink, {how}", arguments.messages, ours, bare)
            _say(f"recon publish, {how}", arguments.messages, whole, bare)
        ours = min(_drain(emulator, arguments.messages) for _ in range(arguments.repeat))
        bare = min(_bare_pull(emulator, arguments.messages) for _ in range(arguments.repeat))
        _say("drain", arguments.messages, ours, bare)


def _best(arguments: argparse.Namespace, send: Callable[[list[Correction]], float]) -> float:
    corrections = [_correction(n) for n in range(arguments.messages)]
    return min(send(corrections) for _ in range(arguments.repeat))


def _say(what: str, messages: int, ours: float, bare: float) -> None:
    print(f"{what}: {messages / ours:,.0f}/s, bare {messages / bare:,.0f}/s, {bare / ours:.2f} of its speed")


def _sink(emulator: Emulator, corrections: list[Correction], ordered: bool) -> float:
    options = {"project": PROJECT, "topic": emulator.topic(), "endpoint": emulator.endpoint, "ordered": ordered}
    sink = open_sink("pubsub", options, CONTEXT)
    began = time.perf_counter()
    for start in range(0, len(corrections), sink.batch_size):
        sink.send(corrections[start : start + sink.batch_size])
    took = time.perf_counter() - began
    sink.close()
    return took


def _whole(emulator: Emulator, messages: int, ordered: bool) -> float:
    """A finished run, published; ten times as many keys were compared."""
    options = {"project": PROJECT, "topic": emulator.topic(), "endpoint": emulator.endpoint, "ordered": ordered}
    with tempfile.TemporaryDirectory() as workspace:
        config = published_runs.configuration(Path(workspace), {"connector": "pubsub", **options})
        rows = [published_runs.correction("run", number, 7, 5) for number in range(messages)]
        published_runs.finished(config, rows, "run", keys=10 * messages)
        publication = published_runs.publication(config, "run")
        began = time.perf_counter()
        outcome = apply(publication, "benchmark", published_runs.silent)
        took = time.perf_counter() - began
    if outcome.counts != {"SENT": messages}:
        raise SystemExit(f"{outcome.counts} of {messages}")
    return took


def _bare_publisher(emulator: Emulator, corrections: list[Correction], ordered: bool) -> float:
    """A batch's futures are waited for before the next, as the sink has to."""
    channel = grpc.insecure_channel(emulator.endpoint)
    client = PublisherClient(
        batch_settings=BatchSettings(max_messages=1000, max_bytes=5_000_000, max_latency=0.05),
        publisher_options=PublisherOptions(enable_message_ordering=ordered),
        transport=PublisherGrpcTransport(channel=channel),
    )
    topic = emulator.topic_path(emulator.topic())
    began = time.perf_counter()
    for start in range(0, len(corrections), 1000):
        futures = [
            client.publish(
                topic,
                to_json(each).encode(),
                ordering_key=f"{each.sku}@{each.location}" if ordered else "",
                correction_id=each.correction_id,
                idempotency_key=each.idempotency_key,
            )
            for each in corrections[start : start + 1000]
        ]
        for future in futures:
            future.result(timeout=60)
    return time.perf_counter() - began


def _filled(emulator: Emulator, messages: int) -> str:
    topic = emulator.topic()
    tap = emulator.subscription(topic, ack_deadline_seconds=60)
    emulator.publish(topic, *[_event(n) for n in range(messages)])
    return tap


def _drain(emulator: Emulator, messages: int) -> float:
    """The time of a capture, without the second in which nothing comes any more."""
    options = {
        "project": PROJECT,
        "subscription": _filled(emulator, messages),
        "endpoint": emulator.endpoint,
        "quiet": "PT1S",
    }
    request = CaptureRequest("shop", "events", "pubsub", options, CONTEXT, Mapping("events", {"event_id": "id"}))
    with tempfile.TemporaryDirectory() as workspace:
        began = time.perf_counter()
        (snapshot,) = capture([request], workspace, datetime.now(UTC))
        took = time.perf_counter() - began - 1
    if snapshot.manifest.rows != messages:
        raise SystemExit(f"{snapshot.manifest.rows} rows of {messages}")
    return took


def _bare_pull(emulator: Emulator, messages: int) -> float:
    path = emulator.subscription_path(_filled(emulator, messages))
    began, left = time.perf_counter(), messages
    while left:
        pulled = emulator.subscriber.pull(subscription=path, max_messages=1000).received_messages
        rows = [json.loads(each.message.data) for each in pulled]
        emulator.subscriber.acknowledge(subscription=path, ack_ids=[each.ack_id for each in pulled])
        left -= len(rows)
    return time.perf_counter() - began


def _event(number: int) -> bytes:
    event: dict[str, Any] = {
        "id": f"e-{number}", "kind": "PLACE", "ref": f"o-{number}", "sku": f"S{number % 5000}", "location": "web",
        "quantity": 1, "posted_at": "2026-11-23T02:00:00Z",
    }  # fmt: skip
    return json.dumps(event).encode()


def _correction(number: int) -> Correction:
    return Correction(
        correction_id=f"c-{number}", run_id="run", pair="shop~erp", target="shop", sku=f"S{number}", location="web",
        basis="available", mode=Mode.SET, value=Decimal(5), change_from=Decimal(7), delta=Decimal(-2),
        reason="UNEXPLAINED", reference=f"gid://recon/Correction/c-{number}", idempotency_key=f"k-{number}",
        created_at=datetime(2026, 11, 24, tzinfo=UTC),
    )  # fmt: skip


if __name__ == "__main__":
    main()
