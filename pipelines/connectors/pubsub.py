"""Connector `pubsub`: a tap on a topic of events, and corrections as messages.

A tap is a subscription of its own. A capture takes what was published up to its start, and acknowledges
it only after the snapshot's manifest is there: whatever goes wrong before, the messages come again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pipelines import filesystem
from pipelines.connectors import Batch, Context, Plan, pubsub_service
from pipelines.connectors.option_values import Duration, Timeout
from pipelines.connectors.pubsub_drain import Drain
from pipelines.connectors.pubsub_leases import Leases
from pipelines.connectors.pubsub_sink import Sink, SinkOptions
from reconcilers.errors import ConfigError, Unreachable

__all__ = ["EXAMPLE", "SUMMARY", "Options", "Sink", "SinkOptions", "Source"]

SUMMARY = "Pub/Sub: a tap on a topic of events (JSON or Avro); corrections as messages"

EXAMPLE = """\
events:
  connector: pubsub
  project: shop-prod
  subscription: recon-orders-tap       # of its own, for this dataset only
  columns: {event_id: id, kind: type, ref: order, sku: sku, location: site, quantity: qty, posted_at: at}
"""


class Options(BaseModel):
    """What a dataset that is a tap says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    project: str = Field(description="the Google Cloud project of the subscription")
    subscription: str = Field(description="a pull subscription that nothing else reads, without message ordering")
    dead_letters: str | None = Field(
        None, description="a subscription to the dead-letter topic of the first; its messages are read as well"
    )
    avro: str | None = Field(None, description="an Avro schema file, where the messages are Avro and not JSON")
    lag: Duration = Field(
        timedelta(0),
        description="how long after it was posted an event may be published; the watermark is so much earlier",
    )
    quiet: Duration | None = Field(
        None,
        description="the backlog is empty when nothing came for so long (the subscription's acknowledgement "
        "deadline: until then, what a capture that died has taken stays hidden)",
    )
    timeout: Timeout = Field(timedelta(minutes=30), description="how long a drain may take")
    endpoint: str | None = Field(None, description=pubsub_service.ENDPOINT)


@dataclass(frozen=True)
class Split:
    """One subscription, and its acknowledgement deadline in seconds."""

    subscription: str
    deadline: int


class Source:
    """A tap: what it has read is its own until `captured` or `close` is called."""

    def __init__(self, options: Options, context: Context) -> None:
        self.options = options
        self.context = context
        self._drains: list[Drain] = []
        self._until: datetime | None = None

    def plan(self, now: datetime) -> Plan:
        """Look at the subscriptions; takes no message.

        Raises:
            Unreachable: no such subscription, no permission, no answer.
            ConfigError: a subscription that is no tap, or no dataset of events.
        """
        if self.context.dataset == "stock":
            raise ConfigError("a tap has events; a stock number is a level, not a message")
        self._schema()
        client = pubsub_service.subscriber(self.options.endpoint)
        names = [self.options.subscription, *filter(None, [self.options.dead_letters])]
        splits = tuple(self._looked_at(client, name) for name in names)
        return Plan(
            splits=splits,
            as_of=now,
            as_of_kind="publish_time",
            estimated_rows=0,
            sources=tuple(split.subscription for split in splits),
            watermark=now - self.options.lag,
            local=True,
            incremental=True,
            event_id="pubsub.id",
        )

    def read(self, split: Split) -> Iterator[Batch]:
        """Drain one subscription up to the instant at which the first one was begun."""
        from pipelines.connectors import pubsub_messages

        client = pubsub_service.subscriber(self.options.endpoint)
        self._until = self._until or datetime.now(UTC)
        drain = Drain(
            client,
            split.subscription,
            self._until,
            self.options.quiet if self.options.quiet is not None else timedelta(seconds=split.deadline),
            self.options.timeout,
            Leases.begin(client, split.subscription, split.deadline),
        )
        self._drains.append(drain)
        schema = self._schema()
        first = 1
        for messages in drain.messages():
            if schema is None:
                yield from pubsub_messages.json_batches(messages, split.subscription, first)
            else:
                yield from pubsub_messages.avro_batches(messages, split.subscription, first, schema)
            first += len(messages)

    def settled(self, plan: Plan) -> Plan:
        """The plan with what is known now: up to when it reaches, and how many messages there were.

        The watermark is the start of the drain, or, where an older message was left, its publish time.
        """
        if self._until is None:
            return plan
        left = [drain.left for drain in self._drains if drain.left is not None]
        watermark = min([self._until, *left]) - self.options.lag
        sources = tuple(
            f"{drain.subscription}: {drain.kept:,} messages, {drain.redelivered:,} more redelivered"
            for drain in self._drains
        )
        return replace(plan, as_of=self._until, watermark=watermark, sources=sources)

    def captured(self) -> None:
        """The snapshot is there: acknowledge. Raises `Unreachable`; then some of it comes again."""
        while self._drains:
            self._drains.pop().leases.acknowledge()

    def close(self) -> None:
        """Give back what was not captured."""
        while self._drains:
            self._drains.pop().leases.release()

    def _looked_at(self, client: Any, name: str) -> Split:
        path = f"projects/{self.options.project}/subscriptions/{name}"
        with pubsub_service.told(path):
            found = client.get_subscription(subscription=path, **pubsub_service.bounded())
        if found.push_config.push_endpoint:
            raise ConfigError(f"{path} pushes its messages; a tap needs a pull subscription of its own")
        if found.enable_message_ordering:
            raise ConfigError(
                f"{path} keeps messages in order, and may hold one back until those before are acknowledged; "
                "make one without (recon orders events by when they were posted)"
            )
        if found.detached:
            raise Unreachable(f"{path} is detached from its topic")
        return Split(path, found.ack_deadline_seconds)

    def _schema(self) -> Any:
        """The parsed Avro schema; None for JSON."""
        from pipelines.connectors import pubsub_messages

        if self.options.avro is None:
            return None
        path = filesystem.absolute(self.context.base, self.options.avro)
        with filesystem.open_read(path) as file:
            text = file.read().decode()
        try:
            return pubsub_messages.avro_schema(text)
        except ValueError as error:
            raise ConfigError(f"{path}: {error}") from error
