"""A real Pub/Sub service for the tests: the emulator of the Google Cloud CLI, on a free port of this machine."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import grpc
import pytest
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

PROJECT = "recon-test"


@dataclass
class Emulator:
    """A running emulator, and clients of it."""

    port: int
    process: subprocess.Popen[bytes]
    publisher: PublisherClient = field(init=False)
    subscriber: SubscriberClient = field(init=False)

    def __post_init__(self):
        channel = grpc.insecure_channel(self.endpoint)
        self.publisher = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
        self.subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))

    @property
    def endpoint(self):
        """How `recon` reaches it."""
        return f"127.0.0.1:{self.port}"

    def topic(self, name=None):
        """A new topic; its id."""
        name = name or f"topic-{uuid4().hex[:8]}"
        self.publisher.create_topic(name=self.topic_path(name))
        return name

    def subscription(self, topic, name=None, **options):
        """A new subscription to a topic; its id."""
        name = name or f"subscription-{uuid4().hex[:8]}"
        path = self.subscription_path(name)
        request = {"name": path, "topic": self.topic_path(topic), "ack_deadline_seconds": 10, **options}
        self.subscriber.create_subscription(request=request)
        return name

    def topic_path(self, name):
        return f"projects/{PROJECT}/topics/{name}"

    def subscription_path(self, name):
        return f"projects/{PROJECT}/subscriptions/{name}"

    def publish(self, topic, *bodies, attributes=None, ordering_key=""):
        """Publish bodies; their message ids once the service has them."""
        messages = [{"data": body, "attributes": attributes or {}, "ordering_key": ordering_key} for body in bodies]
        path = self.topic_path(topic)
        return [
            each
            for first in range(0, len(messages), 1000)
            for each in self.publisher.publish(topic=path, messages=messages[first : first + 1000]).message_ids
        ]

    def backlog(self, subscription):
        """Every message that a subscription still hands out, acknowledged here."""
        found = []
        while received := self._pull(subscription):
            found += [each.message for each in received]
            self.subscriber.acknowledge(
                subscription=self.subscription_path(subscription), ack_ids=[each.ack_id for each in received]
            )
        return found

    def _pull(self, subscription):
        request = {
            "subscription": self.subscription_path(subscription),
            "max_messages": 1000,
            "return_immediately": True,
        }
        return self.subscriber.pull(request=request, timeout=30).received_messages


@contextmanager
def pubsub(port: int | None = None) -> Iterator[Emulator]:
    """The emulator under Java, its data in memory, on a port that is free."""
    java, jar = shutil.which("java"), _jar()
    if java is None or jar is None:
        reason = "the Pub/Sub emulator (Java and google-cloud-cli-pubsub-emulator) is not installed"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    port = port or _free_port()
    process = subprocess.Popen(
        [java, "-jar", str(jar), "--host=127.0.0.1", f"--port={port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            grpc.channel_ready_future(channel).result(timeout=60)
        yield Emulator(port, process)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _jar() -> Path | None:
    """The emulator of the Google Cloud CLI, wherever that is."""
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        return None
    roots = [Path(gcloud).resolve().parent.parent, Path("/usr/lib/google-cloud-sdk")]
    found = [jar for root in roots for jar in root.glob("platform/pubsub-emulator/lib/cloud-pubsub-emulator-*.jar")]
    return found[0] if found else None
